//! Records of agents, by agent and number.

use super::filter::{Page, TelemetryCursor, TelemetryRow};
use crate::store::{StoredRecord, error::Error};
use rusqlite::{Connection, params};
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    time::UnixMillis,
};

/// A record, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedRow {
    /// The agent's site.
    pub site: SiteId,
    /// The site's customer.
    pub customer: i64,
    /// The record.
    pub record: StoredRecord,
}

struct Agent {
    row: i64,
    id: AgentId,
    site: SiteId,
    customer: i64,
}

const RECORDS: &str = "SELECT epoch, seq, at, received_at, kind, app, body FROM records
     WHERE agent = ?1 AND (epoch, seq) < (?2, ?3) ORDER BY epoch DESC, seq DESC";

/// Fills the page from where it ends; answers whether there may be more.
pub(super) fn read(connection: &Connection, page: &mut Page<'_>) -> Result<bool, Error> {
    let start = match page.end {
        Some(TelemetryCursor::Reported { agent, epoch, seq }) => (agent, epoch, seq),
        Some(TelemetryCursor::Measured { .. }) => return Ok(false),
        None => (i64::MAX, i64::MAX, i64::MAX),
    };
    let mut query = connection.prepare_cached(RECORDS)?;
    for agent in agents(connection, page, start.0)? {
        let (epoch, seq) = if agent.row == start.0 { (start.1, start.2) } else { (i64::MAX, i64::MAX) };
        let mut rows = query.query(params![agent.row, epoch, seq])?;
        while let Some(row) = rows.next()? {
            let (epoch, seq): (i64, i64) = (row.get(0)?, row.get(1)?);
            if !page.look(TelemetryCursor::Reported { agent: agent.row, epoch, seq }) {
                return Ok(true);
            }
            let (at, kind): (i64, u16) = (row.get(2)?, row.get(4)?);
            let app: Option<String> = row.get(5)?;
            let wanted = page.filter.app.as_ref().is_none_or(|wanted| Some(wanted) == app.as_ref());
            if !wanted || !page.in_time(at) || page.filter.kind.is_some_and(|wanted| wanted != kind) {
                continue;
            }
            let record = StoredRecord {
                agent: agent.id,
                epoch: epoch.unsigned_abs(),
                seq: seq.unsigned_abs(),
                at: UnixMillis(at),
                received_at: UnixMillis(row.get(3)?),
                kind,
                app,
                body: row.get(6)?,
            };
            let (site, customer) = (agent.site, agent.customer);
            page.put(TelemetryRow::Reported(Box::new(ReportedRow { site, customer, record })));
        }
    }
    Ok(false)
}

/// The agents in question from one on, the newest first.
fn agents(connection: &Connection, page: &Page<'_>, from: i64) -> Result<Vec<Agent>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT a.id, a.uuid, a.site, p.customer FROM agents a JOIN sites s ON s.id = a.site JOIN plants p ON p.id = s.plant
         WHERE a.id <= ?1 AND (?2 IS NULL OR p.customer = ?2) AND (?3 IS NULL OR p.customer = ?3)
            AND (?4 IS NULL OR a.site = ?4) AND (?5 IS NULL OR a.site = ?5) AND (?6 IS NULL OR s.plant = ?6)
         ORDER BY a.id DESC",
    )?;
    let [scope_customer, customer] = page.filter.customers();
    let [scope_site, site] = page.filter.sites().map(|site| site.map(|id| *id.as_bytes()));
    let plant = page.filter.plant.map(|id| *id.as_bytes());
    let rows = query.query_map(params![from, scope_customer, customer, scope_site, site, plant], |row| {
        Ok(Agent {
            row: row.get(0)?,
            id: AgentId::from_bytes(row.get(1)?),
            site: SiteId::from_bytes(row.get(2)?),
            customer: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
pub(super) const QUERY: &str = RECORDS;
