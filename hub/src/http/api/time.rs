//! Times as text: RFC 3339 in UTC.

use super::error::Error;
use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use sitewarden_protocol::time::UnixMillis;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);

/// With milliseconds, so that it comes back as it was; in the plain form where there are none.
pub(crate) fn text(at: UnixMillis) -> String {
    let format = if at.0 % 1_000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
    at.calendar().map_or_else(|| at.to_string(), |time| time.to_rfc3339_opts(format, true))
}

/// The day alone, such as `2026-01-31`.
pub(crate) fn day(at: UnixMillis) -> String {
    at.calendar().map_or_else(|| at.to_string(), |time| time.format("%Y-%m-%d").to_string())
}

/// A date, which is its first moment in UTC, or a time.
pub(crate) fn date(field: &str, text: &str) -> Result<UnixMillis, Error> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc().into());
    }
    let wrong = |_| {
        let message = format!("{field} must be a date such as 2026-01-31, or a time such as 2026-01-31T08:00:00Z");
        Error::invalid(field, message)
    };
    parse(field, text).map_err(wrong)
}

/// The moment after a date, or after the second of a time.
pub(crate) fn end_of_date(field: &str, text: &str) -> Result<UnixMillis, Error> {
    let span = if text.parse::<NaiveDate>().is_ok() { DAY } else { SECOND };
    Ok(date(field, text)?.after(span))
}

pub(crate) fn parse(field: &str, text: &str) -> Result<UnixMillis, Error> {
    let time = DateTime::parse_from_rfc3339(text);
    let wrong = |_| Error::invalid(field, format!("{field} must be a time such as 2026-01-31T08:00:00Z"));
    time.map(|time| UnixMillis::from(time.with_timezone(&Utc))).map_err(wrong)
}
