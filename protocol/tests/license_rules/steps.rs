//! What may happen to a site, and how it is told to whoever reads a failure.

use proptest::prelude::*;
use sitewarden_protocol::license::{Policy, Rule, Rung, Term};
use sitewarden_protocol::time::UnixMillis;
use std::fmt;

pub(crate) const SECOND: i64 = 1_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const DAY: i64 = 86_400 * SECOND;
pub(crate) const YEAR: i64 = 365 * DAY;
/// When the stories begin: 2026-01-31T08:00:00Z.
pub(crate) const START: UnixMillis = UnixMillis(1_769_846_400_000);
/// Few, so that their licences meet.
pub(crate) const APPS: [&str; 2] = ["EMS", "CBM"];

/// One thing that happens. Licences are meant by their place in the hub's list, modulo its length.
#[derive(Clone)]
pub(crate) enum Step {
    Issue {
        app: usize,
        term: Term,
        quota: Option<u32>,
        policy: Policy,
    },
    Quota(usize, Option<u32>),
    Policy(usize, Policy),
    Term(usize, Term),
    Revoke(usize),
    /// The hub notes which Active licences are over.
    Expire,
    /// The hub's administrator activates a licence.
    ActivateAtHub(usize),
    /// The hub hears of the plant's activations.
    Hear,
    /// The hub's newest snapshot reaches the plant, fresh for so many days.
    Deliver {
        fresh_days: u16,
    },
    /// An old snapshot reaches the plant again.
    Replay(usize),
    /// A key is typed at the plant.
    Activate {
        license: usize,
        replace: bool,
    },
    Reserve(usize, u8),
    Release(usize, u8),
    Override {
        days: u16,
    },
    Run(i64),
    Off(i64),
    /// The wall clock is set off the real time by so much.
    Clock(i64),
    /// A signed time of the hub, as old as this, reaches the plant.
    Heard {
        age: i64,
    },
    /// The hub answers what time it is.
    Answered,
}

/// A sequence that prints one step a line.
#[derive(Clone)]
pub(crate) struct Story(pub(crate) Vec<Step>);

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "this story, from {START}:")?;
        self.0.iter().enumerate().try_for_each(|(number, step)| writeln!(f, "  {:>2}. {step}", number + 1))
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issue { app, term, quota, policy } => {
                write!(
                    f,
                    "the hub issues a licence of {}: {}, {}, {}",
                    APPS[*app],
                    Words(term),
                    Words(quota),
                    Words(policy)
                )
            }
            Self::Quota(which, quota) => write!(f, "the hub gives licence #{which} {}", Words(quota)),
            Self::Policy(which, policy) => write!(f, "the hub gives licence #{which} {}", Words(policy)),
            Self::Term(which, term) => write!(f, "the hub gives licence #{which} {}", Words(term)),
            Self::Revoke(which) => write!(f, "the hub revokes licence #{which}"),
            Self::Expire => f.write_str("the hub notes what has expired"),
            Self::ActivateAtHub(which) => write!(f, "licence #{which} is activated at the hub"),
            Self::Hear => f.write_str("the hub hears what was activated at the plant"),
            Self::Deliver { fresh_days } => {
                write!(f, "the hub's snapshot reaches the plant, fresh for {fresh_days} days")
            }
            Self::Replay(which) => write!(f, "old snapshot #{which} reaches the plant again"),
            Self::Activate { license, replace } => {
                write!(
                    f,
                    "the key of licence #{license} is typed at the plant{}",
                    if *replace { ", to replace" } else { "" }
                )
            }
            Self::Reserve(app, monitor) => write!(f, "{} reserves monitor {monitor}", APPS[*app]),
            Self::Release(app, monitor) => write!(f, "{} releases monitor {monitor}", APPS[*app]),
            Self::Override { days } => write!(f, "an override of {days} days"),
            Self::Run(span) => write!(f, "{} pass", Words(span)),
            Self::Off(span) => write!(f, "the machine is off for {} and starts", Words(span)),
            Self::Clock(off) => write!(f, "the wall clock is set {} off", Words(off)),
            Self::Heard { age } => write!(f, "a time that the hub signed {} ago comes", Words(age)),
            Self::Answered => f.write_str("the hub answers what time it is"),
        }
    }
}

/// How a value is told.
struct Words<'a, T>(&'a T);

impl fmt::Display for Words<'_, i64> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0 / DAY, self.0 % DAY);
        write!(f, "{days} d {}.{:03} s", rest / SECOND, (rest % SECOND).abs())
    }
}

impl fmt::Display for Words<'_, Option<u32>> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(quota) => write!(f, "a quota of {quota}"),
            None => f.write_str("no quota"),
        }
    }
}

impl fmt::Display for Words<'_, Term> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Term::Validity(validity) => write!(f, "{validity} from its activation"),
            Term::Dates { from, until } => write!(f, "from {from} until {until}"),
            Term::Endless => f.write_str("without end"),
        }
    }
}

impl fmt::Display for Words<'_, Policy> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy { expiry, staleness, overage, overage_percent } = self.0;
        let rule = |rule: &Rule| format!("{} d then {:?}", rule.grace_days, rule.then);
        write!(f, "the policy (expiry {}, staleness {}, ", rule(expiry), rule(staleness))?;
        write!(f, "overage {} over {overage_percent} %)", rule(overage))
    }
}

pub(crate) fn story() -> impl Strategy<Value = Story> {
    // A licence that is in force to begin with, most of the time: what is interesting happens to one.
    let opening = prop::option::weighted(0.8, (issue(), any::<u16>())).prop_map(|opening| match opening {
        Some((issue, fresh)) => {
            vec![issue, Step::Deliver { fresh_days: fresh % 60 }, Step::Activate { license: 0, replace: false }]
        }
        None => vec![],
    });
    (opening, prop::collection::vec(step(), 1..70)).prop_map(|(mut steps, more)| {
        steps.extend(more);
        Story(steps)
    })
}

pub(crate) fn rule() -> impl Strategy<Value = Rule> {
    let rung = prop::sample::select(&[Rung::Observe, Rung::Warn, Rung::BlockNew, Rung::Block][..]);
    (prop_oneof![Just(0), 0_u16..40], rung).prop_map(|(grace_days, then)| Rule { grace_days, then })
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let overage_percent = prop_oneof![2 => Just(0), 2 => prop::sample::select(&[50, 100, 200][..])];
    let rules = (rule(), rule(), prop_oneof![2 => Just(Rule::hard()), 1 => rule()], overage_percent);
    let any = rules.prop_map(|(expiry, staleness, overage, overage_percent)| Policy {
        expiry,
        staleness,
        overage,
        overage_percent,
    });
    prop_oneof![1 => Just(Policy::default()), 3 => any]
}

pub(crate) fn term() -> impl Strategy<Value = Term> {
    prop_oneof![
        4 => prop_oneof![1_u32..20, 1_u32..400].prop_map(|days| Term::Validity(format!("{days}d").parse().unwrap())),
        1 => (-30_i64..200, 1_i64..200).prop_map(|(from, days)| Term::Dates {
            from: UnixMillis(START.0 + from * DAY),
            until: UnixMillis(START.0 + (from + days) * DAY),
        }),
        1 => Just(Term::Endless),
    ]
}

pub(crate) fn quota() -> impl Strategy<Value = Option<u32>> {
    prop::option::weighted(0.9, 0_u32..5)
}

fn issue() -> impl Strategy<Value = Step> {
    (0..APPS.len(), term(), quota(), policy()).prop_map(|(app, term, quota, policy)| Step::Issue {
        app,
        term,
        quota,
        policy,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0_usize..6;
    let app = || 0..APPS.len();
    let off = prop_oneof![-10 * MINUTE..10 * MINUTE, -2 * YEAR..2 * YEAR, Just(0)];
    let at_hub = prop_oneof![
        3 => issue(),
        1 => (which(), quota()).prop_map(|(which, quota)| Step::Quota(which, quota)),
        1 => (which(), policy()).prop_map(|(which, policy)| Step::Policy(which, policy)),
        1 => (which(), term()).prop_map(|(which, term)| Step::Term(which, term)),
        1 => which().prop_map(Step::Revoke),
        1 => Just(Step::Expire),
        1 => which().prop_map(Step::ActivateAtHub),
        2 => Just(Step::Hear),
        4 => (0_u16..60).prop_map(|fresh_days| Step::Deliver { fresh_days }),
        1 => which().prop_map(Step::Replay),
    ];
    let at_plant = prop_oneof![
        3 => (which(), any::<bool>()).prop_map(|(license, replace)| Step::Activate { license, replace }),
        8 => (app(), 0_u8..12).prop_map(|(app, monitor)| Step::Reserve(app, monitor)),
        1 => (app(), 0_u8..12).prop_map(|(app, monitor)| Step::Release(app, monitor)),
        1 => (0_u16..20).prop_map(|days| Step::Override { days }),
    ];
    let time = prop_oneof![
        3 => (0..20 * DAY).prop_map(Step::Run),
        1 => (0..50 * DAY).prop_map(Step::Off),
        1 => off.prop_map(Step::Clock),
        1 => (0..400 * DAY).prop_map(|age| Step::Heard { age }),
        1 => Just(Step::Answered),
    ];
    prop_oneof![4 => at_hub, 4 => at_plant, 3 => time]
}
