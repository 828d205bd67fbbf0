//! Reading records back, page by page.

use super::{MAX_PAGE, Store, error::Error, error::found};
use rusqlite::{Connection, OptionalExtension, params};
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    time::UnixMillis,
};
use std::{fmt, str::FromStr};

/// Rows that are looked at for one page. Where few are of the wanted kind the page is short, and says where to go on.
const MAX_SCAN: usize = 100_000;

/// Whose records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFilter {
    /// Of all agents that the site ever had.
    Site(SiteId),
    /// Of one agent.
    Agent(AgentId),
}

/// Which come first, by agent, epoch and number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecordOrder {
    /// The last one.
    #[default]
    NewestFirst,
    /// The first one.
    OldestFirst,
}

/// A place between records. Its text means nothing to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordCursor {
    agent: i64,
    epoch: i64,
    seq: i64,
}

/// The text is no cursor that the hub gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that this hub gave out")]
pub struct NotACursor;

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Whose.
    pub agent: AgentId,
    /// In which life of its journal.
    pub epoch: u64,
    /// Its number there.
    pub seq: u64,
    /// When it happened, by the site's clock.
    pub at: UnixMillis,
    /// When it arrived.
    pub received_at: UnixMillis,
    /// What it is.
    pub kind: u16,
    /// The app that it is of.
    pub app: Option<String>,
    /// Its body, encoded.
    pub body: Vec<u8>,
}

/// Some records, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPage {
    /// In the order that was asked for.
    pub records: Vec<StoredRecord>,
    /// After which to ask for more; `None` if there are none.
    pub next: Option<RecordCursor>,
}

impl Store {
    /// Records in order, after a place; of one kind, if given. At most [`MAX_PAGE`] at once.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an agent.
    pub async fn list_records(
        &self,
        of: RecordFilter,
        kind: Option<u16>,
        order: RecordOrder,
        after: Option<RecordCursor>,
        limit: usize,
    ) -> Result<RecordPage, Error> {
        self.read(move |connection| {
            let mut scan =
                Scan { kind, order, limit: limit.clamp(1, MAX_PAGE), left: MAX_SCAN, page: Vec::new(), end: after };
            for agent in agents(connection, of, order)? {
                if !scan.is_behind(agent.0) && scan.read(connection, agent)? {
                    return Ok(RecordPage { records: scan.page, next: scan.end });
                }
            }
            Ok(RecordPage { records: scan.page, next: None })
        })
        .await
    }
}

/// A walk through the records.
struct Scan {
    kind: Option<u16>,
    order: RecordOrder,
    limit: usize,
    left: usize,
    page: Vec<StoredRecord>,
    /// The last record that was looked at.
    end: Option<RecordCursor>,
}

impl Scan {
    /// Whether all of this agent's records are before the place where the walk began.
    fn is_behind(&self, agent: i64) -> bool {
        self.end.is_some_and(|end| match self.order {
            RecordOrder::OldestFirst => agent < end.agent,
            RecordOrder::NewestFirst => agent > end.agent,
        })
    }

    /// Reads on in the records of one agent; answers whether the page is full while there may be more.
    fn read(&mut self, connection: &Connection, (agent, id): (i64, AgentId)) -> Result<bool, Error> {
        let (comparison, direction, start) = match self.order {
            RecordOrder::OldestFirst => (">", "ASC", (-1, -1)),
            RecordOrder::NewestFirst => ("<", "DESC", (i64::MAX, i64::MAX)),
        };
        let (epoch, seq) = self.end.filter(|end| end.agent == agent).map_or(start, |end| (end.epoch, end.seq));
        let mut query = connection.prepare_cached(&format!(
            "SELECT epoch, seq, at, received_at, kind, app, body FROM records
             WHERE agent = ?1 AND (epoch, seq) {comparison} (?2, ?3)
             ORDER BY epoch {direction}, seq {direction}"
        ))?;
        let mut rows = query.query(params![agent, epoch, seq])?;
        while let Some(row) = rows.next()? {
            if self.page.len() == self.limit || self.left == 0 {
                return Ok(true);
            }
            self.left -= 1;
            let (epoch, seq) = (row.get(0)?, row.get(1)?);
            self.end = Some(RecordCursor { agent, epoch, seq });
            let kind = row.get(4)?;
            if self.kind.is_none_or(|wanted| wanted == kind) {
                self.page.push(StoredRecord {
                    agent: id,
                    epoch: epoch.unsigned_abs(),
                    seq: seq.unsigned_abs(),
                    at: UnixMillis(row.get(2)?),
                    received_at: UnixMillis(row.get(3)?),
                    kind,
                    app: row.get(5)?,
                    body: row.get(6)?,
                });
            }
        }
        Ok(false)
    }
}

/// The agents in question, in order.
fn agents(connection: &Connection, of: RecordFilter, order: RecordOrder) -> Result<Vec<(i64, AgentId)>, Error> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, AgentId::from_bytes(row.get(1)?)));
    match of {
        RecordFilter::Agent(id) => {
            let mut query = connection.prepare_cached("SELECT id, uuid FROM agents WHERE uuid = ?")?;
            Ok(vec![found(query.query_row([id.as_bytes()], row).optional()?, "agent")?])
        }
        RecordFilter::Site(id) => {
            let mut query = connection.prepare_cached("SELECT id, uuid FROM agents WHERE site = ? ORDER BY id")?;
            let mut agents: Vec<_> = query.query_map([id.as_bytes()], row)?.collect::<Result<_, _>>()?;
            if order == RecordOrder::NewestFirst {
                agents.reverse();
            }
            Ok(agents)
        }
    }
}

impl fmt::Display for RecordCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.agent, self.epoch, self.seq)
    }
}

impl FromStr for RecordCursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let mut numbers = text.splitn(3, '.').map(|number| number.parse().map_err(|_| NotACursor));
        let mut next = || numbers.next().ok_or(NotACursor)?;
        Ok(Self { agent: next()?, epoch: next()?, seq: next()? })
    }
}
