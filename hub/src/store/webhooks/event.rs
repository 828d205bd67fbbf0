//! What others can be told of, and how it is written into the outbox.

use super::{DeliveryId, MAX_WAITING, TEST};
use crate::store::{error::Error, writer::Tx};
use rusqlite::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sitewarden_protocol::time::UnixMillis;

/// What others can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum WebhookEvent {
    /// A licence was activated: `license_id`, `activation_id`, `customer_id`.
    #[serde(rename = "license.activated")]
    LicenseActivated,
    /// An active licence ends within the days of the setting `notice_days`: `license_id`, `customer_id`, `expires_at`.
    #[serde(rename = "license.expiring")]
    LicenseExpiring,
    /// A licence has ended: `license_id`, `customer_id`, `expires_at`.
    #[serde(rename = "license.expired")]
    LicenseExpired,
    /// A licence was withdrawn: `license_id`, `customer_id`.
    #[serde(rename = "license.revoked")]
    LicenseRevoked,
    /// A red flag was raised: `flag_id`, `kind`, `customer_id`, `site_id`, `agent_id`, `license_id`.
    #[serde(rename = "suspicious.activity")]
    SuspiciousActivity,
    /// More of a licence is used than one of its thresholds: `license_id`, `customer_id`, `metric`, `threshold` (per
    /// cent), `used`, `limit`.
    #[serde(rename = "usage.threshold")]
    UsageThreshold,
    /// An agent was not heard of for as long as the setting `agent_silent_seconds` says: `agent_id`, `site_id`,
    /// `customer_id`, `last_seen`.
    #[serde(rename = "agent.offline")]
    AgentOffline,
    /// An agent was heard of for the first time, or again: the same.
    #[serde(rename = "agent.online")]
    AgentOnline,
}

impl WebhookEvent {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::LicenseActivated,
        Self::LicenseExpiring,
        Self::LicenseExpired,
        Self::LicenseRevoked,
        Self::SuspiciousActivity,
        Self::UsageThreshold,
        Self::AgentOffline,
        Self::AgentOnline,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LicenseActivated => "license.activated",
            Self::LicenseExpiring => "license.expiring",
            Self::LicenseExpired => "license.expired",
            Self::LicenseRevoked => "license.revoked",
            Self::SuspiciousActivity => "suspicious.activity",
            Self::UsageThreshold => "usage.threshold",
            Self::AgentOffline => "agent.offline",
            Self::AgentOnline => "agent.online",
        }
    }
}

/// The documented body, in its order.
#[derive(Serialize)]
struct Payload<'a> {
    event: &'a str,
    timestamp: String,
    data: &'a Value,
}

/// What is sent.
fn body(event: &str, now: UnixMillis, data: &Value) -> Result<String, Error> {
    let payload = Payload { event, timestamp: now.to_string(), data };
    serde_json::to_string(&payload).map_err(|_| Error::Damaged { what: "webhook's body" })
}

/// Writes a delivery for each webhook that hears of this event of this customer (`None`: of nobody in particular, which
/// only webhooks of every customer hear). Part of the transaction of what happened.
pub(super) fn tell(
    tx: &Tx<'_>,
    now: UnixMillis,
    event: WebhookEvent,
    customer: Option<i64>,
    data: &Value,
) -> Result<(), Error> {
    let mut query = tx.prepare_cached(
        "SELECT id FROM webhooks WHERE enabled = 1 AND site IS NULL AND (customer IS NULL OR customer = ?1)
            AND EXISTS (SELECT 1 FROM json_each(events) WHERE value = ?2)",
    )?;
    let webhooks = query.query_map(params![customer, event.name()], |row| row.get(0))?;
    let webhooks = webhooks.collect::<Result<Vec<i64>, _>>()?;
    if webhooks.is_empty() {
        return Ok(());
    }
    let body = body(event.name(), now, data)?;
    webhooks.into_iter().try_for_each(|webhook| write(tx, now, webhook, event.name(), &body).map(drop))
}

/// Writes a test for one webhook.
pub(super) fn tell_test(tx: &Tx<'_>, now: UnixMillis, webhook: i64, data: &Value) -> Result<Option<DeliveryId>, Error> {
    write(tx, now, webhook, TEST, &body(TEST, now, data)?)
}

/// Writes one delivery; none if too many wait.
pub(super) fn write(
    tx: &Tx<'_>,
    now: UnixMillis,
    webhook: i64,
    event: &str,
    body: &str,
) -> Result<Option<DeliveryId>, Error> {
    let counted = tx
        .prepare_cached("UPDATE webhooks SET waiting = waiting + 1 WHERE id = ? AND waiting < ?")?
        .execute(params![webhook, MAX_WAITING])?;
    if counted == 0 {
        tx.prepare_cached("UPDATE webhooks SET dropped = dropped + 1 WHERE id = ?")?.execute([webhook])?;
        return Ok(None);
    }
    let id = DeliveryId::new(now)?;
    tx.prepare_cached(
        "INSERT INTO webhook_deliveries (id, webhook, event, body, status, since, next_attempt, created_at)
         VALUES (?1, ?2, ?3, ?4, 'waiting', ?5, ?5, ?5)",
    )?
    .execute(params![id.0, webhook, event, body, now.0])?;
    tx.delivery_written();
    Ok(Some(id))
}
