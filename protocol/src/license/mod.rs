//! Licences, and the rules by which agent and hub decide the same.
//!
//! Always true: a rule is a function of the licence, the count in use and the time given; it changes nothing.

mod key;
pub mod notice;
mod rules;
mod validity;

pub use key::{KeyDigest, random_key, short_key};
pub use rules::{
    ActivationError, AllowedActivation, Cause, LocalActivation, OverQuota, Standing, access, activate, effective,
    may_reserve,
};
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
    /// Recognises the licence's key when it is typed in.
    pub key: KeyDigest,
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
