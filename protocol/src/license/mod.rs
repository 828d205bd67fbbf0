//! Licences, and the rules by which agent and hub decide the same.
//!
//! Always true: a rule is a function of the licence, the count in use and the time given; it changes nothing.

mod access;
mod activation;
mod explain;
mod key;
mod ladder;
pub mod notice;
mod quota;
mod relief;
pub mod seats;
pub mod shown;
mod validity;

pub use access::{Cause, access, in_force};
pub use activation::{ActivationError, AllowedActivation, LocalActivation, activate, effective};
pub use explain::{Change, Explanation, Reason, Verdict, explain};
pub use key::{KeyDigest, key_hint, random_key, short_key};
pub use ladder::{Circumstances, Condition, Step, Use};
pub use quota::{BlockedNew, NoRoom, OverQuota, may_reserve};
pub use relief::{Relief, ReliefError, Reliefs};
pub use validity::{InvalidValidity, Unit, Validity};

use crate::codec::{Decode, Encode};
use crate::id::LicenseId;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// The app that manages licences: any user who may log in may use it, so that an expired plant can be put right.
pub const LICENSE_MANAGEMENT: &str = "LM";

/// What was sold.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct License {
    /// Which.
    pub id: LicenseId,
    /// Its name, unique at its site.
    pub name: String,
    /// In the vendor's words; may be empty.
    pub description: String,
    /// The app it is for, such as `EMS`.
    pub app: String,
    /// How it was sold.
    pub kind: Kind,
    /// How long it lasts.
    pub term: Term,
    /// How much it allows.
    pub limits: Limits,
    /// What it switches on.
    pub features: Vec<String>,
    /// What happens when it ends, cannot be refreshed, or is used up.
    pub policy: Policy,
    /// Where it is in its life.
    pub status: Status,
    /// When it was activated.
    pub activated_at: Option<UnixMillis>,
    /// When it ends; `None` if it never does, or is not activated yet.
    pub expires_at: Option<UnixMillis>,
    /// When it was issued.
    pub created_at: UnixMillis,
    /// Recognises the licence's key when it is typed in.
    pub key: KeyDigest,
    /// The key's last characters, for people who hold several; see [`key_hint`].
    pub key_hint: String,
    /// Grows with every change.
    pub revision: u32,
}

/// How a licence was sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Once and for good.
    Perpetual,
    /// For a span, to be renewed.
    Subscription,
    /// To try out.
    Trial,
}

/// How long a licence lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// From its activation on, for this long.
    Validity(Validity),
    /// Between two fixed moments, whenever it is activated.
    Dates {
        /// The first moment.
        from: UnixMillis,
        /// The moment after the last.
        until: UnixMillis,
    },
    /// Without end.
    Endless,
}

impl Term {
    /// When a licence of this term ends if it is activated at `at`; `None` for never.
    pub fn expiry(&self, at: UnixMillis) -> Option<UnixMillis> {
        match self {
            Self::Validity(validity) => validity.end(at),
            Self::Dates { until, .. } => Some(*until),
            Self::Endless => None,
        }
    }
}

/// How much a licence allows; `None` is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Limits {
    /// Monitors at the same time.
    pub monitors: Option<u32>,
    /// Floating users at the same time.
    pub users: Option<u32>,
    /// Machines.
    pub activations: Option<u32>,
}

/// Where a licence is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub enum Status {
    /// Issued, not activated.
    Inactive,
    /// In force.
    Active,
    /// Ended by time.
    Expired,
    /// Given up for another one.
    Deactivated,
    /// Withdrawn by the vendor. There is no way back.
    Invalid,
}

impl Status {
    /// The name that the plant licence API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inactive => "Inactive",
            Self::Active => "Active",
            Self::Expired => "Expired",
            Self::Deactivated => "Deactivated",
            Self::Invalid => "Invalid",
        }
    }

    /// The status with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Inactive, Self::Active, Self::Expired, Self::Deactivated, Self::Invalid]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// What happens when a licence ends, cannot be refreshed, or is used up. The vendor chooses, the operator can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Policy {
    /// From the moment the licence ends.
    pub expiry: Rule,
    /// From the moment the snapshot's `fresh_until` passes.
    pub staleness: Rule,
    /// From the moment that more monitors run than the quota and the overage permit.
    #[serde(default = "Rule::hard")]
    pub overage: Rule,
    /// How far over the monitor quota reservations may go, per cent of the quota; they are recorded.
    pub overage_percent: u16,
}

impl Default for Policy {
    /// Expiry blocks at once, as the source API does; staleness warns for 30 days and then blocks new monitors; the
    /// quota is hard.
    fn default() -> Self {
        Self {
            expiry: Rule { grace_days: 0, then: Rung::Block },
            staleness: Rule { grace_days: 30, then: Rung::BlockNew },
            overage: Rule::hard(),
            overage_percent: 0,
        }
    }
}

/// A warning for some days, then a rung of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Rule {
    /// Days of warning before the rung applies.
    pub grace_days: u16,
    /// What applies then.
    pub then: Rung,
}

impl Rule {
    /// Nothing new, at once: what applies to the quota unless the vendor chose otherwise.
    pub const fn hard() -> Self {
        Self { grace_days: 0, then: Rung::BlockNew }
    }
}

/// How hard a rule is. Ordered from mild to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Recorded, nothing more.
    Observe,
    /// Allowed, with a warning.
    Warn,
    /// What runs goes on; nothing new starts.
    BlockNew,
    /// Nothing is allowed.
    Block,
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::id::SiteId;
    use std::time::Duration;

    pub(super) const SITE: SiteId = SiteId::from_bytes([1; 16]);
    pub(super) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    pub(super) const DAY: Duration = Duration::from_secs(86_400);

    /// A snapshot that never goes stale.
    pub(super) fn fresh(now: UnixMillis) -> Circumstances {
        Circumstances { now, fresh_until: UnixMillis(i64::MAX), relieved_until: None }
    }

    /// For a year and two monitors; its key is `key` and its number.
    pub(super) fn license(number: u8, app: &str, status: Status) -> License {
        License {
            id: LicenseId::from_bytes([number; 16]),
            name: format!("L{number}"),
            description: String::new(),
            app: app.into(),
            kind: Kind::Subscription,
            term: Term::Validity("1y".parse().unwrap()),
            limits: Limits { monitors: Some(2), ..Limits::default() },
            features: vec![],
            policy: Policy::default(),
            status,
            activated_at: None,
            expires_at: None,
            created_at: NOW,
            key: KeyDigest::of(SITE, &format!("key{number}")),
            key_hint: key_hint(&format!("key{number}")),
            revision: 1,
        }
    }
}
