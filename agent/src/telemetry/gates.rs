//! What the site's licences let Control Core do: test policies, and promote them to production.
//!
//! Decided from the snapshot, without the hub: "connected" in the documented reasons means that the hub's word is still
//! fresh, so that a broken line closes no gate by itself.
//!
//! The tier: `trial` if every licence in force is a trial, `custom` if one is a subscription or perpetual, `none` if
//! none is in force. A licence is in force if it is the one that counts for its app, expired or not.

use crate::enforcement::State;
use sitewarden_protocol::license::{self, Kind, License};
use sitewarden_protocol::time::UnixMillis;
use std::collections::BTreeSet;

/// The feature that opens policy testing.
const TEST_POLICIES: &str = "test_policies";
/// The feature that opens promotion to production.
const PROMOTE_PRODUCTION: &str = "promote_production";
/// From so many days before its end on, a trial is warned about.
const WARN_DAYS: i64 = 7;
const DAY: i64 = 86_400_000;

/// What can be gated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Testing of policies.
    TestPolicies,
    /// Promotion to production.
    PromoteProduction,
}

/// Why a gate is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The hub has not been heard of, or has issued nothing that is in force.
    NotConnected,
    /// The trial is over.
    TrialExpired,
    /// No licence that may be used has the feature.
    NotLicensed,
}

/// How the site's licences stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `trial`, `custom` or `none`.
    pub tier: &'static str,
    /// When the trial ends or ended; `None` unless the tier is `trial`, or if it has no end.
    pub trial_end: Option<UnixMillis>,
    /// Whether it has.
    pub trial_expired: bool,
    /// Whole days until it ends, begun ones included.
    pub trial_days: Option<i64>,
    /// `active`, `expired` or `inactive`.
    pub status: &'static str,
    /// Whether policies may be tested.
    pub test_policies: Result<(), Closed>,
    /// Whether policies may be promoted to production.
    pub promote_production: Result<(), Closed>,
    /// What an administrator should know.
    pub warning: Option<String>,
}

impl Gate {
    const fn feature(self) -> &'static str {
        match self {
            Self::TestPolicies => TEST_POLICIES,
            Self::PromoteProduction => PROMOTE_PRODUCTION,
        }
    }

    /// The documented message.
    pub const fn message(self, open: Result<(), Closed>) -> &'static str {
        match (self, open) {
            (Self::TestPolicies, Ok(())) => "Policy testing enabled",
            (Self::PromoteProduction, Ok(())) => "Production deployment enabled",
            (Self::TestPolicies, Err(Closed::NotConnected)) => {
                "Connect to Control Core License Server in General Settings (Telemetry tab) to enable policy testing"
            }
            (Self::PromoteProduction, Err(Closed::NotConnected)) => {
                "Connect to Control Core License Server in General Settings (Telemetry tab) to enable production deployment"
            }
            (Self::TestPolicies, Err(Closed::TrialExpired)) => {
                "Trial period has expired. Please upgrade to continue policy testing."
            }
            (Self::PromoteProduction, Err(Closed::TrialExpired)) => {
                "Trial period has expired. Please upgrade to continue production deployment."
            }
            (Self::TestPolicies, Err(Closed::NotLicensed)) => {
                "Your license does not include policy testing. Please upgrade to enable it."
            }
            (Self::PromoteProduction, Err(Closed::NotLicensed)) => {
                "Your license does not include production deployment. Please upgrade to enable it."
            }
        }
    }
}

/// The documented reason.
pub const fn reason(open: Result<(), Closed>) -> &'static str {
    match open {
        Ok(()) => "License verified",
        Err(Closed::NotConnected) => "License server connection required",
        Err(Closed::TrialExpired) => "Trial expired",
        Err(Closed::NotLicensed) => "Feature not licensed",
    }
}

/// How the licences stand at `now`.
pub fn standing(state: &State, now: UnixMillis) -> Standing {
    let apps: BTreeSet<&str> = state.licenses.iter().map(|license| license.app.as_str()).collect();
    let in_force: Vec<&License> = apps.into_iter().filter_map(|app| license::in_force(&state.licenses, app)).collect();
    let usable: Vec<&License> =
        in_force.iter().copied().filter(|license| state.access(&license.app, now).is_ok()).collect();
    let is_trial = !in_force.is_empty() && in_force.iter().all(|license| license.kind == Kind::Trial);
    // Of several trials the one that lasts longest counts, and one without end longer than any.
    let ends: Option<Vec<UnixMillis>> = in_force.iter().map(|license| license.expires_at).collect();
    let trial_end = ends.and_then(|ends| ends.into_iter().max()).filter(|_| is_trial);
    let trial_expired = trial_end.is_some_and(|end| end <= now);
    let trial_days = trial_end.map(|end| days_left(end, now));
    let fresh = now < state.snapshot.fresh_until && !in_force.is_empty();
    let gate = |gate: Gate| {
        if trial_expired {
            Err(Closed::TrialExpired)
        } else if !fresh {
            Err(Closed::NotConnected)
        } else if usable.iter().any(|license| license.features.iter().any(|feature| feature == gate.feature())) {
            Ok(())
        } else {
            Err(Closed::NotLicensed)
        }
    };
    let warning = if trial_expired {
        Some("Trial period has expired. Please upgrade.".to_owned())
    } else if !fresh {
        Some("License server connection required".to_owned())
    } else {
        trial_days.filter(|days| *days <= WARN_DAYS).map(|days| format!("Trial period ends in {days} day(s)"))
    };
    Standing {
        tier: if is_trial {
            "trial"
        } else if in_force.is_empty() {
            "none"
        } else {
            "custom"
        },
        trial_end,
        trial_expired,
        trial_days,
        status: if !usable.is_empty() {
            "active"
        } else if in_force.is_empty() {
            "inactive"
        } else {
            "expired"
        },
        test_policies: gate(Gate::TestPolicies),
        promote_production: gate(Gate::PromoteProduction),
        warning,
    }
}

fn days_left(end: UnixMillis, now: UnixMillis) -> i64 {
    let left = end.0.saturating_sub(now.0).max(0);
    left / DAY + i64::from(left % DAY > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sitewarden_protocol::id::{LicenseId, PlantId, SiteId};
    use sitewarden_protocol::license::{KeyDigest, Limits, Policy, Reliefs, Status, Term};
    use sitewarden_protocol::snapshot::{Snapshot, Trust, Version};
    use std::sync::Arc;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const SITE: SiteId = SiteId::from_bytes([1; 16]);

    fn license(app: &str, kind: Kind, features: &[&str], days: Option<i64>) -> License {
        License {
            id: LicenseId::from_bytes([2; 16]),
            name: app.into(),
            description: String::new(),
            app: app.into(),
            kind,
            term: Term::Endless,
            limits: Limits::default(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
            policy: Policy::default(),
            status: Status::Active,
            activated_at: Some(UnixMillis(1)),
            expires_at: days.map(|days| UnixMillis(NOW.0 + days * DAY)),
            created_at: UnixMillis(1),
            key: KeyDigest::of(SITE, "key"),
            key_hint: String::new(),
            revision: 1,
        }
    }

    fn at(licenses: Vec<License>, fresh_until: UnixMillis) -> Standing {
        let snapshot = Snapshot {
            site: SITE,
            site_name: String::new(),
            plant: PlantId::from_bytes([3; 16]),
            plant_name: String::new(),
            customer: 1,
            customer_name: String::new(),
            version: Version { revision: 1, issued_at: UnixMillis(1) },
            fresh_until,
            licenses: vec![],
            trust: Trust::default(),
            override_days: 0,
            administrators: vec![],
            api_keys: vec![],
            sealing_key: None,
            certificate: vec![],
        };
        let state = State {
            snapshot: Arc::new(snapshot),
            licenses: Arc::new(licenses),
            uses: Default::default(),
            reliefs: Reliefs::default(),
            machines: Default::default(),
            listening_since: Default::default(),
        };
        standing(&state, NOW)
    }

    const FRESH: UnixMillis = UnixMillis(i64::MAX);
    const BOTH: [&str; 2] = [TEST_POLICIES, PROMOTE_PRODUCTION];

    #[test]
    fn features_of_a_usable_licence_open_the_gates() {
        let standing = at(vec![license("CC", Kind::Subscription, &BOTH, Some(100))], FRESH);
        assert_eq!((standing.tier, standing.status, standing.trial_end), ("custom", "active", None));
        assert_eq!((standing.test_policies, standing.promote_production, standing.warning), (Ok(()), Ok(()), None));
        let one = at(vec![license("CC", Kind::Perpetual, &[TEST_POLICIES], None)], FRESH);
        assert_eq!((one.test_policies, one.promote_production), (Ok(()), Err(Closed::NotLicensed)));
    }

    #[test]
    fn a_trial_opens_until_its_end_and_warns_before_it() {
        let trial = |days| at(vec![license("CC", Kind::Trial, &BOTH, Some(days))], FRESH);
        let early = trial(30);
        assert_eq!((early.tier, early.trial_days, early.warning), ("trial", Some(30), None));
        let late = trial(3);
        assert_eq!((late.promote_production, late.trial_days), (Ok(()), Some(3)));
        assert!(late.warning.unwrap().contains("3 day"));
        let over = trial(-1);
        assert_eq!((over.trial_expired, over.trial_days, over.status), (true, Some(0), "expired"));
        assert_eq!(
            (over.test_policies, over.promote_production),
            (Err(Closed::TrialExpired), Err(Closed::TrialExpired))
        );
    }

    #[test]
    fn a_licence_that_was_bought_ends_the_trial() {
        let both = vec![license("A", Kind::Trial, &BOTH, Some(-1)), license("B", Kind::Perpetual, &BOTH, None)];
        let standing = at(both, FRESH);
        assert_eq!((standing.tier, standing.trial_expired, standing.promote_production), ("custom", false, Ok(())));
    }

    #[test]
    fn without_fresh_word_of_the_hub_the_documented_reason_is_given() {
        let stale = at(vec![license("CC", Kind::Subscription, &BOTH, None)], NOW);
        let none = at(vec![], FRESH);
        for standing in [stale, none] {
            assert_eq!(standing.test_policies, Err(Closed::NotConnected));
            assert_eq!(reason(standing.test_policies), "License server connection required");
        }
    }
}
