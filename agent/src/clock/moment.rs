//! A moment to come, as a person writes it.

use chrono::{DateTime, NaiveDate, NaiveTime};
use sitewarden_protocol::time::UnixMillis;
use std::str::FromStr;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// A day, or a moment of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The beginning of a day in UTC; or now, if it is that day.
    Day(UnixMillis),
    /// A moment.
    Exact(UnixMillis),
}

/// It is no date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no date; write a day such as 2027-03-01, or a moment such as 2027-03-01T08:00:00Z")]
pub struct NoDate(String);

/// It is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{at} is over: it is {now} for licenses; only what is to come can be told")]
pub struct Over {
    at: UnixMillis,
    now: UnixMillis,
}

impl FromStr for Moment {
    type Err = NoDate;

    fn from_str(text: &str) -> Result<Self, NoDate> {
        if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            return Ok(Self::Day(day.and_time(NaiveTime::MIN).and_utc().into()));
        }
        // A plus sign that was not escaped in a query is a space.
        let moment = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
        moment.map(|at| Self::Exact(at.to_utc().into())).map_err(|_| NoDate(text.chars().take(40).collect()))
    }
}

impl Moment {
    /// The moment, seen from `now`.
    ///
    /// # Errors
    /// `Over` if it is before now.
    pub fn seen_from(self, now: UnixMillis) -> Result<UnixMillis, Over> {
        match self {
            Self::Day(at) if at < now && now < at.after(DAY) => Ok(now),
            Self::Day(at) | Self::Exact(at) if at < now => Err(Over { at, now }),
            Self::Day(at) | Self::Exact(at) => Ok(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Option<String> {
        let now = UnixMillis(1_769_846_400_000); // 2026-01-31T08:00:00Z
        text.parse::<Moment>().ok()?.seen_from(now).ok().map(|at| at.to_string())
    }

    #[test]
    fn days_and_moments_are_understood_and_nothing_else() {
        for (text, at) in [
            ("2026-02-01", Some("2026-02-01T00:00:00Z")),
            ("2026-01-31", Some("2026-01-31T08:00:00Z")),
            ("2026-01-30", None),
            ("2026-01-31T09:30:00+01:00", Some("2026-01-31T08:30:00Z")),
            ("2026-01-31T09:30:00 01:00", Some("2026-01-31T08:30:00Z")),
            ("2026-01-31T07:59:59Z", None),
            ("2026-02-30", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(seen(text).as_deref(), at, "{text}");
        }
    }
}
