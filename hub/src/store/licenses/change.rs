//! How a licence changes: the next revision, the audit row, who put it in force and the site's new snapshot, all in one
//! transaction. Every change of a stored licence goes through here.

use super::row::{self, LicenseRow};
use crate::store::{Act, audit, error::Error, sites, webhooks, writer::Tx};
use rusqlite::params;
use sitewarden_protocol::{codec, license::Status};

/// The agent whose record brought a change, and who acted there.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct AtSite<'a> {
    /// The agent's row.
    pub(in crate::store) agent: i64,
    /// The user at the site.
    pub(in crate::store) by: &'a str,
}

/// Stores a changed licence as its next revision, which is the row that comes back.
pub(in crate::store) fn save(
    tx: &Tx<'_>,
    act: &Act,
    before: &LicenseRow,
    after: LicenseRow,
    at_site: Option<AtSite<'_>>,
) -> Result<LicenseRow, Error> {
    let after = LicenseRow { revision: before.revision.saturating_add(1), ..after };
    write(tx, &after)?;
    let opened = after.activated_at != before.activated_at && after.activated_at.is_some()
        || before.status == Status::Deactivated && after.status == Status::Active;
    let mut start = None;
    if opened {
        tx.prepare_cached("INSERT INTO license_starts (license, agent, by, at) VALUES (?, ?, ?, ?)")?.execute(
            params![
                after.id,
                at_site.map(|site| site.agent),
                at_site.map_or(act.by.as_str(), |site| site.by),
                after.activated_at.map(|at| at.0),
            ],
        )?;
        start = Some(tx.last_insert_rowid());
    }
    let moved = before.status != after.status;
    let action = if moved { format!("license.{}", after.status.name().to_lowercase()) } else { "license.edit".into() };
    record(tx, act, &action, Some(before), &after)?;
    // A site that began earlier than the hub thought has activated nothing anew; where there is no site, its machines tell.
    if let Some(start) = start.filter(|_| before.status != Status::Active && after.site.is_some()) {
        webhooks::license_activated(tx, act.at, &after, &format!("act_{start}"))?;
    }
    webhooks::license_changed(tx, act.at, before, &after)?;
    if let Some(left) = before.site.filter(|_| after.site != before.site) {
        sites::bump(tx, left)?;
    }
    Ok(after)
}

fn write(tx: &Tx<'_>, after: &LicenseRow) -> Result<(), Error> {
    tx.prepare_cached("INSERT OR IGNORE INTO apps (code, name, created_at) VALUES (?1, ?1, ?2)")?
        .execute(params![after.app, after.created_at.0])?;
    tx.prepare_cached(
        "UPDATE licenses SET site = ?, customer = ?, app = ?, name = ?, description = ?, kind = ?, term = ?,
            max_monitors = ?, max_users = ?, max_activations = ?, features = ?, policy = ?, thresholds = ?,
            status = ?, activated_at = ?, expires_at = ?, revision = ?, key_digest = ? WHERE id = ?",
    )?
    .execute(params![
        after.site.map(|id| *id.as_bytes()),
        after.customer,
        after.app,
        after.name,
        after.description,
        row::kind_name(after.kind),
        row::json(&after.term)?,
        after.limits.monitors,
        after.limits.users,
        after.limits.activations,
        row::json(&after.features)?,
        row::json(&after.policy)?,
        row::json(&after.thresholds)?,
        after.status.name(),
        after.activated_at.map(|at| at.0),
        after.expires_at.map(|at| at.0),
        after.revision,
        codec::encode(&after.key),
        after.id,
    ])
    .map_err(|error| Error::or_conflict(error, "license of this name, or active one, at this site"))?;
    Ok(())
}

/// What goes with every change of a licence, its issue included.
pub(super) fn record(
    tx: &Tx<'_>,
    act: &Act,
    action: &str,
    before: Option<&LicenseRow>,
    after: &LicenseRow,
) -> Result<(), Error> {
    let state = serde_json::json!(after);
    tx.prepare_cached("INSERT INTO license_revisions (license, revision, at, by, state) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![after.id, after.revision, act.at.0, act.by, state.to_string()])?;
    let before = before.map(|before| serde_json::json!(before));
    audit::write(tx, act, action, &format!("license {}", after.id), before.as_ref(), Some(&state))?;
    after.site.map_or(Ok(()), |site| sites::bump(tx, site))
}
