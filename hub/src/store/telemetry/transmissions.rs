//! Transmissions: what agents tell of their sending.

use super::NotACursor;
use crate::store::{Store, counted, error::Error, page_size, whole, writer::Tx};
use rusqlite::{Connection, params};
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    record::Transmission,
    time::UnixMillis,
};

/// A transmission as its agent told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransmissionRow {
    /// Whose.
    pub agent: AgentId,
    /// What it was; `error` says whether it went well.
    pub what: Transmission,
    /// When it ended.
    pub finished_at: UnixMillis,
    cursor: (i64, i64, i64),
}

/// Some transmissions, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransmissionPage {
    /// The newest of each agent first.
    pub transmissions: Vec<TransmissionRow>,
    /// After which to ask for more; `None` if there are none.
    pub next: Option<String>,
}

const AGENTS: &str = "SELECT id, uuid FROM agents WHERE site = ?1 AND id <= ?2 ORDER BY id DESC";

const LIST: &str = "SELECT agent, epoch, seq, number, due_at, manual, started_at, finished_at, records, retries, error
     FROM transmissions WHERE agent = ?1 AND (epoch, seq) < (?2, ?3) ORDER BY epoch DESC, seq DESC LIMIT ?4";

/// Lists one, under its record's agent, epoch and number.
pub(in crate::store) fn insert(
    tx: &Tx<'_>,
    (agent, epoch, seq): (i64, u64, u64),
    at: UnixMillis,
    what: &Transmission,
) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO transmissions (agent, epoch, seq, number, due_at, manual, started_at, finished_at, records, retries,
            error)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        agent,
        whole(epoch),
        whole(seq),
        whole(what.number),
        what.due.0,
        what.manual,
        what.started.0,
        at.0,
        whole(what.records),
        what.retries,
        what.error,
    ])?;
    Ok(())
}

impl Store {
    /// Transmissions of a site's agents, after a place.
    ///
    /// # Errors
    /// What the database says; the text of `after` is checked with [`transmission_cursor`](Self::transmission_cursor).
    pub async fn list_transmissions(
        &self,
        site: SiteId,
        after: Option<(i64, i64, i64)>,
        limit: usize,
    ) -> Result<TransmissionPage, Error> {
        self.read(move |connection| page(connection, site, after, limit)).await
    }

    /// The place that a text names.
    ///
    /// # Errors
    /// [`NotACursor`].
    pub fn transmission_cursor(text: &str) -> Result<(i64, i64, i64), NotACursor> {
        let mut numbers = text.splitn(3, '.').map(|number| number.parse().map_err(|_| NotACursor));
        let mut next = || numbers.next().ok_or(NotACursor)?;
        Ok((next()?, next()?, next()?))
    }
}

fn page(
    connection: &Connection,
    site: SiteId,
    after: Option<(i64, i64, i64)>,
    limit: usize,
) -> Result<TransmissionPage, Error> {
    let (newest, epoch, seq) = after.unwrap_or((i64::MAX, i64::MAX, i64::MAX));
    let mut transmissions = Vec::new();
    let mut agents = connection.prepare_cached(AGENTS)?;
    let agents = agents.query_map(params![site.as_bytes(), newest], |row| {
        Ok((row.get::<_, i64>(0)?, AgentId::from_bytes(row.get(1)?)))
    })?;
    let mut list = connection.prepare_cached(LIST)?;
    let size = page_size(limit);
    for agent in agents {
        let (agent, id) = agent?;
        let (epoch, seq) = if agent == newest { (epoch, seq) } else { (i64::MAX, i64::MAX) };
        let left = size.saturating_sub(i64::try_from(transmissions.len()).unwrap_or(size));
        let rows = list.query_map(params![agent, epoch, seq, left], |row| transmission(row, id))?;
        for row in rows {
            transmissions.push(row?);
        }
    }
    let full = i64::try_from(transmissions.len()).is_ok_and(|rows| rows == size);
    let last = transmissions.last().filter(|_| full).map(|last| last.cursor);
    let next = last.map(|(agent, epoch, seq)| format!("{agent}.{epoch}.{seq}"));
    Ok(TransmissionPage { transmissions, next })
}

fn transmission(row: &rusqlite::Row<'_>, agent: AgentId) -> rusqlite::Result<TransmissionRow> {
    Ok(TransmissionRow {
        agent,
        what: Transmission {
            number: counted(row, 3)?,
            due: UnixMillis(row.get(4)?),
            manual: row.get(5)?,
            started: UnixMillis(row.get(6)?),
            records: counted(row, 8)?,
            retries: row.get(9)?,
            error: row.get(10)?,
        },
        finished_at: UnixMillis(row.get(7)?),
        cursor: (row.get(0)?, row.get(1)?, row.get(2)?),
    })
}

#[cfg(test)]
pub(super) const QUERIES: [&str; 2] = [AGENTS, LIST];
