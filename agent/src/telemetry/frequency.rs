//! How often what is queued is sent: the four documented frequencies, all at 02:00 UTC.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc, Weekday};
use serde::{Deserialize, Serialize};
use sitewarden_protocol::time::UnixMillis;
use std::str::FromStr;

/// The hour of all runs, UTC.
const HOUR: u32 = 2;
/// No two runs of any frequency are further apart than this many days.
const LONGEST_GAP: u64 = 31;

/// How often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    /// On the 1st and the 15th of each month.
    #[default]
    TwiceMonthly,
    /// On Mondays.
    Weekly,
    /// On the 1st of each month.
    Monthly,
    /// Every day.
    Daily,
}

/// The text names no frequency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid frequency. Must be one of: twice_monthly, weekly, monthly, daily")]
pub struct Unknown;

impl FromStr for Frequency {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL.into_iter().find(|frequency| frequency.name() == text).ok_or(Unknown)
    }
}

impl Frequency {
    /// All of them, in the document's order.
    pub const ALL: [Self; 4] = [Self::TwiceMonthly, Self::Weekly, Self::Monthly, Self::Daily];

    /// The documented name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TwiceMonthly => "twice_monthly",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Daily => "daily",
        }
    }

    /// The newest run that is not after `now`; `None` outside the years that a calendar has.
    pub fn latest(self, now: UnixMillis) -> Option<UnixMillis> {
        let today = now.calendar()?.date_naive();
        let days = (0..=LONGEST_GAP).filter_map(|back| today.checked_sub_days(Days::new(back)));
        days.filter(|day| self.runs_on(*day)).filter_map(at_the_hour).find(|run| *run <= now)
    }

    /// The first run after `now`; `None` outside the years that a calendar has.
    pub fn next(self, now: UnixMillis) -> Option<UnixMillis> {
        let today = now.calendar()?.date_naive();
        let days = (0..=LONGEST_GAP).filter_map(|ahead| today.checked_add_days(Days::new(ahead)));
        days.filter(|day| self.runs_on(*day)).filter_map(at_the_hour).find(|run| *run > now)
    }

    fn runs_on(self, day: NaiveDate) -> bool {
        match self {
            Self::TwiceMonthly => matches!(day.day(), 1 | 15),
            Self::Weekly => day.weekday() == Weekday::Mon,
            Self::Monthly => day.day() == 1,
            Self::Daily => true,
        }
    }
}

fn at_the_hour(day: NaiveDate) -> Option<UnixMillis> {
    let time = day.and_time(NaiveTime::from_hms_opt(HOUR, 0, 0)?);
    Some(DateTime::<Utc>::from_naive_utc_and_offset(time, Utc).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Timelike;
    use proptest::prelude::*;

    fn at(text: &str) -> UnixMillis {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc).into()
    }

    #[test]
    fn each_frequency_runs_on_its_documented_days() {
        // 12 November 2025 is a Wednesday; the first line is the document's own example.
        for (frequency, next, latest) in [
            (Frequency::TwiceMonthly, "2025-11-15T02:00:00Z", "2025-11-01T02:00:00Z"),
            (Frequency::Weekly, "2025-11-17T02:00:00Z", "2025-11-10T02:00:00Z"),
            (Frequency::Monthly, "2025-12-01T02:00:00Z", "2025-11-01T02:00:00Z"),
            (Frequency::Daily, "2025-11-13T02:00:00Z", "2025-11-12T02:00:00Z"),
        ] {
            let now = at("2025-11-12T10:00:00Z");
            assert_eq!(frequency.next(now), Some(at(next)), "{frequency:?}");
            assert_eq!(frequency.latest(now), Some(at(latest)), "{frequency:?}");
        }
    }

    #[test]
    fn the_hour_itself_is_the_run_and_the_moment_before_is_not() {
        let run = at("2026-03-01T02:00:00Z");
        for frequency in [Frequency::TwiceMonthly, Frequency::Monthly, Frequency::Daily] {
            assert_eq!(frequency.latest(run), Some(run));
            assert_eq!(frequency.next(UnixMillis(run.0 - 1)), Some(run));
            assert!(frequency.next(run).unwrap() > run);
        }
    }

    #[test]
    fn names_are_the_documented_ones_and_nothing_else() {
        for frequency in Frequency::ALL {
            assert_eq!(frequency.name().parse(), Ok(frequency));
            assert_eq!(serde_json::to_value(frequency).unwrap(), frequency.name());
        }
        for wrong in ["", "Daily", "hourly", "weekly "] {
            let error = wrong.parse::<Frequency>().unwrap_err().to_string();
            assert_eq!(error, "Invalid frequency. Must be one of: twice_monthly, weekly, monthly, daily");
        }
    }

    proptest! {
        #[test]
        fn runs_are_at_the_hour_and_nothing_lies_between_two(millis in 0_i64..4_102_444_800_000) {
            let now = UnixMillis(millis);
            for frequency in Frequency::ALL {
                let (latest, next) = (frequency.latest(now).unwrap(), frequency.next(now).unwrap());
                prop_assert!(latest <= now && now < next);
                for run in [latest, next] {
                    let run = run.calendar().unwrap();
                    prop_assert_eq!((run.hour(), run.minute(), run.second()), (2, 0, 0));
                    prop_assert!(frequency.runs_on(run.date_naive()));
                }
                prop_assert_eq!(frequency.next(latest), Some(next));
                prop_assert_eq!(frequency.latest(UnixMillis(next.0 - 1)), Some(latest));
            }
        }
    }
}
