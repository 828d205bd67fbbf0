//! How long raw telemetry is kept: as each customer's setting says. Sums stay for ever.
//!
//! What goes: measurements, and records of what apps and machines told ([`TOLD`]). What is counted or could be disputed
//! (licences, machines, monitors, overrides, clocks, fingerprints, epochs) stays, and so does the signed evidence. What
//! counts is when the hub got it: clocks of sites may say anything.

use crate::store::{Act, Store, audit, customers, error::Error, writer::Tx};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;
use sitewarden_protocol::{record::kind, time::UnixMillis};

/// Rows that one transaction looks at, so that nobody waits long for one.
const STEP: i64 = 2_000;

const DAY: i64 = 86_400_000;

/// The kinds of records that are removed.
const TOLD: [u16; 8] = [
    kind::EVENT,
    kind::HOST,
    kind::DENIAL,
    kind::DENIALS,
    kind::HEARTBEAT,
    kind::MEASUREMENT,
    kind::TRANSMISSION,
    kind::FOLDED,
];

/// The longest that can be set, days: a hundred years.
const MAX_DAYS: u32 = 36_500;

impl Store {
    /// How long a customer's raw telemetry is kept, days; `None` for ever. And the customer's revision.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn raw_days(&self, customer: i64) -> Result<(Option<u32>, i64), Error> {
        self.read(move |connection| raw_days(connection, customer)).await
    }

    /// Sets it. Answers the customer's revision, which this makes a new one.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], or [`Error::Invalid`] for no day or more than a hundred years.
    pub async fn set_raw_days(&self, act: &Act, customer: i64, days: Option<u32>) -> Result<i64, Error> {
        if days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
            return Err(Error::Invalid { what: "raw_days", allowed: "1 to 36500" });
        }
        let act = act.clone();
        self.write(move |tx| {
            let (before, revision) = raw_days(tx, customer)?;
            act.check_seen(revision)?;
            if days == before {
                return Ok(revision);
            }
            tx.prepare_cached("UPDATE customers SET raw_days = ?, revision = revision + 1 WHERE id = ?")?
                .execute(params![days, customer])?;
            let (was, is) = (json!({ "raw_days": before }), json!({ "raw_days": days }));
            audit::write(tx, &act, "customer.retention", &format!("customer {customer}"), Some(&was), Some(&is))?;
            Ok(revision + 1)
        })
        .await
    }

    /// Removes raw telemetry that is older than its customer wants it kept; answers how many rows. Others get their turn
    /// in between.
    ///
    /// # Errors
    /// What the database says; what was removed before stays removed.
    pub async fn remove_old_telemetry(&self, now: UnixMillis) -> Result<u64, Error> {
        let customers: Vec<(i64, i64)> = self
            .read(|connection| {
                let mut query = connection.prepare_cached("SELECT id, raw_days FROM customers WHERE raw_days > 0")?;
                let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await?;
        let mut removed = 0;
        for (customer, days) in customers {
            let before = now.0.saturating_sub(days.saturating_mul(DAY));
            loop {
                let gone = self.write(move |tx| remove_measurements(tx, customer, before)).await?;
                removed += gone;
                if gone == 0 {
                    break;
                }
            }
            for (agent, epoch) in self.epochs_of(customer).await? {
                while let Some(gone) = self.write(move |tx| remove_records(tx, agent, epoch, before)).await? {
                    removed += gone;
                }
            }
        }
        Ok(removed)
    }

    async fn epochs_of(&self, customer: i64) -> Result<Vec<(i64, i64)>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT e.agent, e.epoch FROM plants p JOIN sites s ON s.plant = p.id JOIN agents a ON a.site = s.id
                 JOIN agent_epochs e ON e.agent = a.id WHERE p.customer = ?",
            )?;
            let rows = query.query_map([customer], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn raw_days(connection: &Connection, customer: i64) -> Result<(Option<u32>, i64), Error> {
    let revision = customers::find(connection, customer)?.revision;
    let mut query = connection.prepare_cached("SELECT raw_days FROM customers WHERE id = ?")?;
    Ok((query.query_row([customer], |row| row.get(0))?, revision))
}

fn remove_measurements(tx: &Tx<'_>, customer: i64, before: i64) -> Result<u64, Error> {
    let gone = tx
        .prepare_cached(
            "DELETE FROM measurements WHERE id IN
                (SELECT id FROM measurements WHERE customer = ? AND received_at < ? ORDER BY received_at LIMIT ?)",
        )?
        .execute(params![customer, before, STEP])?;
    Ok(u64::try_from(gone).unwrap_or(u64::MAX))
}

/// One step through an epoch's records, behind where the step before ended; `None` when there is nothing old any more.
fn remove_records(tx: &Tx<'_>, agent: i64, epoch: i64, before: i64) -> Result<Option<u64>, Error> {
    let mark: i64 = tx
        .prepare_cached("SELECT through FROM raw_marks WHERE agent = ? AND epoch = ?")?
        .query_row([agent, epoch], |row| row.get(0))
        .optional()?
        .unwrap_or(-1);
    // They arrived in the order of their numbers.
    let end: Option<i64> = tx
        .prepare_cached(
            "SELECT max(seq) FROM (SELECT seq, received_at FROM records WHERE agent = ?1 AND epoch = ?2 AND seq > ?3
                ORDER BY seq LIMIT ?4) WHERE received_at < ?5",
        )?
        .query_row([agent, epoch, mark, STEP, before], |row| row.get(0))?;
    let Some(end) = end else { return Ok(None) };
    let kinds = TOLD.map(|kind| kind.to_string()).join(", ");
    let sql =
        format!("DELETE FROM records WHERE agent = ? AND epoch = ? AND seq > ? AND seq <= ? AND kind IN ({kinds})");
    let gone = tx.prepare_cached(&sql)?.execute([agent, epoch, mark, end])?;
    tx.prepare_cached(
        "INSERT INTO raw_marks (agent, epoch, through) VALUES (?, ?, ?)
         ON CONFLICT (agent, epoch) DO UPDATE SET through = excluded.through",
    )?
    .execute([agent, epoch, end])?;
    Ok(Some(u64::try_from(gone).unwrap_or(u64::MAX)))
}
