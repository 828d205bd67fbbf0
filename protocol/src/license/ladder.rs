//! The ladder: observe, warn, block new, block; for expiry, staleness and overage, each with days of grace.
//!
//! Always true: a rung applies from a moment that can be told beforehand, so that whoever is refused, or will be, can be
//! told the date.

use super::{License, Rule, Rung, Status};
use crate::time::UnixMillis;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// What a decision depends on beside the licence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Licence time.
    pub now: UnixMillis,
    /// How long the snapshot may be relied on.
    pub fresh_until: UnixMillis,
    /// The end of an emergency override, if one was declared.
    pub relieved_until: Option<UnixMillis>,
}

/// What runs under a licence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Use {
    /// Monitors.
    pub in_use: u32,
    /// Since when they are more than the quota.
    pub over_since: Option<UnixMillis>,
    /// Since when they are more than is permitted, the overage included: from here the days of grace count.
    pub excess_since: Option<UnixMillis>,
}

/// What is not as it was sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The licence's time is over.
    Expired,
    /// The hub was not heard of for too long.
    Stale,
    /// More monitors run than permitted.
    OverQuota,
}

/// A rung of the ladder, and the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Why.
    pub condition: Condition,
    /// Since when.
    pub since: UnixMillis,
    /// What applies now.
    pub rung: Rung,
    /// What will apply, and from when; `None` if this is the last of it.
    pub next: Option<(Rung, UnixMillis)>,
}

impl Rule {
    /// When the rung applies, if the condition began at `since`.
    pub fn applies_from(self, since: UnixMillis) -> UnixMillis {
        since.after(DAY * u32::from(self.grace_days))
    }

    fn step(self, condition: Condition, since: UnixMillis, now: UnixMillis) -> Step {
        let (from, mild) = (self.applies_from(since), Rung::Warn.min(self.then));
        let waits = now < from && mild != self.then;
        Step {
            condition,
            since,
            rung: if now < from { mild } else { self.then },
            next: waits.then_some((self.then, from)),
        }
    }
}

impl Step {
    /// An override leaves a warning of what would block.
    fn relieved(self, circumstances: &Circumstances) -> Self {
        match circumstances.relieved_until.filter(|until| *until > circumstances.now) {
            Some(until) if self.rung > Rung::Warn => Self { rung: Rung::Warn, next: Some((self.rung, until)), ..self },
            Some(until) => {
                // What would follow during the override follows at its end.
                let next = self.next.map(|(rung, at)| (rung, at.max(until)));
                Self { next, ..self }
            }
            None => self,
        }
    }
}

impl License {
    /// Whether its time is over at `now`.
    pub fn is_over(&self, now: UnixMillis) -> bool {
        self.status == Status::Expired || self.expires_at.is_some_and(|end| end <= now)
    }

    /// How many monitors are permitted, the overage included; `None` for without limit.
    pub fn permitted(&self) -> Option<u32> {
        let quota = self.limits.monitors?;
        let overage = u64::from(quota) * u64::from(self.policy.overage_percent) / 100;
        Some(u32::try_from(u64::from(quota) + overage).unwrap_or(u32::MAX))
    }

    /// What is not as it was sold, in these circumstances: at most one step for each condition. Allocates nothing: it is on
    /// the path of every decision.
    pub fn steps(&self, circumstances: &Circumstances, used: Use) -> impl Iterator<Item = Step> + use<> {
        let Circumstances { now, fresh_until, .. } = *circumstances;
        let expired = self.is_over(now).then(|| {
            let since = self.expires_at.map_or(now, |end| end.min(now));
            self.policy.expiry.step(Condition::Expired, since, now).relieved(circumstances)
        });
        let stale = (fresh_until <= now)
            .then(|| self.policy.staleness.step(Condition::Stale, fresh_until, now).relieved(circumstances));
        let over = self.over_quota(now, used);
        [expired, stale, over].into_iter().flatten()
    }

    /// The strictest rung that applies; `None` if all is as it was sold.
    pub fn rung(&self, circumstances: &Circumstances, used: Use) -> Option<Rung> {
        self.steps(circumstances, used).map(|step| step.rung).max()
    }

    /// An override does not reach the quota: it is for time that ran out, not for more than was bought.
    fn over_quota(&self, now: UnixMillis, used: Use) -> Option<Step> {
        let (quota, permitted) = (self.limits.monitors?, self.permitted()?);
        if used.in_use <= quota {
            return None;
        }
        if used.in_use <= permitted {
            let since = used.over_since.unwrap_or(now).min(now);
            return Some(Step { condition: Condition::OverQuota, since, rung: Rung::Observe, next: None });
        }
        // Not from when the quota was passed: what was sold as overage uses up no grace, however long it runs.
        let since = used.excess_since.unwrap_or(now).min(now);
        Some(self.policy.overage.step(Condition::OverQuota, since, now))
    }
}
