//! How many monitors may run.

use super::ladder::{Circumstances, Condition, Use};
use super::{License, Rung};
use crate::time::UnixMillis;

/// One monitor more would be over what is permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the monitor count ({would_be}) exceeds the permitted count ({permitted})")]
pub struct OverQuota {
    /// How many there would be.
    pub would_be: u32,
    /// How many there may be, the overage included.
    pub permitted: u32,
}

/// What runs goes on, and nothing new may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockedNew {
    /// The licence's time is over.
    #[error("the license has expired on {0}; what runs goes on, renew the license to start more")]
    Expired(UnixMillis),
    /// The hub was not heard of for too long.
    #[error(
        "the license information is out of date since {0}; what runs goes on, connect to the hub or import a bundle to start more"
    )]
    Stale(UnixMillis),
}

/// Why one monitor more may not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// Nothing new may start.
    #[error(transparent)]
    BlockedNew(#[from] BlockedNew),
    /// The quota is used up.
    #[error(transparent)]
    Quota(#[from] OverQuota),
}

/// Decides whether one more monitor may run beside those in use.
///
/// # Errors
/// [`NoRoom`].
pub fn may_reserve(license: &License, circumstances: &Circumstances, used: Use) -> Result<(), NoRoom> {
    let timely = |step: &super::Step| step.condition != Condition::OverQuota && step.rung >= Rung::BlockNew;
    if let Some(step) = license.steps(circumstances, used).find(timely) {
        return Err(match step.condition {
            Condition::Expired => BlockedNew::Expired(step.since).into(),
            Condition::Stale | Condition::OverQuota => BlockedNew::Stale(step.since).into(),
        });
    }
    let Some(permitted) = license.permitted() else { return Ok(()) };
    let would_be = used.in_use.saturating_add(1);
    let with_it = Use { in_use: would_be, ..used };
    let blocked = |step: super::Step| step.condition == Condition::OverQuota && step.rung >= Rung::BlockNew;
    if license.steps(circumstances, with_it).any(blocked) {
        Err(OverQuota { would_be, permitted }.into())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DAY, NOW, fresh, license};
    use super::super::{Rule, Status};
    use super::*;

    const fn running(in_use: u32) -> Use {
        Use { in_use, over_since: None, excess_since: None }
    }

    #[test]
    fn the_quota_is_hard_unless_an_overage_was_sold() {
        let mut active = license(1, "EMS", Status::Active);
        let now = fresh(NOW);
        assert_eq!(may_reserve(&active, &now, running(1)), Ok(()));
        assert_eq!(may_reserve(&active, &now, running(2)), Err(OverQuota { would_be: 3, permitted: 2 }.into()));
        active.policy.overage_percent = 50;
        assert_eq!(may_reserve(&active, &now, running(2)), Ok(()));
        assert_eq!(may_reserve(&active, &now, running(3)), Err(OverQuota { would_be: 4, permitted: 3 }.into()));
        active.limits.monitors = None;
        assert_eq!(may_reserve(&active, &now, running(u32::MAX)), Ok(()));
    }

    #[test]
    fn where_the_vendor_chose_a_milder_rung_the_quota_only_warns() {
        let mut active = license(1, "EMS", Status::Active);
        active.policy.overage = Rule { grace_days: 0, then: Rung::Warn };
        assert_eq!(may_reserve(&active, &fresh(NOW), running(2)), Ok(()));
        active.policy.overage = Rule { grace_days: 3, then: Rung::BlockNew };
        let over = Use { in_use: 3, over_since: Some(NOW), excess_since: Some(NOW) };
        assert_eq!(may_reserve(&active, &fresh(NOW.after(DAY * 2)), over), Ok(()));
        assert!(may_reserve(&active, &fresh(NOW.after(DAY * 3)), over).is_err());
    }

    #[test]
    fn after_its_end_and_when_stale_nothing_new_starts() {
        let mut active = license(1, "EMS", Status::Active);
        let stale = Circumstances { now: NOW.after(DAY * 30), fresh_until: NOW, relieved_until: None };
        assert_eq!(may_reserve(&active, &stale, running(0)), Err(BlockedNew::Stale(NOW).into()));
        active.expires_at = Some(NOW);
        active.policy.expiry = Rule { grace_days: 1, then: Rung::BlockNew };
        assert_eq!(may_reserve(&active, &fresh(NOW), running(0)), Ok(()));
        let later = fresh(NOW.after(DAY));
        assert_eq!(may_reserve(&active, &later, running(0)), Err(BlockedNew::Expired(NOW).into()));
    }
}
