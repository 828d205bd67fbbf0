//! Transmissions: what agents tell of their sending.

use super::NotACursor;
use crate::store::{Store, counted, error::Error, page_size, whole, writer::Tx};
use rusqlite::params;
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
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT t.agent, t.epoch, t.seq, a.uuid, t.number, t.due_at, t.manual, t.started_at, t.finished_at,
                    t.records, t.retries, t.error
                 FROM agents a JOIN transmissions t ON t.agent = a.id
                 WHERE a.site = ?1 AND (t.agent, t.epoch, t.seq) < (?2, ?3, ?4)
                 ORDER BY t.agent DESC, t.epoch DESC, t.seq DESC LIMIT ?5",
            )?;
            let (agent, epoch, seq) = after.unwrap_or((i64::MAX, i64::MAX, i64::MAX));
            let rows = query.query_map(params![site.as_bytes(), agent, epoch, seq, page_size(limit)], row)?;
            let transmissions = rows.collect::<Result<Vec<_>, _>>()?;
            let full = i64::try_from(transmissions.len()).is_ok_and(|rows| rows == page_size(limit));
            let last = transmissions.last().filter(|_| full).map(|last| last.cursor);
            let next = last.map(|(agent, epoch, seq)| format!("{agent}.{epoch}.{seq}"));
            Ok(TransmissionPage { transmissions, next })
        })
        .await
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

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<TransmissionRow> {
    Ok(TransmissionRow {
        agent: AgentId::from_bytes(row.get(3)?),
        what: Transmission {
            number: counted(row, 4)?,
            due: UnixMillis(row.get(5)?),
            manual: row.get(6)?,
            started: UnixMillis(row.get(7)?),
            records: counted(row, 9)?,
            retries: row.get(10)?,
            error: row.get(11)?,
        },
        finished_at: UnixMillis(row.get(8)?),
        cursor: (row.get(0)?, row.get(1)?, row.get(2)?),
    })
}
