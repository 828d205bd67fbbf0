//! Why an app may or may not be used at a moment, since when, and what will change on which date.
//!
//! Always true: the words come from the same functions that decide; the dates are those at which they decide otherwise.

use super::access::{Cause, access, in_force};
use super::ladder::{Circumstances, Condition, Step, Use};
use super::quota::may_reserve;
use super::{License, Rung, Term};
use crate::time::UnixMillis;
use serde::{Serialize, Serializer};

/// What an app may do, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All is as it was sold.
    Allowed,
    /// It may be used, and something will have to be done.
    Warned,
    /// What runs goes on, nothing new starts.
    NoNew,
    /// It may not be used.
    Denied,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The app.
    pub app: String,
    /// The moment that this is about. This and all others are shown in RFC 3339.
    #[serde(serialize_with = "shown")]
    pub at: UnixMillis,
    /// What the app may do then.
    pub verdict: Verdict,
    /// Whether it may be used.
    pub allowed: bool,
    /// Whether one more monitor may be reserved.
    pub new_monitors: bool,
    /// The licence that counts; `None` if there is none, or none is needed.
    pub license: Option<String>,
    /// Monitors in use.
    pub in_use: u32,
    /// Monitors permitted; `None` for without limit, or without a licence.
    pub permitted: Option<u32>,
    /// Why, each with its beginning if it has one.
    pub reasons: Vec<Reason>,
    /// What will change if nobody does anything, soonest first.
    pub changes: Vec<Change>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Since when.
    #[serde(serialize_with = "shown_if_any")]
    pub since: Option<UnixMillis>,
    /// In words.
    pub text: String,
}

/// One change to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When.
    #[serde(serialize_with = "shown")]
    pub at: UnixMillis,
    /// What the app may do from then on.
    pub verdict: Verdict,
    /// In words.
    pub text: String,
}

/// Explains what `app` may do in these circumstances. `circumstances.now` may be any moment: the answer is what would be
/// so then if nothing else happened.
pub fn explain(licenses: &[License], app: &str, circumstances: &Circumstances, used: Use) -> Explanation {
    let license = in_force(licenses, app);
    let at = circumstances.now;
    let verdict = verdict(licenses, app, circumstances, used);
    let reasons = reasons(licenses, app, circumstances, used);
    let mut before = verdict;
    let mut changes = Vec::new();
    for at in license.map(|license| moments(license, circumstances, used)).unwrap_or_default() {
        let then = Circumstances { now: at, ..*circumstances };
        let after = self::verdict(licenses, app, &then, used);
        if after != before {
            let why = self::reasons(licenses, app, &then, used).into_iter().map(|reason| reason.text);
            let text = format!("{}: {}", after.sentence(app), why.collect::<Vec<_>>().join("; "));
            changes.push(Change { at, verdict: after, text });
            before = after;
        }
    }
    Explanation {
        app: app.to_owned(),
        at,
        verdict,
        allowed: verdict < Verdict::Denied,
        new_monitors: verdict < Verdict::Denied
            && license.is_some_and(|license| may_reserve(license, circumstances, used).is_ok()),
        license: license.map(|license| license.name.clone()),
        in_use: used.in_use,
        permitted: license.and_then(License::permitted),
        reasons,
        changes,
    }
}

fn shown<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn shown_if_any<S: Serializer>(at: &Option<UnixMillis>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(serializer)
}

impl Verdict {
    fn sentence(self, app: &str) -> String {
        match self {
            Self::Allowed => format!("{app} may be used"),
            Self::Warned => format!("{app} may be used, with a warning"),
            Self::NoNew => format!("{app} may be used, and no new monitors may be reserved"),
            Self::Denied => format!("{app} may not be used"),
        }
    }
}

/// A used-up quota alone is no warning: it is what was bought.
fn verdict(licenses: &[License], app: &str, circumstances: &Circumstances, used: Use) -> Verdict {
    match access(licenses, app, circumstances, used) {
        Err(_) => Verdict::Denied,
        Ok(None) => Verdict::Allowed,
        Ok(Some(license)) => match license.rung(circumstances, used) {
            None | Some(Rung::Observe) => Verdict::Allowed,
            Some(Rung::Warn) => Verdict::Warned,
            Some(Rung::BlockNew | Rung::Block) => Verdict::NoNew,
        },
    }
}

fn reasons(licenses: &[License], app: &str, circumstances: &Circumstances, used: Use) -> Vec<Reason> {
    let license = match access(licenses, app, circumstances, used) {
        Err(cause) => {
            let since = match &cause {
                Cause::Expired { on, .. } => Some(*on),
                Cause::Stale { since } | Cause::OverQuota { since, .. } => Some(*since),
                Cause::NoLicense { .. }
                | Cause::NotActivated { .. }
                | Cause::NotYet { .. }
                | Cause::Withdrawn { .. } => None,
            };
            return vec![Reason { since, text: cause.to_string() }];
        }
        Ok(None) => {
            return vec![Reason { since: None, text: "license management needs no license".to_owned() }];
        }
        Ok(Some(license)) => license,
    };
    let mut reasons: Vec<Reason> =
        license.steps(circumstances, used).map(|step| step_reason(license, step, used)).collect();
    if reasons.is_empty() {
        let end = license.expires_at.map_or_else(|| "without end".to_owned(), |end| format!("until {end}"));
        reasons.push(Reason {
            since: license.activated_at,
            text: format!("the license {} is active, {end}", license.name),
        });
    }
    if let Some(until) = circumstances.relieved_until.filter(|until| *until > circumstances.now) {
        reasons.push(Reason { since: None, text: format!("an emergency override is in force until {until}") });
    }
    reasons
}

fn step_reason(license: &License, step: Step, used: Use) -> Reason {
    let text = match step.condition {
        Condition::Expired => {
            format!("the license {} expired on {}; renew it with your vendor", license.name, step.since)
        }
        Condition::Stale => format!(
            "the license information is out of date since {}; connect to the hub or import a bundle",
            step.since
        ),
        Condition::OverQuota => format!(
            "{} monitors run under the license {}, whose quota is {}; release some or buy more",
            used.in_use,
            license.name,
            license.limits.monitors.unwrap_or_default()
        ),
    };
    Reason { since: Some(step.since), text }
}

/// The moments after now at which a decision may become another one, in order.
fn moments(license: &License, circumstances: &Circumstances, used: Use) -> Vec<UnixMillis> {
    let policy = &license.policy;
    let begins = match license.term {
        Term::Dates { from, .. } => Some(from),
        Term::Validity(_) | Term::Endless => None,
    };
    let fresh_until = Some(circumstances.fresh_until);
    let mut moments: Vec<UnixMillis> = [
        begins,
        license.expires_at,
        license.expires_at.map(|end| policy.expiry.applies_from(end)),
        fresh_until,
        fresh_until.map(|end| policy.staleness.applies_from(end)),
        used.excess_since.map(|since| policy.overage.applies_from(since)),
        circumstances.relieved_until,
    ]
    .into_iter()
    .flatten()
    .filter(|at| *at > circumstances.now && *at < UnixMillis(i64::MAX))
    .collect();
    moments.sort_unstable();
    moments.dedup();
    moments
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::super::testing::{DAY, NOW, fresh, license};
    use super::*;

    /// A licence for ten days under a snapshot that is fresh for five.
    #[test]
    fn the_dates_of_what_will_change_are_told_beforehand_and_hold() {
        let mut active = license(1, "EMS", Status::Active);
        active.expires_at = Some(NOW.after(DAY * 40));
        let licenses = [active];
        let now = Circumstances { fresh_until: NOW.after(DAY * 5), ..fresh(NOW) };
        let told = explain(&licenses, "EMS", &now, Use::default());
        assert_eq!((told.verdict, told.new_monitors), (Verdict::Allowed, true));
        let changes: Vec<_> = told.changes.iter().map(|change| (change.at, change.verdict)).collect();
        let day = |number: u32| NOW.after(DAY * number);
        assert_eq!(changes, [(day(5), Verdict::Warned), (day(35), Verdict::NoNew), (day(40), Verdict::Denied)]);
        for (at, verdict) in changes {
            let then = explain(&licenses, "EMS", &Circumstances { now: at, ..now }, Use::default());
            assert_eq!((then.verdict, then.allowed), (verdict, verdict != Verdict::Denied), "{at}");
        }
    }

    #[test]
    fn a_denial_says_why_and_since_when() {
        let mut expired = license(1, "EMS", Status::Expired);
        expired.expires_at = Some(NOW);
        let told = explain(&[expired], "EMS", &fresh(NOW.after(DAY)), Use::default());
        assert_eq!((told.allowed, told.new_monitors, told.reasons[0].since), (false, false, Some(NOW)));
        assert_eq!(
            told.reasons[0].text,
            "the license L1 for EMS expired on 2027-01-15T08:00:00Z; renew it with your vendor"
        );
        let none = explain(&[], "EMS", &fresh(NOW), Use::default());
        assert_eq!(none.reasons[0].text, "this site has no license for EMS; ask your vendor for one");
    }

    #[test]
    fn the_end_of_an_override_is_a_change_to_come() {
        let mut expired = license(1, "EMS", Status::Expired);
        expired.expires_at = Some(NOW);
        let now = Circumstances { relieved_until: Some(NOW.after(DAY * 7)), ..fresh(NOW) };
        let told = explain(&[expired], "EMS", &now, Use::default());
        assert_eq!(told.verdict, Verdict::Warned);
        assert!(told.reasons.iter().any(|reason| reason.text.contains("override")), "{told:?}");
        let sound = explain(&[license(1, "EMS", Status::Active)], "EMS", &now, Use::default());
        let words: Vec<_> = sound.reasons.iter().map(|reason| reason.text.as_str()).collect();
        assert_eq!(words[0], "the license L1 is active, without end", "{words:?}");
        assert!(words[1].contains("override"), "{words:?}");
        assert_eq!(
            told.changes.last().map(|change| (change.at, change.verdict)),
            Some((NOW.after(DAY * 7), Verdict::Denied))
        );
    }

    #[test]
    fn license_management_is_always_allowed() {
        let told = explain(&[], "LM", &fresh(NOW), Use::default());
        assert_eq!((told.verdict, told.license, told.changes), (Verdict::Allowed, None, vec![]));
    }
}
