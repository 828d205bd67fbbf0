//! How licences, the clock and overrides stand, as `status` shows it.

use super::Api;
use super::explain::name;
use crate::clock::Standing;
use crate::enforcement::State;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::license::{License, Verdict};
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::trusted_time::Pace;
use std::time::Duration;

/// What is not plain about a licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concern {
    /// What its app may do: `allowed`, `warned`, `no_new` or `denied`.
    pub verdict: String,
    /// Why, in words.
    pub why: Vec<String>,
    /// When that changes next, if nobody does anything.
    pub changes_at: Option<String>,
    /// What changes then, in words.
    pub change: Option<String>,
}

/// The clock in a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// What time it is for licences.
    pub license_time: String,
    /// What the machine's clock says.
    pub wall_clock: String,
    /// The machine's clock minus licence time, seconds.
    pub offset_seconds: i64,
    /// `steady`, `ahead` or `behind`: how the machine's clock stands to licence time.
    pub pace: String,
    /// The newest time that the hub has signed.
    pub last_heard: String,
    /// What is wrong and what to do, if something is.
    pub warning: Option<String>,
}

/// Emergency overrides in a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverrideStatus {
    /// When the one in force ends by itself; none if none is.
    pub until: Option<String>,
    /// Days of overrides that are left, of any 365.
    pub days_left: u16,
    /// Days of overrides that the vendor allows in any 365.
    pub days_allowed: u16,
}

/// What is not plain about a licence that counts for its app; `None` if all is as it was sold.
pub(super) fn concern(state: &State, license: &License, now: UnixMillis) -> Option<Concern> {
    let told = state.explain(&license.app, now);
    // Where another licence counts, this one has nothing to say.
    if told.license.as_ref().is_some_and(|counts| *counts != license.name) {
        return None;
    }
    let over = license.limits.monitors.is_some_and(|quota| told.in_use > quota);
    if told.verdict == Verdict::Allowed && !over {
        return None;
    }
    let next = told.changes.first();
    Some(Concern {
        verdict: name(told.verdict),
        why: told.reasons.into_iter().map(|reason| reason.text).collect(),
        changes_at: next.map(|change| change.at.to_string()),
        change: next.map(|change| change.text.clone()),
    })
}

pub(super) fn clock(standing: &Standing) -> ClockStatus {
    let Standing { now, wall, pace, last_heard } = *standing;
    let apart = span(wall.since(now).max(now.since(wall)));
    let (pace, warning) = match pace {
        Pace::Steady => ("steady", None),
        Pace::Ahead => (
            "ahead",
            Some(format!(
                "this machine's clock is {apart} ahead of license time, which follows it slowly. Set the clock right; \
                 if it is right, connect to the hub once, and license time is corrected"
            )),
        ),
        Pace::Behind => (
            "behind",
            Some(format!(
                "this machine's clock is {apart} behind license time, which goes on by the machine's uptime and never \
                 back. Set the clock right; if it is right, connect to the hub once, and license time is corrected"
            )),
        ),
    };
    ClockStatus {
        license_time: now.to_string(),
        wall_clock: wall.to_string(),
        offset_seconds: wall.seconds().saturating_sub(now.seconds()),
        pace: pace.to_owned(),
        last_heard: last_heard.to_string(),
        warning,
    }
}

pub(super) fn overrides(api: &Api, now: UnixMillis) -> OverrideStatus {
    let state = api.enforcement.state();
    let days_allowed = state.snapshot.override_days;
    OverrideStatus {
        until: state.reliefs.until(now, state.snapshot.override_days).map(|until| until.to_string()),
        days_left: state.reliefs.days_left(days_allowed, now),
        days_allowed,
    }
}

/// A span in the unit that a person would use.
fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7_200 => format!("{} minutes", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} hours", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_in_words_with_what_to_do() {
        let now = UnixMillis(1_800_000_000_000);
        let standing = |wall, pace| Standing { now, wall, pace, last_heard: now };
        assert_eq!(clock(&standing(now, Pace::Steady)).warning, None);
        let ahead = clock(&standing(now.after(Duration::from_secs(3 * 86_400)), Pace::Ahead));
        assert_eq!((ahead.offset_seconds, ahead.pace.as_str()), (259_200, "ahead"));
        assert!(ahead.warning.unwrap().starts_with("this machine's clock is 3 days ahead of license time"));
        let behind = clock(&standing(UnixMillis(now.0 - 3_600_000), Pace::Behind));
        assert_eq!(behind.offset_seconds, -3_600);
        assert!(behind.warning.unwrap().starts_with("this machine's clock is 60 minutes behind"));
    }
}
