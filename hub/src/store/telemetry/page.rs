//! A page of telemetry: what agents reported and what was measured, merged in one order.
//!
//! Each source (an agent's records, a place's measurements) is read in order by an index of its own, a few rows at a time,
//! and the newest of what they have comes next. So a page costs what it shows, and a look at each source, however much is
//! older, newer or somebody else's. What no index leaves out is looked at row by row, at most [`MAX_SCAN`] rows for one page.

use super::{
    filter::{TelemetryCursor, TelemetryFilter, TelemetryPage, TelemetryRow},
    measured::Measurements,
    places::Places,
    reported::Reports,
};
use crate::store::{MAX_PAGE, Store, error::Error};
use rusqlite::Connection;
use std::collections::BinaryHeap;

/// Rows that are looked at for one page. Where few are wanted the page is short, and says where to go on.
const MAX_SCAN: usize = 50_000;
/// Rows that are read of one source at once.
const CHUNK: usize = 256;

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
        self.read(move |connection| read(connection, &filter, after, limit.clamp(1, MAX_PAGE))).await
    }
}

/// Something that is read in order.
enum Source {
    Measured(Measurements),
    Reported(Reports),
}

/// What a look into a source found.
pub(super) struct Look {
    /// What is wanted, in order.
    pub(super) found: Vec<(TelemetryCursor, TelemetryRow)>,
    /// How many rows were looked at for it.
    pub(super) looked: usize,
    /// How far was looked; `None` if there is nothing behind.
    pub(super) through: Option<TelemetryCursor>,
}

/// The next that a source has: a row, or the place from which on it has to be looked at again.
struct Next {
    key: TelemetryCursor,
    source: usize,
    row: Option<TelemetryRow>,
}

fn read(
    connection: &Connection,
    filter: &TelemetryFilter,
    after: Option<TelemetryCursor>,
    limit: usize,
) -> Result<TelemetryPage, Error> {
    let start = after.unwrap_or_else(|| TelemetryCursor::newest(filter)).min(TelemetryCursor::newest(filter));
    let sources = sources(connection, filter)?;
    let (mut next, mut left) = (BinaryHeap::new(), MAX_SCAN.max(sources.len()));
    let look = |next: &mut BinaryHeap<Next>, number: usize, after: TelemetryCursor, rows: usize| {
        let Some(source) = sources.get(number) else { return Ok(0) };
        let look = match source {
            Source::Measured(source) => source.look(connection, filter, after, rows),
            Source::Reported(source) => source.look(connection, filter, after, rows),
        }?;
        next.extend(look.found.into_iter().map(|(key, row)| Next { key, source: number, row: Some(row) }));
        next.extend(look.through.map(|key| Next { key, source: number, row: None }));
        Ok::<_, Error>(look.looked.max(1))
    };
    let share = (2 * limit).checked_div(sources.len()).unwrap_or(0).clamp(1, CHUNK);
    for number in 0..sources.len() {
        left = left.saturating_sub(look(&mut next, number, start, share)?);
    }
    let (mut rows, mut end) = (Vec::new(), start);
    while let Some(Next { key, source, row }) = next.pop() {
        match row {
            Some(_) if rows.len() == limit => return Ok(TelemetryPage { rows, next: Some(end) }),
            Some(row) => {
                rows.push(row);
                end = key;
            }
            None if left == 0 => return Ok(TelemetryPage { rows, next: Some(key) }),
            None => left = left.saturating_sub(look(&mut next, source, key, CHUNK.min(left))?),
        }
    }
    Ok(TelemetryPage { rows, next: None })
}

fn sources(connection: &Connection, filter: &TelemetryFilter) -> Result<Vec<Source>, Error> {
    let Some(places) = Places::of(connection, filter)? else { return Ok(Vec::new()) };
    let mut sources = Vec::new();
    if filter.asks_for_others() {
        sources.extend(Reports::of(connection, &places)?.into_iter().map(Source::Reported));
    }
    if filter.asks_for_measurements() {
        sources.extend(Measurements::of(&places).into_iter().map(Source::Measured));
    }
    Ok(sources)
}

impl Next {
    /// A row comes before the place where it was found.
    fn rank(&self) -> (TelemetryCursor, bool, usize) {
        (self.key, self.row.is_some(), self.source)
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Next {}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}
