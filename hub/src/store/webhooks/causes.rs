//! What happens at the hub that others are told of. Each is called in the transaction of what happens.

use super::{WebhookEvent, event::tell};
use crate::store::{Store, error::Error, licenses::LicenseRow, page_size, writer::Tx};
use rusqlite::{Connection, params};
use serde_json::json;
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    license::Status,
    time::UnixMillis,
};
use std::time::Duration;

/// Agents or licences that are told of in one transaction: others wait for it.
const AT_ONCE: usize = 200;

/// A licence was put in force, or a machine came under it; `activation` names which, such as `act_7`.
pub(in crate::store) fn license_activated(
    tx: &Tx<'_>,
    now: UnixMillis,
    license: &LicenseRow,
    activation: &str,
) -> Result<(), Error> {
    let data = json!({ "license_id": license.id, "activation_id": activation, "customer_id": license.customer });
    tell(tx, now, WebhookEvent::LicenseActivated, Some(license.customer), &data)
}

/// A licence became another: it may have ended, or been withdrawn.
pub(in crate::store) fn license_changed(
    tx: &Tx<'_>,
    now: UnixMillis,
    before: &LicenseRow,
    after: &LicenseRow,
) -> Result<(), Error> {
    if before.status == after.status {
        return Ok(());
    }
    let (license, customer) = (after.id, after.customer);
    match after.status {
        Status::Expired => {
            let expires_at = after.expires_at.map(|at| at.to_string());
            let data = json!({ "license_id": license, "customer_id": customer, "expires_at": expires_at });
            tell(tx, now, WebhookEvent::LicenseExpired, Some(customer), &data)
        }
        Status::Invalid => {
            let data = json!({ "license_id": license, "customer_id": customer });
            tell(tx, now, WebhookEvent::LicenseRevoked, Some(customer), &data)
        }
        Status::Inactive | Status::Active | Status::Deactivated => Ok(()),
    }
}

/// A red flag was raised.
pub(in crate::store) fn flag_raised(tx: &Tx<'_>, now: UnixMillis, flag: i64) -> Result<(), Error> {
    let mut query = tx.prepare_cached(
        "SELECT f.kind, f.site, a.uuid, f.license, coalesce(p.customer, l.customer, k.customer)
         FROM red_flags f LEFT JOIN agents a ON a.id = f.agent LEFT JOIN sites s ON s.id = f.site
         LEFT JOIN plants p ON p.id = s.plant LEFT JOIN licenses l ON l.id = f.license
         LEFT JOIN api_keys k ON k.id = f.api_key WHERE f.id = ?",
    )?;
    let (customer, data) = query.query_row([flag], |row| {
        let customer: Option<i64> = row.get(4)?;
        let data = json!({
            "flag_id": flag,
            "kind": row.get::<_, String>(0)?,
            "customer_id": customer,
            "site_id": row.get::<_, Option<[u8; 16]>>(1)?.map(SiteId::from_bytes),
            "agent_id": row.get::<_, Option<[u8; 16]>>(2)?.map(AgentId::from_bytes),
            "license_id": row.get::<_, Option<i64>>(3)?,
        });
        Ok((customer, data))
    })?;
    tell(tx, now, WebhookEvent::SuspiciousActivity, customer, &data)
}

/// An agent was heard of over its line.
pub(in crate::store) fn agent_seen(tx: &Tx<'_>, now: UnixMillis, agent: AgentId) -> Result<(), Error> {
    let back = tx
        .prepare_cached("UPDATE agents SET online = 1 WHERE uuid = ? AND status = 'active' AND online IS NOT 1")?
        .execute([agent.as_bytes()])?;
    if back > 0 { tell_of_agent(tx, now, WebhookEvent::AgentOnline, agent) } else { Ok(()) }
}

fn tell_of_agent(tx: &Tx<'_>, now: UnixMillis, event: WebhookEvent, agent: AgentId) -> Result<(), Error> {
    let mut query = tx.prepare_cached(
        "SELECT a.site, p.customer, a.last_seen FROM agents a JOIN sites s ON s.id = a.site
         JOIN plants p ON p.id = s.plant WHERE a.uuid = ?",
    )?;
    let (customer, data) = query.query_row([agent.as_bytes()], |row| {
        let customer: i64 = row.get(1)?;
        let last_seen = row.get::<_, Option<i64>>(2)?.map(|at| UnixMillis(at).to_string());
        let site = SiteId::from_bytes(row.get(0)?);
        let data = json!({ "agent_id": agent, "site_id": site, "customer_id": customer, "last_seen": last_seen });
        Ok((customer, data))
    })?;
    tell(tx, now, event, Some(customer), &data)
}

impl Store {
    /// Takes agents that were not heard of for as long as `silence` for offline, and answers how many. When there are
    /// none, nothing is written.
    ///
    /// # Errors
    /// What the database says; what was told before stays so.
    pub async fn find_silent_agents(&self, now: UnixMillis, silence: Duration) -> Result<usize, Error> {
        let before = now.before(silence);
        let mut found = 0;
        while self.read(move |connection| Ok(!silent(connection, before, 1)?.is_empty())).await? {
            found += self.write(move |tx| take_for_offline(tx, now, before)).await?;
        }
        Ok(found)
    }

    /// Tells of active licences that end within `ahead`, each end once, and answers of how many. When there are none,
    /// nothing is written.
    ///
    /// # Errors
    /// What the database says; what was told before stays so.
    pub async fn tell_of_expiring_licenses(&self, now: UnixMillis, ahead: Duration) -> Result<usize, Error> {
        let until = now.after(ahead);
        let mut told = 0;
        while self.read(move |connection| Ok(!expiring(connection, now, until, 1)?.is_empty())).await? {
            told += self.write(move |tx| tell_of_expiring(tx, now, until)).await?;
        }
        Ok(told)
    }
}

fn silent(connection: &Connection, before: UnixMillis, limit: usize) -> Result<Vec<AgentId>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT uuid FROM agents WHERE online = 1 AND last_seen < ? AND status = 'active' ORDER BY last_seen LIMIT ?",
    )?;
    let rows = query.query_map(params![before.0, page_size(limit)], |row| row.get(0).map(AgentId::from_bytes))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(in crate::store) fn take_for_offline(tx: &Tx<'_>, now: UnixMillis, before: UnixMillis) -> Result<usize, Error> {
    let silent = silent(tx, before, AT_ONCE)?;
    for agent in &silent {
        tx.prepare_cached("UPDATE agents SET online = 0 WHERE uuid = ?")?.execute([agent.as_bytes()])?;
        tell_of_agent(tx, now, WebhookEvent::AgentOffline, *agent)?;
    }
    Ok(silent.len())
}

/// Number, customer and end of each.
fn expiring(
    connection: &Connection,
    now: UnixMillis,
    until: UnixMillis,
    limit: usize,
) -> Result<Vec<(i64, i64, i64)>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT id, customer, expires_at FROM licenses WHERE status = 'Active' AND expires_at > ? AND expires_at <= ?
            AND expiring_told IS NOT expires_at ORDER BY expires_at LIMIT ?",
    )?;
    let rows = query
        .query_map(params![now.0, until.0, page_size(limit)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(in crate::store) fn tell_of_expiring(tx: &Tx<'_>, now: UnixMillis, until: UnixMillis) -> Result<usize, Error> {
    let expiring = expiring(tx, now, until, AT_ONCE)?;
    for (license, customer, end) in &expiring {
        tx.prepare_cached("UPDATE licenses SET expiring_told = ? WHERE id = ?")?.execute(params![end, license])?;
        let expires_at = UnixMillis(*end).to_string();
        let data = json!({ "license_id": license, "customer_id": customer, "expires_at": expires_at });
        tell(tx, now, WebhookEvent::LicenseExpiring, Some(*customer), &data)?;
    }
    Ok(expiring.len())
}
