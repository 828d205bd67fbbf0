//! Activations as they are stored, and each way in which one changes. What changes the sums goes into the ledger.

use crate::store::{
    error::Error,
    licenses::{self, LicenseRow},
    usage::{Ledger, Place, Seen},
    webhooks,
    writer::Tx,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sitewarden_protocol::{
    fingerprint::Parts,
    id::{ActivationId, SiteId},
    license::seats::{Machine, Machines},
    license_server::activation_text,
    time::UnixMillis,
};

const HOUR: i64 = 3_600_000;

const DAMAGED: Error = Error::Damaged { what: "activation" };

/// What is told of a machine that is activated.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Told<'a> {
    /// Its activation.
    pub(in crate::store) id: ActivationId,
    /// Its parts.
    pub(in crate::store) hardware: &'a Parts,
    /// Its name.
    pub(in crate::store) machine: &'a str,
    /// The app's version.
    pub(in crate::store) app_version: &'a str,
}

/// An activation, as far as a change of it needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Known {
    /// Its number.
    pub(in crate::store) number: i64,
    /// Whose it is.
    pub(in crate::store) place: Place,
    /// Whose machine it is; `None`: it calls the hub.
    pub(in crate::store) agent: Option<i64>,
    /// Whether it was given back.
    pub(in crate::store) is_over: bool,
    hour: Option<i64>,
    hour_users: u32,
}

/// The activation with this id.
pub(in crate::store) fn known(connection: &Connection, id: ActivationId) -> Result<Option<Known>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT number, license, customer, site, agent, deactivated_at IS NOT NULL, hour, hour_users
         FROM activations WHERE id = ?",
    )?;
    let row = query.query_row([id.as_bytes()], |row| {
        let site = row.get::<_, Option<[u8; 16]>>(3)?.map(SiteId::from_bytes);
        Ok(Known {
            number: row.get(0)?,
            place: Place { license: row.get(1)?, customer: row.get(2)?, site },
            agent: row.get(4)?,
            is_over: row.get(5)?,
            hour: row.get(6)?,
            hour_users: row.get(7)?,
        })
    });
    Ok(row.optional()?)
}

/// The machines of a licence that are not given back. Those of agents were heard of at `now`, whatever their heartbeats.
pub(super) fn of_license(connection: &Connection, license: &LicenseRow, now: UnixMillis) -> Result<Machines, Error> {
    let mut query = connection.prepare_cached(
        "SELECT id, agent, hardware, machine, app_version, activated_at, users, heard, released_by
         FROM activations WHERE license = ? AND is_over = 0",
    )?;
    let mut rows = query.query([license.id])?;
    let mut machines = Vec::new();
    while let Some(row) = rows.next()? {
        machines.push(machine(row, license, now)?);
    }
    Ok(machines.into_iter().collect())
}

fn machine(row: &Row<'_>, license: &LicenseRow, now: UnixMillis) -> Result<(ActivationId, Machine), Error> {
    let heard = if row.get::<_, Option<i64>>(1)?.is_some() { now } else { UnixMillis(row.get(7)?) };
    let machine = Machine {
        license: license.uuid,
        hardware: read_parts(row.get_ref(2)?.as_str().map_err(|_| DAMAGED)?)?,
        name: row.get(3)?,
        app_version: row.get(4)?,
        activated_at: UnixMillis(row.get(5)?),
        users: row.get(6)?,
        heard,
        released_by: row.get(8)?,
    };
    Ok((ActivationId::from_bytes(row.get(0)?), machine))
}

/// A machine is activated at `at`, or told of anew: then it keeps its users and its first moment.
pub(in crate::store) fn open(
    tx: &Tx<'_>,
    license: &LicenseRow,
    agent: Option<i64>,
    told: Told<'_>,
    at: UnixMillis,
    now: UnixMillis,
) -> Result<(), Error> {
    let added = tx
        .prepare_cached(
            "INSERT INTO activations (id, license, customer, site, agent, hardware, machine, app_version, activated_at, heard)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            told.id.as_bytes(),
            license.id,
            license.customer,
            license.site.map(|id| *id.as_bytes()),
            agent,
            write_parts(told.hardware),
            told.machine,
            told.app_version,
            at.0,
        ])?;
    if added > 0 {
        // One that put the licence in force was told of with that.
        let known = has_put_in_force(tx, license, &told)?;
        return if known { Ok(()) } else { webhooks::license_activated(tx, now, license, &activation_text(told.id)) };
    }
    tx.prepare_cached("UPDATE activations SET agent = ?, hardware = ?, machine = ?, app_version = ? WHERE id = ?")?
        .execute(params![agent, write_parts(told.hardware), told.machine, told.app_version, told.id.as_bytes()])?;
    Ok(())
}

/// Whether a new machine is a site licence's first one, and the one that put it in force. Of a licence without a site only
/// machines are told of.
fn has_put_in_force(tx: &Tx<'_>, license: &LicenseRow, told: &Told<'_>) -> Result<bool, Error> {
    let mut query = tx.prepare_cached(
        "SELECT by FROM license_starts WHERE license = ?1 AND NOT EXISTS
            (SELECT 1 FROM activations WHERE license = ?1 AND id != ?2) ORDER BY id DESC LIMIT 1",
    )?;
    let by = query.query_row(params![license.id, told.id.as_bytes()], |row| row.get::<_, String>(0)).optional()?;
    let name = |text: &str| text.chars().take(licenses::MAX_BY).collect::<String>();
    let machine = name(&format!("machine {}", told.machine));
    Ok(license.site.is_some() && by.is_some_and(|by| name(&by) == machine))
}

/// A machine said how many users it has, and was given them.
pub(in crate::store) fn note(
    tx: &Tx<'_>,
    known: &Known,
    users: u32,
    features: &[(String, u64)],
    at: UnixMillis,
    ledger: &mut Ledger,
) -> Result<(), Error> {
    let hour = at.0.div_euclid(HOUR);
    // Of an hour that is past nobody knows any more what it had: it counts in the one it was heard of in last.
    let (kept, most, raised) = match known.hour {
        Some(last) if last > hour => (last, known.hour_users, 0),
        Some(last) if last == hour => {
            let most = known.hour_users.max(users);
            (hour, most, i64::from(most - known.hour_users))
        }
        _ => (hour, users, i64::from(users)),
    };
    tx.prepare_cached(
        "UPDATE activations SET users = ?2, most_users = max(most_users, ?2), heard = max(heard, ?3),
            last_heartbeat = max(coalesce(last_heartbeat, ?3), ?3), released_by = NULL, hour = ?4, hour_users = ?5
         WHERE number = ?1",
    )?
    .execute(params![known.number, users, at.0, kept, most])?;
    ledger.heard(&Seen { place: known.place, number: known.number, at, users, raised, features });
    Ok(())
}

/// A machine's users no longer count; `released_by` names who took them away, if somebody did.
pub(in crate::store) fn end_session(tx: &Tx<'_>, number: i64, released_by: Option<&str>) -> Result<(), Error> {
    tx.prepare_cached("UPDATE activations SET users = 0, released_by = coalesce(?2, released_by) WHERE number = ?1")?
        .execute(params![number, released_by])?;
    Ok(())
}

/// A machine gave its activation back.
pub(in crate::store) fn close(tx: &Tx<'_>, number: i64, reason: &str, at: UnixMillis) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE activations SET users = 0, deactivated_at = ?2, reason = ?3 WHERE number = ?1 AND deactivated_at IS NULL",
    )?
    .execute(params![number, at.0, reason])?;
    Ok(())
}

fn write_parts(parts: &Parts) -> String {
    let part = |(kind, digest): &(String, [u8; 32])| [kind.clone(), blake3::Hash::from_bytes(*digest).to_string()];
    serde_json::json!(parts.iter().map(part).collect::<Vec<_>>()).to_string()
}

fn read_parts(text: &str) -> Result<Parts, Error> {
    let parts: Vec<(String, String)> = serde_json::from_str(text).map_err(|_| DAMAGED)?;
    let part =
        |(kind, digest): (String, String)| Ok((kind, *blake3::Hash::from_hex(digest).map_err(|_| DAMAGED)?.as_bytes()));
    parts.into_iter().map(part).collect()
}
