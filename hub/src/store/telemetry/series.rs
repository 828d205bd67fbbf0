//! Numbers by hour, day, week and month, from the hourly sums alone.

use crate::store::{Scope, Store, error::Error};
use chrono::{DateTime, Datelike, Utc};
use rusqlite::{Connection, params};
use sitewarden_protocol::{id::SiteId, time::UnixMillis};

/// The most points of one answer.
pub const MAX_POINTS: usize = 10_000;

const HOUR: i64 = 3_600_000;

/// How long a point is. Days begin at midnight UTC, weeks on Mondays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week.
    Week,
    /// A month of the calendar.
    Month,
}

/// Which series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesQuery {
    /// What who asks may see.
    pub scope: Scope,
    /// The data group.
    pub group: String,
    /// How long a point is.
    pub granularity: Granularity,
    /// From the hour of this moment on.
    pub from: Option<UnixMillis>,
    /// Up to the hour before this moment's, or with it if the moment is within one.
    pub to: Option<UnixMillis>,
    /// Of one customer.
    pub customer: Option<i64>,
    /// Of one site.
    pub site: Option<SiteId>,
    /// With or without a red flag.
    pub flagged: Option<bool>,
}

/// What was measured in one span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesPoint {
    /// When it begins.
    pub start: UnixMillis,
    /// How many numbers.
    pub count: u64,
    /// Their sum; stops at the largest finite number.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The latest.
    pub last: f64,
    /// When that was taken in.
    pub last_at: UnixMillis,
}

/// By what leaves least; ?4 to ?8 are looked at in what that leaves.
fn question(site: bool, customer: bool) -> String {
    let path = match (site, customer) {
        (true, _) => "AND site = coalesce(?6, ?7)",
        (false, true) => "AND customer = coalesce(?4, ?5)",
        (false, false) => "",
    };
    format!(
        "SELECT hour, count, sum, min, max, last, last_at FROM series_hourly
         WHERE data_group = ?1 {path} AND hour >= ?2 AND hour <= ?3 AND (?4 IS NULL OR customer = ?4)
            AND (?5 IS NULL OR customer = ?5) AND (?6 IS NULL OR site = ?6) AND (?7 IS NULL OR site = ?7)
            AND (?8 IS NULL OR flagged = ?8)
         ORDER BY hour"
    )
}

#[cfg(test)]
pub(super) fn queries() -> [String; 3] {
    [question(false, false), question(false, true), question(true, false)]
}

impl Store {
    /// A series, the earliest point first; spans in which nothing was measured have none.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are more than [`MAX_POINTS`].
    pub async fn series(&self, query: SeriesQuery) -> Result<Vec<SeriesPoint>, Error> {
        self.read(move |connection| read(connection, &query)).await
    }
}

fn read(connection: &Connection, query: &SeriesQuery) -> Result<Vec<SeriesPoint>, Error> {
    let first = query.from.map_or(i64::MIN, |from| from.0.div_euclid(HOUR));
    let last = query.to.map_or(i64::MAX, |to| to.0.saturating_sub(1).div_euclid(HOUR));
    let site = |id: Option<SiteId>| id.map(|id| *id.as_bytes());
    let (scope, flagged) = (query.scope, query.flagged);
    let site_given = scope.site.or(query.site).is_some();
    let mut statement =
        connection.prepare_cached(&question(site_given, scope.customer.or(query.customer).is_some()))?;
    let mut rows = statement.query(params![
        query.group,
        first,
        last,
        scope.customer,
        query.customer,
        site(scope.site),
        site(query.site),
        flagged,
    ])?;
    let mut points: Vec<SeriesPoint> = Vec::new();
    while let Some(row) = rows.next()? {
        let point = SeriesPoint {
            start: query.granularity.start(row.get(0)?),
            count: crate::store::counted(row, 1)?,
            sum: row.get(2)?,
            min: row.get(3)?,
            max: row.get(4)?,
            last: row.get(5)?,
            last_at: UnixMillis(row.get(6)?),
        };
        let full = points.len() == MAX_POINTS;
        match points.last_mut().filter(|before| before.start == point.start) {
            Some(before) => before.add(&point),
            None if full => {
                return Err(Error::Invalid { what: "from, to", allowed: "a span of at most 10000 points" });
            }
            None => points.push(point),
        }
    }
    Ok(points)
}

impl SeriesPoint {
    fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = (self.sum + other.sum).clamp(f64::MIN, f64::MAX);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        if other.last_at >= self.last_at {
            (self.last, self.last_at) = (other.last, other.last_at);
        }
    }
}

impl Granularity {
    /// The beginning of the span that an hour is in. Hours outside the calendar are each for themselves.
    pub(in crate::store) fn start(self, hour: i64) -> UnixMillis {
        let day = hour.div_euclid(24);
        let start = match self {
            Self::Hour => Some(hour),
            Self::Day => day.checked_mul(24),
            // 1970 began on a Thursday.
            Self::Week => day.checked_sub((day + 3).rem_euclid(7)).and_then(|monday| monday.checked_mul(24)),
            Self::Month => {
                let date = hour.checked_mul(HOUR).and_then(DateTime::<Utc>::from_timestamp_millis);
                date.and_then(|date| day.checked_sub(i64::from(date.day0()))).and_then(|first| first.checked_mul(24))
            }
        };
        UnixMillis(start.unwrap_or(hour).saturating_mul(HOUR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_begin_where_the_calendar_says() {
        let hour = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis() / HOUR;
        for (granularity, within, start) in [
            (Granularity::Hour, "2026-01-31T08:00:00Z", "2026-01-31T08:00:00Z"),
            (Granularity::Day, "2026-01-31T08:00:00Z", "2026-01-31T00:00:00Z"),
            (Granularity::Week, "2026-01-31T08:00:00Z", "2026-01-26T00:00:00Z"),
            (Granularity::Week, "2026-01-26T00:00:00Z", "2026-01-26T00:00:00Z"),
            (Granularity::Month, "2024-02-29T23:00:00Z", "2024-02-01T00:00:00Z"),
            (Granularity::Month, "1969-12-31T23:00:00Z", "1969-12-01T00:00:00Z"),
            (Granularity::Week, "1969-12-31T23:00:00Z", "1969-12-29T00:00:00Z"),
        ] {
            assert_eq!(granularity.start(hour(within)).to_string(), start, "{granularity:?} of {within}");
        }
        for granularity in [Granularity::Hour, Granularity::Day, Granularity::Week, Granularity::Month] {
            granularity.start(i64::MIN / HOUR);
            granularity.start(i64::MAX / HOUR);
        }
    }
}
