//! Webhooks: where other systems want to be told, and the outbox of what they are to be told.
//!
//! Always true: a delivery is a row that is written in the transaction of what it tells of, so that neither is there
//! without the other; it waits until somebody answered with success or the time for it is over; its id stays the same
//! however often it is sent. A webhook of one customer hears of that customer only. Secrets are sealed, and shown once.
//!
//! The address of a site's agent is a webhook too. Its news are one mark, set with the site's new snapshot: its agent is
//! told how things stand when it is called, so ten changes are one delivery.

mod causes;
mod change;
mod event;
mod outbox;
mod read;
mod site;
mod usage;

pub(super) use causes::{agent_seen, flag_raised, license_activated, license_changed};
#[cfg(test)]
pub(super) use causes::{take_for_offline, tell_of_expiring};
pub use change::{NewWebhook, RotatedWebhook, WebhookEdit};
pub use event::WebhookEvent;
pub use outbox::{Attempt, DueDelivery, Message, Outbox, OutboxStanding, Room};
pub(super) use site::site_changed;
pub use site::{SiteAddress, SiteNews};
pub(super) use usage::{machines_moved, monitors_reported};

use super::{Scope, Store, error::Error};
use schemars::JsonSchema;
use serde::Serialize;
use sitewarden_protocol::{id::SiteId, time::UnixMillis};
use std::{fmt, str::FromStr, time::Duration};

/// The most webhooks of a hub, addresses of sites aside: each event looks at all of them.
const MAX_WEBHOOKS: i64 = 500;

/// The most deliveries that wait for one webhook; what comes after is counted and not written.
const MAX_WAITING: i64 = 10_000;

/// The most characters of a description.
const MAX_DESCRIPTION: usize = 200;

/// How long an endpoint may fail before it is said to be broken: most outages are shorter.
const BROKEN_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// What a webhook is asked for.
pub(super) const TEST: &str = "webhook.test";

/// What a site's agent is called for.
pub(super) const LICENSE_UPDATE: &str = "license.update";

/// Where another system, or a site's agent, wants to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Webhook {
    /// Its number.
    pub id: i64,
    /// Whose agent it calls; `None` for another system.
    pub site: Option<SiteId>,
    /// Whose events it hears; `None` for everybody's.
    pub customer: Option<i64>,
    /// Where to.
    pub url: String,
    /// In the administrator's words.
    pub description: String,
    /// What it hears of; nothing for a site's agent, which hears of its licences.
    pub events: Vec<WebhookEvent>,
    /// Whether it is called.
    pub enabled: bool,
    /// Since when it is there.
    pub created_at: UnixMillis,
    /// Until when the secret before counts too.
    pub previous_until: Option<UnixMillis>,
    /// Grows with every edit; not with what is sent.
    pub revision: i64,
    /// How it does.
    #[serde(skip)]
    pub standing: Standing,
}

impl Webhook {
    /// Whether somebody who is limited to this may see it and change it: what hears of others too is not his.
    fn is_within(&self, scope: Scope) -> bool {
        scope.customer.is_none_or(|customer| self.customer == Some(customer))
            && scope.site.is_none_or(|site| self.site == Some(site))
    }
}

/// How an endpoint does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that were not written, because too many waited.
    pub dropped: u64,
    /// When the first attempt failed after the last one that did not.
    pub failing_since: Option<UnixMillis>,
    /// When it last answered with success.
    pub last_success: Option<UnixMillis>,
    /// When an attempt last failed.
    pub last_failure: Option<UnixMillis>,
    /// Why, if that was the last one.
    pub last_error: Option<String>,
}

/// How an endpoint does, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It was never called.
    New,
    /// The last attempt succeeded.
    Working,
    /// The last attempt failed.
    Failing,
    /// Every attempt of a day and more failed.
    Broken,
}

impl Standing {
    /// The standing in a word.
    pub fn health(&self, now: UnixMillis) -> Health {
        match (self.failing_since, self.last_success) {
            (Some(since), _) if now.since(since) >= BROKEN_AFTER => Health::Broken,
            (Some(_), _) => Health::Failing,
            (None, Some(_)) => Health::Working,
            (None, None) => Health::New,
        }
    }
}

/// A delivery's name: what receivers tell a repeat by. Sorts by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId([u8; 16]);

impl DeliveryId {
    fn new(now: UnixMillis) -> Result<Self, Error> {
        let random = super::secrets::random::<10>()?;
        let [_, _, time @ ..] = now.0.max(0).to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&time);
        bytes[6..].copy_from_slice(&random);
        Ok(Self(bytes))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg_{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a delivery's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a delivery's id; such as msg_0198f2c0a1b24c5d8e9f00112233445a")]
pub struct NotADelivery;

impl FromStr for DeliveryId {
    type Err = NotADelivery;

    fn from_str(text: &str) -> Result<Self, NotADelivery> {
        let digits = text.strip_prefix("msg_").filter(|digits| digits.len() == 32).ok_or(NotADelivery)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let number = u128::from_str_radix(digits, 16).ok().filter(|_| plain).ok_or(NotADelivery)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl Serialize for DeliveryId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What became of a delivery so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// It is to be sent, or to be sent again.
    Waiting,
    /// It was answered with success.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryStatus {
    const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Failed];

    /// As it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The one of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// One thing that somebody is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its name.
    pub id: DeliveryId,
    /// To whom.
    pub webhook: i64,
    /// Of what.
    pub event: String,
    /// What is sent; empty for a site's agent, which is told how things stand when it is called.
    pub body: String,
    /// What became of it.
    pub status: DeliveryStatus,
    /// How often it was sent.
    pub attempts: u32,
    /// When it is sent next.
    pub next_attempt: Option<UnixMillis>,
    /// When it was sent last.
    pub last_attempt: Option<UnixMillis>,
    /// What HTTP answered then.
    pub last_status: Option<u16>,
    /// Why that was no success.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: UnixMillis,
    /// When it was delivered or given up.
    pub finished_at: Option<UnixMillis>,
}

impl Store {
    /// Resolves when deliveries were written since it last did.
    pub async fn deliveries_written(&self) {
        self.0.deliveries.notified().await;
    }
}
