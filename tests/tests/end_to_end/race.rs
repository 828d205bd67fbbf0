//! Callers race for the last monitors while the agent is killed: what was answered yes never passes the quota, is never
//! forgotten, and counts once however often it is asked for.
//!
//! `known` tells what can be known from outside: of a monitor that several callers reserve and release at once, only what
//! holds in whatever order the agent took them.

use sitewarden_tests::harness::{Client, Line};
use sitewarden_tests::simulation::random::Random;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const QUOTA: usize = 100;
const CALLERS: u64 = 64;
/// Reservations and releases in all.
const OPERATIONS: u64 = 10_000;
/// Twice as many as the quota, so that callers meet over monitors and over the quota.
const MONITORS: u64 = 200;
const KILLS: u64 = 4;
const SEED: u64 = 20_261_121;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Release,
    Reserve,
}

/// What is known of one monitor.
#[derive(Debug, Clone, Default)]
struct Monitor {
    /// Reserved or not; `None` while it depends on which of the calls under way came first.
    held: Option<bool>,
    /// Releases and reservations asked for so far, and those whose answer is not there.
    asked: [u64; 2],
    flying: [u64; 2],
}

/// What is known of all of them.
struct Known(Vec<Monitor>);

impl Known {
    fn new() -> Self {
        Self(vec![Monitor { held: Some(false), ..Monitor::default() }; usize::try_from(MONITORS).unwrap()])
    }

    /// A call leaves. Answers how many of the other kind were asked before it, if all of them were answered, and whether
    /// the monitor is held already.
    fn ask(&mut self, at: usize, ask: Ask) -> (Option<u64>, Option<bool>) {
        let monitor = &mut self.0[at];
        let before = monitor.held;
        monitor.asked[ask as usize] += 1;
        monitor.flying[ask as usize] += 1;
        monitor.held = monitor.held.filter(|held| *held == (ask == Ask::Reserve));
        ((monitor.flying[ask.other()] == 0).then_some(monitor.asked[ask.other()]), before)
    }

    /// Its answer is there, or will never come. What it said counts if no call of the other kind was under way with it.
    fn answer(&mut self, at: usize, ask: Ask, stamp: Option<u64>, done: bool) -> bool {
        let monitor = &mut self.0[at];
        monitor.flying[ask as usize] -= 1;
        let alone = stamp == Some(monitor.asked[ask.other()]);
        if alone && done {
            monitor.held = Some(ask == Ask::Reserve);
        }
        alone
    }

    fn with(&self, held: bool) -> BTreeSet<String> {
        let which = self.0.iter().enumerate().filter(|(_, monitor)| monitor.held == Some(held));
        which.map(|(at, _)| name(at)).collect()
    }
}

impl Ask {
    const fn other(self) -> usize {
        match self {
            Self::Release => Self::Reserve as usize,
            Self::Reserve => Self::Release as usize,
        }
    }
}

/// The callers' common ground.
struct Race {
    known: Mutex<Known>,
    asked: AtomicU64,
    granted: AtomicU64,
    refused: AtomicU64,
    repeated: AtomicU64,
    /// Set before the agent is killed: only then may a call fail.
    dying: AtomicBool,
}

#[test]
fn callers_that_race_while_the_agent_is_killed_never_get_more_than_the_quota() {
    let mut line = Line::new(u32::try_from(QUOTA).unwrap()).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    let (mut random, race) = (Random::new(SEED), Race::new());
    for round in 0..=KILLS {
        list(&mut line.app().unwrap()); // The agent learns the password once, not from all callers at the same time.
        race.dying.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let (client, race) = (line.app().unwrap(), &race);
                    let random = Random::new(SEED ^ (round << 32 | (caller + 1)));
                    scope.spawn(move || race.run(client, random, round == KILLS))
                })
                .collect();
            if round < KILLS {
                let at = (round + 1) * OPERATIONS / (KILLS + 1) - random.between(0, OPERATIONS / 10);
                while race.asked.load(Ordering::Relaxed) < at && callers.iter().any(|caller| !caller.is_finished()) {
                    thread::yield_now();
                }
                race.dying.store(true, Ordering::Relaxed);
                line.agent.kill();
            }
        });
        if round < KILLS {
            line.agent.start().unwrap();
        }
        race.compare(&list(&mut line.app().unwrap()), round);
    }
    race.repeats_count_once(&mut line.app().unwrap());
    println!("{race}");
    let met = [&race.granted, &race.refused, &race.repeated].map(|count| count.load(Ordering::Relaxed));
    assert!(met.iter().all(|count| *count > 100), "granted, refused, repeated {met:?}: there was no race");
}

impl Race {
    fn new() -> Self {
        let [asked, granted, refused, repeated] = [0; 4].map(AtomicU64::new);
        Self { known: Mutex::new(Known::new()), asked, granted, refused, repeated, dying: AtomicBool::new(false) }
    }

    /// Calls until the agent dies, or in the last round until all was asked.
    fn run(&self, mut client: Client, mut random: Random, last: bool) {
        while !last || self.asked.load(Ordering::Relaxed) < OPERATIONS {
            if random.chance(20) {
                let Some(listed) = try_list(&mut client) else { return self.may_fail() };
                assert!(listed.len() <= QUOTA, "_list has {} monitors of {QUOTA}", listed.len());
            }
            let ask = if random.chance(650) { Ask::Reserve } else { Ask::Release };
            let at = usize::try_from(random.between(0, MONITORS - 1)).unwrap();
            let repeats = 1 + u64::from(random.chance(100));
            for _ in 0..repeats {
                if !self.call(&mut client, at, ask) {
                    return self.may_fail();
                }
            }
        }
    }

    fn may_fail(&self) {
        assert!(self.dying.load(Ordering::Relaxed), "a call failed and nobody had killed the agent");
    }

    /// One reservation or release; `false` if the agent is gone.
    fn call(&self, client: &mut Client, at: usize, ask: Ask) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let path = format!("/_config/monitors/{}?app=EMS", name(at));
        let (stamp, before) = self.known.lock().unwrap().ask(at, ask);
        let answer = if ask == Ask::Reserve { client.put(&path) } else { client.delete(&path) };
        let mut known = self.known.lock().unwrap();
        let alone = known.answer(at, ask, stamp, answer.as_ref().is_ok_and(|answer| answer.status == 200));
        let held = known.with(true).len();
        drop(known);
        assert!(held <= QUOTA, "{held} monitors were answered yes of {QUOTA}");
        let Ok(answer) = answer else { return false };
        let body = answer.json();
        match (ask, answer.status) {
            (Ask::Reserve, 200) => {
                assert!(body["in_use"].as_u64().is_some_and(|count| count <= QUOTA as u64), "{body}");
                let again = body["reserved_before"] == true;
                assert!(again || !(alone && before == Some(true)), "a repeat counted as a new monitor: {body}");
                if again { &self.repeated } else { &self.granted }.fetch_add(1, Ordering::Relaxed);
            }
            (Ask::Reserve, 409) => {
                assert!(!(alone && before == Some(true)), "a repeat was refused: {body}");
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            (Ask::Release, 200) => {}
            (_, status) => panic!("{ask:?} was answered {status}: {body}"),
        }
        true
    }

    /// What is known for certain is so after a kill, too.
    fn compare(&self, listed: &BTreeSet<String>, round: u64) {
        let mut known = self.known.lock().unwrap();
        let forgotten: Vec<_> = known.with(true).difference(listed).cloned().collect();
        let back: Vec<_> = known.with(false).intersection(listed).cloned().collect();
        assert!(forgotten.is_empty(), "round {round}: answered yes and forgotten: {forgotten:?}");
        assert!(back.is_empty(), "round {round}: released, and there again: {back:?}");
        assert!(listed.len() <= QUOTA, "round {round}: {} monitors of {QUOTA}", listed.len());
        for (at, monitor) in known.0.iter_mut().enumerate() {
            assert_eq!(monitor.flying, [0, 0], "{}: a call under way when nobody calls", name(at));
            monitor.held = Some(listed.contains(&name(at)));
        }
    }

    fn repeats_count_once(&self, client: &mut Client) {
        let before = list(client);
        for monitor in &before {
            let answer = client.put(&format!("/_config/monitors/{monitor}?app=EMS")).unwrap();
            let body = answer.json();
            assert_eq!((answer.status, &body["reserved_before"]), (200, &true.into()), "{body}");
            assert_eq!(body["in_use"].as_u64(), Some(before.len() as u64), "{body}");
        }
        assert_eq!(list(client), before);
    }
}

impl std::fmt::Display for Race {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (asked, granted, refused) = (count(&self.asked), count(&self.granted), count(&self.refused));
        write!(
            f,
            "{asked} calls: {granted} granted, {refused} refused, {} repeats, {KILLS} kills",
            count(&self.repeated)
        )
    }
}

fn name(at: usize) -> String {
    format!("pump-{at}")
}

fn list(client: &mut Client) -> BTreeSet<String> {
    try_list(client).unwrap()
}

/// `None` if the agent is gone.
fn try_list(client: &mut Client) -> Option<BTreeSet<String>> {
    let answer = client.get("/_config/monitors/_list?app=EMS").ok()?;
    let body = answer.json();
    assert_eq!(answer.status, 200, "{body}");
    let listed: BTreeSet<String> =
        body["monitors"].as_array()?.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(body["in_use"].as_u64(), Some(listed.len() as u64), "{body}");
    Some(listed)
}
