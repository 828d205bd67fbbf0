//! Who may run what, and how many.

use super::{LICENSE_MANAGEMENT, License, Rung, Status};
use crate::codec::{Decode, Encode};
use crate::id::{LicenseId, SiteId};
use crate::time::UnixMillis;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// An activation made at the site that the snapshot may not show yet.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LocalActivation {
    /// Which licence.
    pub license: LicenseId,
    /// The licence it took the place of.
    pub replaces: Option<LicenseId>,
    /// When, by the site's clock.
    pub at: UnixMillis,
}

/// The licences as they stand here and now: the snapshot's, with the site's own activations that the hub has not heard
/// of yet. The hub's word wins as soon as it says anything but Inactive.
pub fn effective(snapshot: &[License], local: &[LocalActivation]) -> Vec<License> {
    let mut licenses = snapshot.to_vec();
    for activation in local {
        let Some(license) =
            licenses.iter_mut().find(|license| license.id == activation.license && license.status == Status::Inactive)
        else {
            continue;
        };
        license.status = Status::Active;
        license.activated_at = Some(activation.at);
        license.expires_at = license.term.expiry(activation.at);
        if let Some(old) = licenses
            .iter_mut()
            .find(|license| Some(license.id) == activation.replaces && license.status == Status::Active)
        {
            old.status = Status::Deactivated;
        }
    }
    licenses
}

/// How a licence stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The strictest rung that applies; `None` if all is well.
    pub rung: Option<Rung>,
    /// Whether time has run out.
    pub expired: bool,
}

impl License {
    /// How this licence stands at `now`, with a snapshot that is fresh until `fresh_until`.
    pub fn standing(&self, now: UnixMillis, fresh_until: UnixMillis) -> Standing {
        let expired = self.status == Status::Expired || self.expires_at.is_some_and(|end| end <= now);
        let since_expiry = self.expires_at.map_or(Duration::MAX, |end| now.since(end));
        let rungs = [
            expired.then(|| rung_after(self.policy.expiry, since_expiry)),
            (fresh_until <= now).then(|| rung_after(self.policy.staleness, now.since(fresh_until))),
        ];
        Standing { rung: rungs.into_iter().flatten().max(), expired }
    }
}

fn rung_after(rule: super::Rule, since: Duration) -> Rung {
    if since < DAY * u32::from(rule.grace_days) { Rung::Warn.min(rule.then) } else { rule.then }
}

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
    /// The hub was not heard of for so long that nothing new may start.
    #[error("the license information is out of date since {since}; connect to the hub or import a bundle")]
    Stale {
        /// When it stopped being fresh.
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
    now: UnixMillis,
    fresh_until: UnixMillis,
) -> Result<Option<&'a License>, Cause> {
    if app == LICENSE_MANAGEMENT {
        return Ok(None);
    }
    let license = in_force(licenses, app).ok_or_else(|| why_none(licenses, app))?;
    let named = || (license.app.clone(), license.name.clone());
    if let super::Term::Dates { from, .. } = license.term
        && now < from
    {
        let (app, name) = named();
        return Err(Cause::NotYet { app, name, on: from });
    }
    let standing = license.standing(now, fresh_until);
    match standing.rung {
        Some(Rung::Block) if standing.expired => {
            let (app, name) = named();
            Err(Cause::Expired { app, name, on: license.expires_at.unwrap_or(now) })
        }
        Some(Rung::Block) => Err(Cause::Stale { since: fresh_until }),
        _ => Ok(Some(license)),
    }
}

/// The licence that counts for an app: the Active one, or the one whose time ran out last.
fn in_force<'a>(licenses: &'a [License], app: &str) -> Option<&'a License> {
    let of_app = || licenses.iter().filter(|license| license.app == app);
    of_app().filter(|license| license.status == Status::Active).max_by_key(|license| license.activated_at).or_else(
        || of_app().filter(|license| license.status == Status::Expired).max_by_key(|license| license.expires_at),
    )
}

fn why_none(licenses: &[License], app: &str) -> Cause {
    let of_app: Vec<_> = licenses.iter().filter(|license| license.app == app).collect();
    let waiting = of_app.iter().find(|license| license.status == Status::Inactive);
    match (waiting, of_app.last()) {
        (Some(license), _) => Cause::NotActivated { app: app.to_owned(), name: license.name.clone() },
        (None, Some(license)) => {
            Cause::Withdrawn { app: app.to_owned(), name: license.name.clone(), status: license.status }
        }
        (None, None) => Cause::NoLicense { app: app.to_owned() },
    }
}

/// One monitor more would be over what is permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the monitor count ({would_be}) exceeds the permitted count ({permitted})")]
pub struct OverQuota {
    /// How many there would be.
    pub would_be: u32,
    /// How many there may be, the overage included.
    pub permitted: u32,
}

/// Decides whether one more monitor fits beside `in_use`.
///
/// # Errors
/// [`OverQuota`].
pub fn may_reserve(license: &License, in_use: u32) -> Result<(), OverQuota> {
    let Some(quota) = license.limits.monitors else { return Ok(()) };
    let overage = u64::from(quota) * u64::from(license.policy.overage_percent) / 100;
    let permitted = u32::try_from(u64::from(quota) + overage).unwrap_or(u32::MAX);
    let would_be = in_use.saturating_add(1);
    if would_be > permitted { Err(OverQuota { would_be, permitted }) } else { Ok(()) }
}

/// Why a key does not activate anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivationError {
    /// No licence of this site has the key.
    #[error("License does not exist")]
    Unknown,
    /// The licence was used already, or withdrawn.
    #[error("License either in-use/expired/revoked")]
    Spent,
    /// More monitors run than it permits.
    #[error(
        "Unable to activate the license as the current monitor count ({in_use}) exceeds the permitted count ({permitted})"
    )]
    QuotaTooSmall {
        /// How many run.
        in_use: u32,
        /// How many it permits.
        permitted: u32,
    },
    /// Another licence is in force for the same app, and the caller has not said that it may be given up.
    #[error("the license {} is active for {}; say that it is to be replaced", .current.name, .current.app)]
    Occupied {
        /// The one in force.
        current: Box<License>,
        /// The one asked for.
        new: Box<License>,
    },
}

/// An activation that may be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedActivation {
    /// Which licence.
    pub license: LicenseId,
    /// The licence that is given up for it.
    pub replaces: Option<LicenseId>,
}

/// Decides whether `key` may be activated while `in_use(app)` monitors run.
///
/// # Errors
/// See [`ActivationError`].
pub fn activate(
    licenses: &[License],
    site: SiteId,
    key: &str,
    replace: bool,
    now: UnixMillis,
    in_use: impl Fn(&str) -> u32,
) -> Result<AllowedActivation, ActivationError> {
    let new = licenses.iter().find(|license| license.key.matches(site, key)).ok_or(ActivationError::Unknown)?;
    let over = new.term.expiry(now).is_some_and(|end| end <= now);
    if new.status != Status::Inactive || over {
        return Err(ActivationError::Spent);
    }
    let running = in_use(&new.app);
    if let Some(permitted) = new.limits.monitors.filter(|quota| running > *quota) {
        return Err(ActivationError::QuotaTooSmall { in_use: running, permitted });
    }
    let current = licenses.iter().find(|license| license.app == new.app && license.status == Status::Active);
    match current {
        Some(current) if !replace && current.expires_at.is_none_or(|end| end > now) => {
            Err(ActivationError::Occupied { current: Box::new(current.clone()), new: Box::new(new.clone()) })
        }
        _ => Ok(AllowedActivation { license: new.id, replaces: current.map(|license| license.id) }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KeyDigest, Kind, Limits, Policy, Term};
    use super::*;

    const SITE: SiteId = SiteId::from_bytes([1; 16]);
    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const FRESH: UnixMillis = UnixMillis(i64::MAX);

    fn license(number: u8, app: &str, status: Status) -> License {
        License {
            id: LicenseId::from_bytes([number; 16]),
            name: format!("L{number}"),
            app: app.into(),
            kind: Kind::Subscription,
            term: Term::Validity("1y".parse().unwrap()),
            limits: Limits { monitors: Some(2), ..Limits::default() },
            features: vec![],
            policy: Policy::default(),
            status,
            activated_at: None,
            expires_at: None,
            key: KeyDigest::of(SITE, &format!("key{number}")),
            revision: 1,
        }
    }

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
        assert_eq!(access(&licenses, "EMS", NOW, FRESH).unwrap().unwrap().name, "L1");
        assert_eq!(access(&licenses, "LM", NOW, FRESH), Ok(None));
        assert!(matches!(access(&licenses, "XYZ", NOW, FRESH), Err(Cause::NotActivated { .. })));
        assert!(matches!(access(&licenses, "CBM", NOW, FRESH), Err(Cause::Expired { .. })));
        assert!(matches!(access(&licenses, "OLD", NOW, FRESH), Err(Cause::Withdrawn { .. })));
        assert!(matches!(access(&licenses, "???", NOW, FRESH), Err(Cause::NoLicense { .. })));
    }

    #[test]
    fn a_stale_snapshot_warns_and_then_blocks_new_monitors_but_never_access() {
        let active = license(1, "EMS", Status::Active);
        let days = |days: u32| NOW.after(DAY * days);
        assert_eq!(active.standing(NOW, days(1)).rung, None);
        assert_eq!(active.standing(days(29), NOW).rung, Some(Rung::Warn));
        assert_eq!(active.standing(days(30), NOW).rung, Some(Rung::BlockNew));
        assert!(access(&[active], "EMS", days(3_000), NOW).is_ok());
    }

    #[test]
    fn the_quota_is_hard_unless_an_overage_was_sold() {
        let mut active = license(1, "EMS", Status::Active);
        assert_eq!(may_reserve(&active, 1), Ok(()));
        assert_eq!(may_reserve(&active, 2), Err(OverQuota { would_be: 3, permitted: 2 }));
        active.policy.overage_percent = 50;
        assert_eq!(may_reserve(&active, 2), Ok(()));
        active.limits.monitors = None;
        assert_eq!(may_reserve(&active, u32::MAX), Ok(()));
    }

    #[test]
    fn a_second_activation_asks_first_and_then_replaces() {
        let licenses = [license(1, "EMS", Status::Active), license(2, "EMS", Status::Inactive)];
        assert!(matches!(activate(&licenses, SITE, "key2", false, NOW, |_| 0), Err(ActivationError::Occupied { .. })));
        let allowed = activate(&licenses, SITE, "key2", true, NOW, |_| 2).unwrap();
        assert_eq!(allowed.replaces, Some(licenses[0].id));
        let local = [LocalActivation { license: allowed.license, replaces: allowed.replaces, at: NOW }];
        let after = effective(&licenses, &local);
        assert_eq!(
            after.iter().map(|license| license.status).collect::<Vec<_>>(),
            [Status::Deactivated, Status::Active]
        );
        assert_eq!(after[1].expires_at, licenses[1].term.expiry(NOW));
    }

    #[test]
    fn the_hubs_word_wins_over_an_activation_made_here() {
        let local = [LocalActivation { license: LicenseId::from_bytes([2; 16]), replaces: None, at: NOW }];
        let revoked = [license(2, "EMS", Status::Invalid)];
        assert_eq!(effective(&revoked, &local)[0].status, Status::Invalid);
    }

    #[test]
    fn keys_that_are_unknown_spent_or_too_small_are_refused() {
        let licenses = [license(1, "EMS", Status::Invalid), license(2, "CBM", Status::Inactive)];
        assert_eq!(activate(&licenses, SITE, "nothing", false, NOW, |_| 0), Err(ActivationError::Unknown));
        assert_eq!(activate(&licenses, SITE, "key1", false, NOW, |_| 0), Err(ActivationError::Spent));
        assert_eq!(
            activate(&licenses, SITE, "key2", false, NOW, |_| 3),
            Err(ActivationError::QuotaTooSmall { in_use: 3, permitted: 2 })
        );
    }
}
