//! The emergency override: a plant runs for some days without the vendor.
//!
//! Always true: all overrides of any 365 days together have no more days than the snapshot allows; one ends by itself; it
//! reaches expiry and staleness, never the quota and never a licence that was withdrawn.

use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// One override.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relief {
    /// When it was declared.
    pub at: UnixMillis,
    /// When it ends.
    pub until: UnixMillis,
}

impl Relief {
    /// The same once the clock was corrected to `now`: [`Reliefs::use_up_what_is_to_come`].
    pub fn corrected(self, now: UnixMillis) -> Self {
        if self.at.since(now) < DAY { self } else { Self { at: now.before(self.until.since(self.at)), until: now } }
    }
}

/// The overrides of a site, oldest first; those of more than a year ago are forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reliefs(Vec<Relief>);

/// Why no override begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReliefError {
    /// The vendor allows none here.
    #[error("your vendor allows no emergency override at this site")]
    NotAllowed,
    /// Less than a day.
    #[error("an override has 1 day at least")]
    NoDays,
    /// More than is left.
    #[error("{asked} days are more than the {left} that are left of {allowed} in a year; ask your vendor")]
    TooLong {
        /// Days asked for.
        asked: u16,
        /// Days that are left.
        left: u16,
        /// Days in any 365.
        allowed: u16,
    },
    /// One is in force.
    #[error("an override is in force until {0}")]
    InForce(UnixMillis),
}

impl Reliefs {
    /// The end of the one in force. One from more than a day ahead is not: it was declared under a clock that was wrong and
    /// has been corrected since, and would last for as long as that was off.
    /// None lasts longer than the vendor allows now, whatever is written down.
    pub fn until(&self, now: UnixMillis, allowed: u16) -> Option<UnixMillis> {
        let ends = |relief: &Relief| relief.until.min(relief.at.after(DAY * u32::from(allowed)));
        let in_force = |relief: &&Relief| ends(relief) > now && relief.at.since(now) < DAY;
        self.0.iter().filter(in_force).map(ends).max()
    }

    /// Days that may still be used at `now`, rounded down.
    pub fn days_left(&self, allowed: u16, now: UnixMillis) -> u16 {
        let used: Duration = self.within_a_year(now).map(|relief| relief.until.since(relief.at)).sum();
        let left = (DAY * u32::from(allowed)).saturating_sub(used);
        u16::try_from(left.as_secs() / DAY.as_secs()).unwrap_or(u16::MAX)
    }

    /// Decides on an override of `days`; answers when it would end.
    ///
    /// # Errors
    /// [`ReliefError`].
    pub fn may_begin(&self, days: u16, allowed: u16, now: UnixMillis) -> Result<UnixMillis, ReliefError> {
        if allowed == 0 {
            return Err(ReliefError::NotAllowed);
        }
        if let Some(until) = self.until(now, allowed) {
            return Err(ReliefError::InForce(until));
        }
        let left = self.days_left(allowed, now);
        match days {
            0 => Err(ReliefError::NoDays),
            asked if asked > left => Err(ReliefError::TooLong { asked, left, allowed }),
            days => Ok(now.after(DAY * u32::from(days))),
        }
    }

    /// Takes what was declared more than a day after `now` as used up just before: it was under a clock that was wrong and
    /// has been corrected to `now`. It would come into force again one day, and nobody could foretell it.
    pub fn use_up_what_is_to_come(&mut self, now: UnixMillis) {
        for relief in &mut self.0 {
            *relief = relief.corrected(now);
        }
    }

    /// Notes one.
    pub fn begin(&mut self, relief: Relief) {
        self.0.retain(|known| known.at != relief.at && relief.at.since(known.until) < YEAR);
        self.0.push(relief);
    }

    fn within_a_year(&self, now: UnixMillis) -> impl Iterator<Item = &Relief> {
        self.0.iter().filter(move |relief| now.since(relief.at) < YEAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn day(number: u32) -> UnixMillis {
        NOW.after(DAY * number)
    }

    #[test]
    fn an_override_ends_by_itself_and_uses_up_what_the_vendor_allows() {
        let mut reliefs = Reliefs::default();
        assert_eq!(reliefs.may_begin(1, 0, NOW), Err(ReliefError::NotAllowed));
        assert_eq!(reliefs.may_begin(0, 7, NOW), Err(ReliefError::NoDays));
        assert_eq!(reliefs.may_begin(8, 7, NOW), Err(ReliefError::TooLong { asked: 8, left: 7, allowed: 7 }));
        let until = reliefs.may_begin(5, 7, NOW).unwrap();
        reliefs.begin(Relief { at: NOW, until });
        assert_eq!((reliefs.until(day(4), 7), reliefs.until(day(5), 7)), (Some(day(5)), None));
        assert_eq!(reliefs.may_begin(1, 7, day(1)), Err(ReliefError::InForce(day(5))));
        assert_eq!(reliefs.may_begin(3, 7, day(6)), Err(ReliefError::TooLong { asked: 3, left: 2, allowed: 7 }));
        assert_eq!(reliefs.may_begin(2, 7, day(6)), Ok(day(8)));
        assert_eq!(reliefs.may_begin(7, 7, day(365)), Ok(day(372)));
    }

    #[test]
    fn an_override_under_a_clock_that_was_wrong_lasts_no_longer_once_it_is_corrected() {
        let mut reliefs = Reliefs::default();
        reliefs.begin(Relief { at: day(20), until: day(25) });
        assert_eq!((reliefs.until(day(0), 7), reliefs.until(day(19), 7)), (None, None));
        let hour_before = UnixMillis(day(20).0 - 3_600_000);
        assert_eq!(reliefs.until(hour_before, 7), Some(day(25)), "a small correction interrupts nothing");
        assert_eq!(reliefs.days_left(7, day(0)), 2, "its days are used up");
        reliefs.use_up_what_is_to_come(day(0));
        assert_eq!((reliefs.until(day(0), 7), reliefs.until(day(20), 7)), (None, None), "it does not come again");
        assert_eq!(reliefs.days_left(7, day(0)), 2, "and its days stay used up");
    }

    #[test]
    fn what_is_written_down_lasts_no_longer_than_the_vendor_allows() {
        let mut reliefs = Reliefs::default();
        reliefs.begin(Relief { at: NOW, until: day(3_000) });
        assert_eq!((reliefs.until(day(6), 7), reliefs.until(day(8), 7)), (Some(day(7)), None));
        assert_eq!(reliefs.until(NOW, 0), None);
    }
}
