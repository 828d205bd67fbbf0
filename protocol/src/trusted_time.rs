//! The time that licences are judged by: it never goes backwards, whatever is done to the wall clock.
//!
//! Wall clocks in plants are wrong, and are moved to cheat. So a licence's end is not compared with the wall clock but
//! with [`TrustedTime`], which is made of the wall clock, the machine's uptime (which nobody can turn back) and the
//! times that the hub has signed. Always true: only [`TrustedTime::answered`] takes time back; while the machine runs,
//! time goes on at least as fast as its uptime; in one boot it goes on at most by the catch-up faster than that, once
//! the wall clock is ahead by more than the tolerance.
//!
//! What was considered:
//! - *The clock is moved back* to make a licence last: time goes on by uptime ([`Pace::Behind`]). Nothing is gained while the
//!   machine runs; the time that it is off does not count then, and no machine without a hub can know it.
//! - *The clock is moved forward for an hour* by mistake, by years even: time follows slowly ([`Pace::Ahead`]), so that
//!   one hour more is burnt and not the licence. When the clock comes back, that hour stays burnt until the hub answers.
//! - *The machine was off*: nobody knows for how long, so the wall clock is believed up to `power_off`. A clock that is
//!   further ahead after a start (off for a year, or an empty clock battery) is followed slowly. A clock that starts in
//!   the past and is set right only later counts as a jump in that boot, and is followed slowly too.
//! - *A virtual machine was paused*, and its uptime stood still: its clock is ahead afterwards and followed slowly. What
//!   is lost this way is lost for the vendor, never for the site; the hub's next word sets it right.
//! - *An old signed time is replayed*: it is only a floor, and time is past it already. Going back takes an answer over
//!   our own nonce that is newer than all that was heard before, so each answer counts once. Whoever asks must forget
//!   his nonce soon, measured by uptime: an answer that is held back for a year on the way would take back that year.
//! - *This state is deleted or put back from a copy*: time begins at the newest hub-signed time that is left, and no
//!   licence gets older than that. Here is the limit of what a machine without a hub can know.
//! - *The clock creeps ahead* in steps below the tolerance: it is followed, as corrections of good clocks look the same.
//!   It harms the site alone, and the hub's answer takes it back.
//! - *The hub's own clock was ahead* when it signed: an answer cannot take that back, as it is older than what was
//!   heard. Only beginning anew does.

use crate::codec::{Decode, Encode};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a machine's clocks say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The wall clock, which anyone may have moved.
    pub wall: UnixMillis,
    /// Time since the machine's start, suspend included (`CLOCK_BOOTTIME`). Whole milliseconds count.
    pub uptime: Duration,
    /// Another one after every start.
    pub boot: [u8; 16],
}

/// How far a wall clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How far a good clock may be off.
    pub tolerance: Duration,
    /// How long a machine may have been off for its clock to be believed when it is started.
    pub power_off: Duration,
    /// How much faster than uptime a clock that is ahead is followed, per cent of uptime.
    pub catch_up_percent: u16,
}

impl Default for Settings {
    /// Five minutes, 31 days, and twice as fast as uptime.
    fn default() -> Self {
        Self {
            tolerance: Duration::from_secs(300),
            power_off: Duration::from_secs(31 * 24 * 3_600),
            catch_up_percent: 100,
        }
    }
}

/// How time goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// With the wall clock.
    Steady,
    /// The wall clock is ahead and followed slowly.
    Ahead,
    /// The wall clock is behind; time goes on by the machine's uptime.
    Behind,
}

/// Time has changed its pace, or the hub has moved it. In records: its layout never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Change {
    /// The wall clock at the last reading.
    pub wall: UnixMillis,
    /// Time before: at the reading before this one, or before the hub's word.
    pub before: UnixMillis,
    /// Time after.
    pub after: UnixMillis,
    /// What happened.
    pub cause: Cause,
}

/// Why time has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The wall clock was found behind.
    SteppedBack,
    /// The wall clock was found ahead.
    SteppedForward,
    /// The wall clock is right again.
    Settled,
    /// The hub has taken time back.
    CorrectedBack,
    /// The hub has moved time forward by more than the tolerance.
    CorrectedForward,
}

/// Time for licences. To be kept on disk, so that a restart does not take it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedTime {
    time: UnixMillis,
    /// The newest hub-signed time.
    heard: UnixMillis,
    reading: Reading,
    pace: Pace,
}

impl TrustedTime {
    /// Begins at `floor`, a hub-signed time such as the snapshot's. The clock is judged as after a start, with the
    /// default [`Settings`]: nobody knows how long ago the floor was.
    pub fn begin(floor: UnixMillis, reading: Reading) -> Self {
        let mut begun = Self { time: floor, heard: floor, reading, pace: Pace::Steady };
        begun.follow(reading, None, &Settings::default());
        begun
    }

    /// The time as of the last reading.
    pub fn now(&self) -> UnixMillis {
        self.time
    }

    /// How time goes on.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// The uptime at the last reading.
    pub fn read_at(&self) -> Duration {
        self.reading.uptime
    }

    /// The newest hub-signed time.
    pub fn last_heard(&self) -> UnixMillis {
        self.heard
    }

    /// Goes on to a new reading. `Some` only when the pace changes.
    pub fn advance(&mut self, reading: Reading, settings: &Settings) -> Option<Change> {
        let (before, pace) = (self.time, self.pace);
        let last = self.reading;
        let same_boot = reading.boot == last.boot && last.uptime <= reading.uptime;
        self.follow(reading, same_boot.then_some(last.uptime), settings);
        let cause = match self.pace {
            now if now == pace => return None,
            Pace::Steady => Cause::Settled,
            Pace::Ahead => Cause::SteppedForward,
            Pace::Behind => Cause::SteppedBack,
        };
        Some(self.change(before, cause))
    }

    /// Something of this site is known to have happened at `at`: time is not before it. It is no word of the hub, whose
    /// answer may take it back.
    pub fn not_before(&mut self, at: UnixMillis, settings: &Settings) {
        self.time = self.time.max(at);
        self.judge(settings);
    }

    /// Takes note of a hub-signed time that may be a replay: time is not before it. [`Self::advance`] first, or what
    /// has passed since the last reading is added to it. `Some` only when time moves by more than the tolerance.
    pub fn heard(&mut self, hub: UnixMillis, settings: &Settings) -> Option<Change> {
        let before = self.time;
        self.heard = self.heard.max(hub);
        self.time = before.max(hub);
        if hub.since(before) <= settings.tolerance {
            return None;
        }
        self.judge(settings);
        Some(self.change(before, Cause::CorrectedForward))
    }

    /// Takes the hub's signed answer over our own nonce, which may also take time back if it is newer than every
    /// hub-signed time before. [`Self::advance`] first, and do not take an answer whose round trip was longer than the
    /// tolerance. `Some` only when time goes back, or moves forward by more than the tolerance.
    pub fn answered(&mut self, hub: UnixMillis, settings: &Settings) -> Option<Change> {
        if hub <= self.heard {
            return None;
        }
        let before = self.time;
        if before.since(hub) <= settings.tolerance {
            return self.heard(hub, settings);
        }
        self.heard = hub;
        self.time = hub;
        self.judge(settings);
        Some(self.change(before, Cause::CorrectedBack))
    }

    /// `since`: the uptime up to which time is known, if it was in this boot.
    fn follow(&mut self, reading: Reading, since: Option<Duration>, settings: &Settings) {
        self.reading = reading;
        let (now, last) = (millis(reading.uptime), millis(since.unwrap_or(reading.uptime)));
        self.time = self.time.after(Duration::from_millis(now.saturating_sub(last)));
        let ahead = reading.wall.since(self.time);
        if ahead <= self.limit(Pace::Ahead, settings) || (since.is_none() && ahead <= settings.power_off) {
            self.time = self.time.max(reading.wall);
        } else {
            // A difference of shares and not the share of a difference: frequent readings lose nothing by rounding.
            let share = |uptime: u64| u128::from(uptime) * u128::from(settings.catch_up_percent) / 100;
            let gain = u64::try_from(share(now).saturating_sub(share(last))).unwrap_or(u64::MAX);
            self.time = self.time.after(ahead.min(Duration::from_millis(gain)));
        }
        self.judge(settings);
    }

    /// Sets the pace by how far the wall clock is off.
    fn judge(&mut self, settings: &Settings) {
        let (wall, time) = (self.reading.wall, self.time);
        self.pace = if wall.since(time) > self.limit(Pace::Ahead, settings) {
            Pace::Ahead
        } else if time.since(wall) > self.limit(Pace::Behind, settings) {
            Pace::Behind
        } else {
            Pace::Steady
        };
    }

    /// How far the clock may be off on one side. Half as far for it to come back from there, so that one that hovers
    /// at the tolerance does not flap.
    fn limit(&self, side: Pace, settings: &Settings) -> Duration {
        if self.pace == side { settings.tolerance / 2 } else { settings.tolerance }
    }

    fn change(&self, before: UnixMillis, cause: Cause) -> Change {
        Change { wall: self.reading.wall, before, after: self.time, cause }
    }
}

fn millis(uptime: Duration) -> u64 {
    u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
