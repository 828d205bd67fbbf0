//! Times as text: RFC 3339 in UTC.

use super::error::Error;
use chrono::{DateTime, SecondsFormat, Utc};
use sitewarden_protocol::time::UnixMillis;

/// With milliseconds, so that it comes back as it was; in the plain form where there are none.
pub(crate) fn text(at: UnixMillis) -> String {
    let format = if at.0 % 1_000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
    at.calendar().map_or_else(|| at.to_string(), |time| time.to_rfc3339_opts(format, true))
}

pub(crate) fn parse(field: &str, text: &str) -> Result<UnixMillis, Error> {
    let time = DateTime::parse_from_rfc3339(text);
    let wrong = |_| Error::invalid(field, format!("{field} must be a time such as 2026-01-31T08:00:00Z"));
    time.map(|time| UnixMillis::from(time.with_timezone(&Utc))).map_err(wrong)
}
