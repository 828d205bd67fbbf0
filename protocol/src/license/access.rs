//! Who may use an app.

use super::ladder::{Circumstances, Condition, Use};
use super::{LICENSE_MANAGEMENT, License, Rung, Status, Term};
use crate::time::UnixMillis;

/// Why an app may not be used, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Nothing was issued for this app.
    #[error("this site has no license for {app}; ask your vendor for one")]
    NoLicense {
        /// The app.
        app: String,
    },
    /// One was issued, and awaits its key.
    #[error("the license {name} for {app} is not activated; activate it with its key")]
    NotActivated {
        /// The app.
        app: String,
        /// The licence's name.
        name: String,
    },
    /// Its time is over.
    #[error("the license {name} for {app} expired on {on}; renew it with your vendor")]
    Expired {
        /// The app.
        app: String,
        /// The licence's name.
        name: String,
        /// When.
        on: UnixMillis,
    },
    /// Its term has not begun.
    #[error("the license {name} for {app} begins on {on}")]
    NotYet {
        /// The app.
        app: String,
        /// The licence's name.
        name: String,
        /// When.
        on: UnixMillis,
    },
    /// The vendor withdrew it, or it was given up.
    #[error("the license {name} for {app} is {status}", status = .status.name())]
    Withdrawn {
        /// The app.
        app: String,
        /// The licence's name.
        name: String,
        /// Deactivated or Invalid.
        status: Status,
    },
    /// The hub was not heard of for so long that nothing may run.
    #[error("the license information is out of date since {since}; connect to the hub or import a bundle")]
    Stale {
        /// When it stopped being fresh.
        since: UnixMillis,
    },
    /// More monitors run than the licence permits, for longer than it bears.
    #[error(
        "more monitors of {app} run ({in_use}) than the license {name} permits ({permitted}), since {since}; release some or buy more"
    )]
    OverQuota {
        /// The app.
        app: String,
        /// The licence's name.
        name: String,
        /// How many run.
        in_use: u32,
        /// How many may.
        permitted: u32,
        /// Since when.
        since: UnixMillis,
    },
}

/// Decides whether `app` may be used. Answers the licence that allows it; `None` for license management itself.
///
/// # Errors
/// The [`Cause`] of the denial.
pub fn access<'a>(
    licenses: &'a [License],
    app: &str,
    circumstances: &Circumstances,
    used: Use,
) -> Result<Option<&'a License>, Cause> {
    if app == LICENSE_MANAGEMENT {
        return Ok(None);
    }
    let license = in_force(licenses, app).ok_or_else(|| why_none(licenses, app))?;
    let name = || license.name.clone();
    if let Term::Dates { from, .. } = license.term
        && circumstances.now < from
    {
        return Err(Cause::NotYet { app: app.to_owned(), name: name(), on: from });
    }
    let Some(step) = license.steps(circumstances, used).find(|step| step.rung == Rung::Block) else {
        return Ok(Some(license));
    };
    Err(match step.condition {
        Condition::Expired => Cause::Expired { app: app.to_owned(), name: name(), on: step.since },
        Condition::Stale => Cause::Stale { since: step.since },
        Condition::OverQuota => Cause::OverQuota {
            app: app.to_owned(),
            name: name(),
            in_use: used.in_use,
            permitted: license.permitted().unwrap_or(u32::MAX),
            since: step.since,
        },
    })
}

/// The licence that counts for an app: the Active one, or the one whose time ran out last.
pub fn in_force<'a>(licenses: &'a [License], app: &str) -> Option<&'a License> {
    let of_app = || licenses.iter().filter(|license| license.app == app);
    of_app().filter(|license| license.status == Status::Active).max_by_key(|license| license.activated_at).or_else(
        || of_app().filter(|license| license.status == Status::Expired).max_by_key(|license| license.expires_at),
    )
}

fn why_none(licenses: &[License], app: &str) -> Cause {
    let of_app = || licenses.iter().filter(|license| license.app == app);
    let waiting = of_app().find(|license| license.status == Status::Inactive);
    match (waiting, of_app().next_back()) {
        (Some(license), _) => Cause::NotActivated { app: app.to_owned(), name: license.name.clone() },
        (None, Some(license)) => {
            Cause::Withdrawn { app: app.to_owned(), name: license.name.clone(), status: license.status }
        }
        (None, None) => Cause::NoLicense { app: app.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DAY, NOW, fresh, license};
    use super::*;

    #[test]
    fn access_is_denied_with_the_cause_that_fits() {
        let mut expired = license(3, "CBM", Status::Active);
        expired.expires_at = Some(UnixMillis(NOW.0 - 1));
        let licenses = [
            license(1, "EMS", Status::Active),
            license(2, "XYZ", Status::Inactive),
            expired,
            license(4, "OLD", Status::Invalid),
        ];
        let access = |app| access(&licenses, app, &fresh(NOW), Use::default());
        assert_eq!(access("EMS").unwrap().unwrap().name, "L1");
        assert_eq!(access("LM"), Ok(None));
        assert!(matches!(access("XYZ"), Err(Cause::NotActivated { .. })));
        assert!(matches!(access("CBM"), Err(Cause::Expired { .. })));
        assert!(matches!(access("OLD"), Err(Cause::Withdrawn { .. })));
        assert!(matches!(access("???"), Err(Cause::NoLicense { .. })));
    }

    #[test]
    fn a_stale_snapshot_warns_and_then_blocks_new_monitors_but_never_access() {
        let active = license(1, "EMS", Status::Active);
        let at = |days: u32| Circumstances { now: NOW.after(DAY * days), fresh_until: NOW, relieved_until: None };
        assert_eq!(active.rung(&fresh(NOW), Use::default()), None);
        assert_eq!(active.rung(&at(29), Use::default()), Some(Rung::Warn));
        assert_eq!(active.rung(&at(30), Use::default()), Some(Rung::BlockNew));
        assert!(access(&[active], "EMS", &at(3_000), Use::default()).is_ok());
    }

    #[test]
    fn an_override_lets_what_has_expired_run_until_its_end() {
        let mut expired = license(1, "EMS", Status::Expired);
        expired.expires_at = Some(NOW);
        let at = |day: u32| Circumstances {
            now: NOW.after(DAY * day),
            relieved_until: Some(NOW.after(DAY * 7)),
            ..fresh(NOW)
        };
        let access = |day| access(std::slice::from_ref(&expired), "EMS", &at(day), Use::default()).is_ok();
        assert_eq!([access(0), access(6), access(7)], [true, true, false]);
    }

    #[test]
    fn an_overage_that_lasts_blocks_where_the_licence_says_so() {
        let mut active = license(1, "EMS", Status::Active);
        active.policy.overage = super::super::Rule { grace_days: 3, then: Rung::Block };
        let used = Use { in_use: 5, over_since: Some(NOW), excess_since: Some(NOW) };
        let access = |day: u32| access(std::slice::from_ref(&active), "EMS", &fresh(NOW.after(DAY * day)), used);
        assert!(access(2).is_ok());
        assert!(matches!(access(3), Err(Cause::OverQuota { in_use: 5, permitted: 2, .. })));
    }

    #[test]
    fn a_month_within_the_overage_uses_up_no_grace_when_the_vendor_lowers_it() {
        let mut active = license(1, "EMS", Status::Active);
        active.limits.monitors = Some(100);
        let grace = super::super::Rule { grace_days: 7, then: Rung::Block };
        active.policy = super::super::Policy { overage: grace, overage_percent: 5, ..active.policy };
        let used = Use { in_use: 110, over_since: Some(NOW), excess_since: Some(NOW.after(DAY * 30)) };
        let access = |day: u32| access(std::slice::from_ref(&active), "EMS", &fresh(NOW.after(DAY * day)), used);
        assert!(access(30).is_ok() && access(36).is_ok());
        assert!(matches!(access(37), Err(Cause::OverQuota { permitted: 105, .. })));
    }
}
