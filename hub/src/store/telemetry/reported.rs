//! Records of agents other than measurements, by their time.
//!
//! Where a kind or an app is asked for, the hourly sums say in which hours there is any: other hours are not looked at.

use super::{
    filter::{Place, TelemetryCursor, TelemetryFilter, TelemetryRow},
    page::Look,
    places::Places,
};
use crate::store::{StoredRecord, error::Error};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    record::kind,
    time::UnixMillis,
};

const HOUR: i64 = 3_600_000;

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

/// The records of one agent.
pub(super) struct Reports {
    row: i64,
    id: AgentId,
    site: SiteId,
    customer: i64,
}

const RECORDS: &str = "SELECT at, epoch, seq, kind, received_at, app, body FROM records
     WHERE agent = ?1 AND (at, epoch, seq) < (?2, ?3, ?4) AND at >= ?5
     ORDER BY at DESC, epoch DESC, seq DESC LIMIT ?6";

const AGENTS_EVERYWHERE: &str = "SELECT a.id, a.uuid, a.site, p.customer FROM agents a
     CROSS JOIN sites s ON s.id = a.site CROSS JOIN plants p ON p.id = s.plant";
const AGENTS_OF_CUSTOMER: &str = "SELECT a.id, a.uuid, a.site, p.customer FROM plants p
     CROSS JOIN sites s ON s.plant = p.id CROSS JOIN agents a ON a.site = s.id WHERE p.customer = ?";
const AGENTS_OF_SITE: &str = "SELECT a.id, a.uuid, a.site, p.customer FROM sites s
     CROSS JOIN plants p ON p.id = s.plant CROSS JOIN agents a ON a.site = s.id WHERE s.id = ?";

const HOUR_OF_KIND: &str =
    "SELECT hour FROM usage_hourly WHERE site = ?1 AND kind = ?2 AND hour <= ?3 ORDER BY hour DESC LIMIT 1";
const HOUR_OF_APP: &str =
    "SELECT hour FROM usage_hourly WHERE site = ?1 AND app = ?2 AND hour <= ?3 ORDER BY hour DESC LIMIT 1";
const HOUR_OF_BOTH: &str = "SELECT hour FROM usage_hourly
     WHERE site = ?1 AND kind = ?2 AND app = ?3 AND hour <= ?4 ORDER BY hour DESC LIMIT 1";

impl Reports {
    /// One for each agent at these places.
    pub(super) fn of(connection: &Connection, places: &Places) -> Result<Vec<Self>, Error> {
        match places {
            Places::Everywhere => Self::read(connection, AGENTS_EVERYWHERE, []),
            Places::Customer(customer) => Self::read(connection, AGENTS_OF_CUSTOMER, [customer]),
            Places::Sites(sites) => {
                let each = sites.iter().map(|site| Self::read(connection, AGENTS_OF_SITE, [site]));
                Ok(each.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
            }
        }
    }

    fn read(connection: &Connection, sql: &str, values: impl Params) -> Result<Vec<Self>, Error> {
        let mut query = connection.prepare_cached(sql)?;
        let rows = query.query_map(values, |row| {
            Ok(Self {
                row: row.get(0)?,
                id: AgentId::from_bytes(row.get(1)?),
                site: SiteId::from_bytes(row.get(2)?),
                customer: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Looks at up to so many rows behind a place.
    pub(super) fn look(
        &self,
        connection: &Connection,
        filter: &TelemetryFilter,
        after: TelemetryCursor,
        rows: usize,
    ) -> Result<Look, Error> {
        let (mut found, mut looked, mut last) = (Vec::new(), 0, None);
        let Some(span) = self.span(connection, filter, self.bound(after))? else {
            return Ok(Look { found, looked, through: None });
        };
        let (at, epoch, seq) = span.before;
        let mut query = connection.prepare_cached(RECORDS)?;
        let limit = i64::try_from(rows).unwrap_or(i64::MAX);
        let mut records = query.query(params![self.row, at, epoch, seq, span.from, limit])?;
        while let Some(row) = records.next()? {
            looked += 1;
            let place = Place::Reported { agent: self.row, epoch: row.get(1)?, seq: row.get(2)? };
            let key = TelemetryCursor { at: row.get(0)?, place };
            last = Some(key);
            if is_wanted(filter, row)? {
                found.push((key, TelemetryRow::Reported(Box::new(self.reported(row)?))));
            }
        }
        let through = if looked < rows { span.goes_on.then(|| TelemetryCursor::behind(span.from)) } else { last };
        Ok(Look { found, looked, through })
    }

    /// Time, epoch and number before which this agent's records are behind a place.
    fn bound(&self, after: TelemetryCursor) -> (i64, i64, i64) {
        match after.place {
            Place::Reported { agent, epoch, seq } if agent == self.row => (after.at, epoch, seq),
            Place::Reported { agent, .. } if self.row < agent => (after.at, i64::MAX, i64::MAX),
            Place::Reported { .. } | Place::Measured(_) => (after.at, i64::MIN, i64::MIN),
        }
    }

    /// The next stretch of time that can have what is wanted; `None` if none has.
    fn span(
        &self,
        connection: &Connection,
        filter: &TelemetryFilter,
        before: (i64, i64, i64),
    ) -> Result<Option<Span>, Error> {
        let from = filter.first_at();
        // Records of the very moment are only asked for if some of them are still to come.
        let last = if before.1 == i64::MIN { before.0.saturating_sub(1) } else { before.0 };
        if filter.kind.is_none() && filter.app.is_none() {
            return Ok(Some(Span { before, from, goes_on: false }));
        }
        let Some(hour) = self.hour(connection, filter, last.div_euclid(HOUR))? else { return Ok(None) };
        let (begins, ends) = (hour.saturating_mul(HOUR), hour.saturating_add(1).saturating_mul(HOUR));
        if ends <= from {
            return Ok(None);
        }
        let before = if before.0 >= ends { (ends, i64::MIN, i64::MIN) } else { before };
        Ok(Some(Span { before, from: from.max(begins), goes_on: begins > from }))
    }

    /// The latest hour, at most this one, in which there is anything of the kind and the app that are asked for.
    fn hour(&self, connection: &Connection, filter: &TelemetryFilter, hour: i64) -> Result<Option<i64>, Error> {
        let site = self.site.as_bytes();
        let Some(kind) = filter.kind else {
            return latest(connection, HOUR_OF_APP, params![site, filter.app, hour]);
        };
        let of = |kind: u16| match &filter.app {
            None => latest(connection, HOUR_OF_KIND, params![site, kind, hour]),
            Some(app) => latest(connection, HOUR_OF_BOTH, params![site, kind, app, hour]),
        };
        // Totals of events are summed as the events that they stand for.
        if kind == kind::FOLDED { Ok(of(kind)?.max(of(kind::EVENT)?)) } else { of(kind) }
    }

    fn reported(&self, row: &Row<'_>) -> Result<ReportedRow, Error> {
        let (epoch, seq): (i64, i64) = (row.get(1)?, row.get(2)?);
        let record = StoredRecord {
            agent: self.id,
            epoch: epoch.unsigned_abs(),
            seq: seq.unsigned_abs(),
            at: UnixMillis(row.get(0)?),
            received_at: UnixMillis(row.get(4)?),
            kind: row.get(3)?,
            app: row.get(5)?,
            body: row.get(6)?,
        };
        Ok(ReportedRow { site: self.site, customer: self.customer, record })
    }
}

/// A stretch of time.
struct Span {
    /// Time, epoch and number before which it begins, the newest first.
    before: (i64, i64, i64),
    /// The last moment of it.
    from: i64,
    /// Whether there may be something behind it.
    goes_on: bool,
}

fn latest(connection: &Connection, sql: &str, values: impl Params) -> Result<Option<i64>, Error> {
    Ok(connection.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?)
}

fn is_wanted(filter: &TelemetryFilter, row: &Row<'_>) -> Result<bool, Error> {
    let kind: u16 = row.get(3)?;
    // A measurement is shown from its own table, with what the hub makes of it.
    if kind == kind::MEASUREMENT || filter.kind.is_some_and(|wanted| wanted != kind) {
        return Ok(false);
    }
    let Some(app) = &filter.app else { return Ok(true) };
    Ok(row.get::<_, Option<String>>(5)?.as_ref() == Some(app))
}

/// All but the list of all agents, which is as long as it is.
#[cfg(test)]
pub(super) const QUERIES: [&str; 6] =
    [RECORDS, AGENTS_OF_CUSTOMER, AGENTS_OF_SITE, HOUR_OF_KIND, HOUR_OF_APP, HOUR_OF_BOTH];
