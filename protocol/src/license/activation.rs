//! Which key activates which licence, and what the site's own activations make of the hub's licences.

use super::{License, Rung, Status, Term, in_force};
use crate::codec::{Decode, Encode};
use crate::id::{LicenseId, SiteId};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// An activation made at the site that the snapshot may not show yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalActivation {
    /// Which licence.
    pub license: LicenseId,
    /// The licence it took the place of.
    pub replaces: Option<LicenseId>,
    /// When, by the site's clock.
    pub at: UnixMillis,
}

/// The licences as they stand here and now: the snapshot's, with the site's own activations that the hub has not heard
/// of yet. The hub's word wins as soon as it says anything but Inactive. Where it put another licence of the app in force
/// meanwhile, the one that was activated later counts and the other is given up: the hub will decide the same.
pub fn effective(snapshot: &[License], local: &[LocalActivation]) -> Vec<License> {
    let mut licenses = snapshot.to_vec();
    for activation in local {
        let ours = |license: &License| license.id == activation.license && license.status == Status::Inactive;
        let Some(new) = licenses.iter().position(ours) else { continue };
        let app = licenses[new].app.clone();
        let in_force = |other: &License| other.app == app && other.status == Status::Active;
        let is_later =
            |other: &License| Some(other.id) != activation.replaces && other.activated_at > Some(activation.at);
        let outdone = licenses.iter().any(|other| in_force(other) && is_later(other));
        if !outdone {
            licenses.iter_mut().filter(|other| in_force(other)).for_each(|other| other.status = Status::Deactivated);
        }
        let new = &mut licenses[new];
        new.status = if outdone { Status::Deactivated } else { Status::Active };
        new.activated_at = Some(activation.at);
        new.expires_at = new.term.expiry(activation.at);
    }
    licenses
}

/// Why a key does not activate anything.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
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
    /// Its term has not begun, and another licence lets the app run until then.
    #[error(
        "License begins on {from}; the license {current} stays in force for {app} until then, activate this one from that day on"
    )]
    NotBegun {
        /// The app.
        app: String,
        /// The name of the licence that runs.
        current: String,
        /// When the term of the one asked for begins.
        from: UnixMillis,
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
    if let Term::Dates { from, .. } = new.term
        && now < from
        && let Some(current) = in_force(licenses, &new.app).filter(|current| lets_run(current, now))
    {
        // What was given up does not come back, and the new one would let nothing run yet.
        return Err(ActivationError::NotBegun { app: new.app.clone(), current: current.name.clone(), from });
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

/// Whether a licence that is in force lets its app run as far as its own time goes, the days of grace included.
fn lets_run(license: &License, now: UnixMillis) -> bool {
    let begun = !matches!(license.term, Term::Dates { from, .. } if now < from);
    let rule = license.policy.expiry;
    let in_grace = license.expires_at.is_some_and(|end| now < rule.applies_from(end));
    begun && (!license.is_over(now) || rule.then < Rung::Block || in_grace)
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::super::testing::{DAY, NOW, SITE, license};
    use super::*;

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
    fn what_runs_is_not_given_up_for_a_term_that_has_not_begun() {
        let (from, until) = (NOW.after(DAY * 10), NOW.after(DAY * 20));
        let next = License { term: Term::Dates { from, until }, ..license(2, "EMS", Status::Inactive) };
        let with = |current: License| [current, next.clone()];
        let typed = |licenses: &[License], now| activate(licenses, SITE, "key2", true, now, |_| 0);
        let running = with(license(1, "EMS", Status::Active));
        let refused = ActivationError::NotBegun { app: "EMS".into(), current: "L1".into(), from };
        assert_eq!(typed(&running, NOW), Err(refused.clone()));
        assert!(typed(&running, from).is_ok());
        // Its days of grace count as well; when they are over there is nothing left to lose.
        let mut ended = License { expires_at: Some(NOW), ..license(1, "EMS", Status::Expired) };
        ended.policy.expiry = Rule { grace_days: 5, then: Rung::Block };
        assert_eq!(typed(&with(ended.clone()), NOW.after(DAY * 4)), Err(refused));
        assert!(typed(&with(ended), NOW.after(DAY * 5)).is_ok());
        assert!(typed(std::slice::from_ref(&next), NOW).is_ok());
    }

    #[test]
    fn the_hubs_word_wins_over_an_activation_made_here() {
        let local = [LocalActivation { license: LicenseId::from_bytes([2; 16]), replaces: None, at: NOW }];
        let revoked = [license(2, "EMS", Status::Invalid)];
        assert_eq!(effective(&revoked, &local)[0].status, Status::Invalid);
    }

    #[test]
    fn of_one_activated_here_and_one_at_the_hub_the_later_is_in_force_alone() {
        let local = [LocalActivation { license: LicenseId::from_bytes([2; 16]), replaces: None, at: NOW }];
        for (at_hub, expected) in
            [(-1, [Status::Deactivated, Status::Active]), (1, [Status::Active, Status::Deactivated])]
        {
            let mut other = license(1, "EMS", Status::Active);
            other.activated_at = Some(UnixMillis(NOW.0 + at_hub));
            let after = effective(&[other, license(2, "EMS", Status::Inactive)], &local);
            assert_eq!(after.iter().map(|license| license.status).collect::<Vec<_>>(), expected, "{at_hub}");
        }
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
