//! Whether a database is whole, looked at from outside while a hub may use it.

use super::{audit, connection, counted, error::Error, ingest::stored_records};
use rusqlite::Connection;
use sitewarden_protocol::{batch::Header, chain::Chain, codec};
use std::path::Path;

/// What a look at a database found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What is not as it was written; the first thing that was found.
    pub damage: Option<Damage>,
    /// The file's size.
    pub bytes: u64,
}

/// What is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The file's own order.
    Pages(String),
    /// The audit log: this row does not follow from the one before it.
    AuditRow(i64),
    /// The records of this batch are not those of which its sender signed the hash, or the signed header is another.
    Batch {
        /// The agent's row.
        agent: i64,
        /// Of its journal.
        epoch: u64,
        /// The first record.
        first: u64,
        /// The last one.
        last: u64,
    },
}

/// Reads all of a database. Waits for the disk.
///
/// # Errors
/// [`Error::Missing`], or what the database says.
pub fn check(path: &Path) -> Result<Checked, Error> {
    if !path.exists() {
        return Err(Error::Missing(path.to_owned()));
    }
    let bytes = std::fs::metadata(path)?.len();
    let connection = connection::reader(path)?;
    let word: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    let damage = if word == "ok" {
        match audit::check(&connection)?.broken {
            Some(row) => Some(Damage::AuditRow(row)),
            None => broken_batch(&connection)?,
        }
    } else {
        Some(Damage::Pages(word))
    };
    Ok(Checked { damage, bytes })
}

/// The first stored batch whose records do not lead from the chain before it to the one after it. One whose records were
/// removed after their time is passed over.
fn broken_batch(connection: &Connection) -> Result<Option<Damage>, Error> {
    let mut query = connection.prepare(
        "SELECT b.agent, b.epoch, first, last, prev, head, header, coalesce(m.through, 0) FROM batches b
         LEFT JOIN raw_marks m ON m.agent = b.agent AND m.epoch = b.epoch
         WHERE state = 'stored' ORDER BY b.agent, b.epoch, last",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (agent, epoch) = (row.get(0)?, counted(row, 1)?);
        let (first, last) = (counted(row, 2)?, counted(row, 3)?);
        let chains = (Chain::from_bytes(row.get(4)?), Chain::from_bytes(row.get(5)?));
        let signed = codec::decode::<Header>(&row.get::<_, Vec<u8>>(6)?);
        let as_signed = signed.is_ok_and(|header| {
            (header.epoch, header.first, header.last) == (epoch, first, last) && (header.prev, header.head) == chains
        });
        let removed = counted(row, 7)? >= first;
        if !as_signed || !leads(connection, agent, epoch, (first, last), chains, removed)? {
            return Ok(Some(Damage::Batch { agent, epoch, first, last }));
        }
    }
    Ok(None)
}

fn leads(
    connection: &Connection,
    agent: i64,
    epoch: u64,
    (first, last): (u64, u64),
    (prev, head): (Chain, Chain),
    removed: bool,
) -> Result<bool, Error> {
    let records = stored_records(connection, agent, epoch, (first, last))?;
    let all = last.checked_sub(first).is_some_and(|more| u64::try_from(records.len()).is_ok_and(|all| all > more));
    Ok((removed && !all) || prev.then_all(records.iter().map(Vec::as_slice)) == head)
}
