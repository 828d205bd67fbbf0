//! How long a licence lasts from its activation: `1y`, `18m`, `30d`.

use crate::codec::{Decode, Encode};
use crate::time::UnixMillis;
use chrono::{Days, Months};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// A number of years, months or days: 1 to 99,999. Calendar arithmetic in UTC: a month after 31 January is the last day
/// of February.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Validity {
    number: u32,
    unit: Unit,
}

/// What a validity counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Unit {
    /// Calendar years.
    Years,
    /// Calendar months.
    Months,
    /// Days of 24 hours.
    Days,
}

/// The text is no validity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a validity is a number from 1 to 99999 and y, m or d, such as 1y")]
pub struct InvalidValidity;

impl Validity {
    /// When it ends if it starts at `from`; `None` if that is past the years that chrono knows, which is never.
    pub fn end(&self, from: UnixMillis) -> Option<UnixMillis> {
        let start = from.calendar()?;
        match self.unit {
            Unit::Years => start.checked_add_months(Months::new(self.number.checked_mul(12)?)),
            Unit::Months => start.checked_add_months(Months::new(self.number)),
            Unit::Days => start.checked_add_days(Days::new(u64::from(self.number))),
        }
        .map(UnixMillis::from)
    }
}

impl FromStr for Validity {
    type Err = InvalidValidity;
    fn from_str(text: &str) -> Result<Self, InvalidValidity> {
        let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(InvalidValidity)?;
        let unit = match unit {
            "y" => Unit::Years,
            "m" => Unit::Months,
            "d" => Unit::Days,
            _ => return Err(InvalidValidity),
        };
        let plain = (1..=5).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| plain).ok_or(InvalidValidity)?;
        Ok(Self { number, unit })
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Years => 'y',
            Unit::Months => 'm',
            Unit::Days => 'd',
        };
        write!(f, "{}{unit}", self.number)
    }
}

impl Serialize for Validity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Validity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().into()
    }

    #[test]
    fn validity_is_calendar_arithmetic() {
        let cases = [
            ("1y", "2024-02-29T10:00:00Z", "2025-02-28T10:00:00Z"),
            ("1m", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"),
            ("30d", "2026-01-31T00:00:00Z", "2026-03-02T00:00:00Z"),
        ];
        for (validity, from, end) in cases {
            assert_eq!(validity.parse::<Validity>().unwrap().end(at(from)), Some(at(end)), "{validity}");
        }
        assert_eq!(
            "99999y".parse::<Validity>().unwrap().end(at("2262-01-01T00:00:00Z")),
            Some(at("+102261-01-01T00:00:00Z"))
        );
    }

    #[test]
    fn only_the_documented_form_is_taken() {
        for bad in ["", "y", "0y", "01y", "1", "1w", "-1d", "+1d", "1 y", "100000d", "1é", "é"] {
            assert_eq!(bad.parse::<Validity>(), Err(InvalidValidity), "{bad}");
        }
    }
}
