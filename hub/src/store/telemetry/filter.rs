//! What is asked of telemetry, and the pages that answer it.
//!
//! Measurements have indexes by time; other records are read in the order of their agents and numbers, because the table
//! that takes them in has no other index. A question about data groups, flags or measurements is about the former, any
//! other about both: first what agents reported, then what came straight to the hub.

use super::{MeasuredRow, ReportedRow, measured, reported};
use crate::store::{MAX_PAGE, Scope, Store, error::Error};
use rusqlite::Connection;
use sitewarden_protocol::{
    id::{PlantId, SiteId},
    record::kind,
    time::UnixMillis,
};
use std::{fmt, str::FromStr};

/// Rows that are looked at for one page. Where few are wanted the page is short, and says where to go on.
pub(super) const MAX_SCAN: usize = 50_000;

/// Which telemetry. Everything that is given has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TelemetryFilter {
    /// What who asks may see.
    pub scope: Scope,
    /// Of one customer.
    pub customer: Option<i64>,
    /// Of one plant.
    pub plant: Option<PlantId>,
    /// Of one site.
    pub site: Option<SiteId>,
    /// Of one app.
    pub app: Option<String>,
    /// Of one kind of record.
    pub kind: Option<u16>,
    /// Measurements of one data group.
    pub group: Option<String>,
    /// Not before this moment, by the clock of whoever took it in.
    pub from: Option<UnixMillis>,
    /// Before this moment.
    pub to: Option<UnixMillis>,
    /// Measurements with or without a red flag.
    pub flagged: Option<bool>,
}

/// A place in a list. Its text means nothing to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TelemetryCursor {
    /// Among measurements.
    Measured {
        /// Time.
        at: i64,
        /// Row.
        id: i64,
    },
    /// Among records.
    Reported {
        /// Row.
        agent: i64,
        /// Life of the journal.
        epoch: i64,
        /// Number.
        seq: i64,
    },
}

/// The text is no cursor that the hub gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that this hub gave out")]
pub struct NotACursor;

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub enum TelemetryRow {
    /// A measurement.
    Measured(Box<MeasuredRow>),
    /// Another record.
    Reported(Box<ReportedRow>),
}

/// Some of them, and where to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryPage {
    /// The newest first; records of each agent by themselves.
    pub rows: Vec<TelemetryRow>,
    /// After which to ask for more; `None` if there are none.
    pub next: Option<TelemetryCursor>,
}

impl Store {
    /// A page of telemetry after a place, at most [`MAX_PAGE`] rows.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_telemetry(
        &self,
        filter: TelemetryFilter,
        after: Option<TelemetryCursor>,
        limit: usize,
    ) -> Result<TelemetryPage, Error> {
        self.read(move |connection| page(connection, &filter, after, limit.clamp(1, MAX_PAGE))).await
    }
}

fn page(
    connection: &Connection,
    filter: &TelemetryFilter,
    after: Option<TelemetryCursor>,
    limit: usize,
) -> Result<TelemetryPage, Error> {
    let mut page = Page { filter, limit, left: MAX_SCAN, rows: Vec::new(), end: after };
    let of_measurements = filter.group.is_some() || filter.flagged.is_some() || filter.kind == Some(kind::MEASUREMENT);
    let of_records = filter.kind.is_some_and(|kind| kind != kind::MEASUREMENT);
    let more = match (of_measurements, of_records) {
        (true, true) => false,
        (true, false) => measured::read(connection, &mut page, false)?,
        (false, true) => reported::read(connection, &mut page)?,
        (false, false) => {
            let among_records = !matches!(after, Some(TelemetryCursor::Measured { .. }));
            if among_records && reported::read(connection, &mut page)? {
                true
            } else {
                if among_records {
                    // The page may be full: the next one goes on with the first measurement.
                    let (at, id) = page.first();
                    page.end = Some(TelemetryCursor::Measured { at, id });
                }
                measured::read(connection, &mut page, true)?
            }
        }
    };
    Ok(TelemetryPage { next: page.end.filter(|_| more), rows: page.rows })
}

/// A page that is being filled.
pub(super) struct Page<'a> {
    pub(super) filter: &'a TelemetryFilter,
    limit: usize,
    left: usize,
    rows: Vec<TelemetryRow>,
    /// The last row that was looked at.
    pub(super) end: Option<TelemetryCursor>,
}

impl<'a> Page<'a> {
    #[cfg(test)]
    pub(super) fn of(filter: &'a TelemetryFilter) -> Self {
        Self { filter, limit: 1, left: 1, rows: Vec::new(), end: None }
    }

    /// Time and row before the first measurement that is asked for.
    pub(super) fn first(&self) -> (i64, i64) {
        (self.filter.to.map_or(i64::MAX, |to| to.0), i64::MIN)
    }

    /// Takes note of the next row; answers `false` if it does not fit any more.
    pub(super) fn look(&mut self, at: TelemetryCursor) -> bool {
        if self.rows.len() >= self.limit || self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.end = Some(at);
        true
    }

    pub(super) fn put(&mut self, row: TelemetryRow) {
        self.rows.push(row);
    }

    pub(super) fn in_time(&self, at: i64) -> bool {
        self.filter.from.is_none_or(|from| from.0 <= at) && self.filter.to.is_none_or(|to| at < to.0)
    }
}

impl TelemetryFilter {
    /// The customers and the sites that both the question and who asks are limited to; each has to hold.
    pub(super) fn customers(&self) -> [Option<i64>; 2] {
        [self.scope.customer, self.customer]
    }

    pub(super) fn sites(&self) -> [Option<SiteId>; 2] {
        [self.scope.site, self.site]
    }
}

impl fmt::Display for TelemetryCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measured { at, id } => write!(f, "m.{at}.{id}"),
            Self::Reported { agent, epoch, seq } => write!(f, "r.{agent}.{epoch}.{seq}"),
        }
    }
}

impl FromStr for TelemetryCursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (kind, numbers) = text.split_once('.').ok_or(NotACursor)?;
        let numbers: Vec<i64> = numbers.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| NotACursor)?;
        match (kind, numbers.as_slice()) {
            ("m", [at, id]) => Ok(Self::Measured { at: *at, id: *id }),
            ("r", [agent, epoch, seq]) => Ok(Self::Reported { agent: *agent, epoch: *epoch, seq: *seq }),
            _ => Err(NotACursor),
        }
    }
}
