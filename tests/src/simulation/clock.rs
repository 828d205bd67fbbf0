//! The plant's clocks: a wall clock that is moved at random, an uptime, and the licence time that is made of both and of
//! what the hub says.
//!
//! The hub's clock is the simulation's own. Licence time is kept on disk now and then, and what was not kept a kill may
//! take back; while the process runs, only the hub's answer may.

use super::Mutation;
use super::invariants::Broken;
use super::random::Random;
use super::world::{Event, World};
use sitewarden_protocol::hub_time::{HubTime, Nonce, Signed};
use sitewarden_protocol::sync::agent::ANSWER_TIMEOUT;
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::trusted_time::{Cause, Reading, Settings, TrustedTime};
use std::time::Duration;

/// When a machine is on for so long, it is found started.
const BOOTED_FOR: Duration = Duration::from_secs(600);
/// Between two questions for the hub's time. An hour in the agent; here a run is over before.
const ASK_EVERY: (u64, u64) = (500, 8_000);
const MINUTE: i64 = 60_000;
const YEAR: i64 = 365 * 24 * 60 * MINUTE;

/// The clocks of the plant.
pub(super) struct Clock {
    /// Its own stream, so that a moved clock does not change what else a seed goes through.
    random: Random,
    /// What the wall clock is off, milliseconds.
    off: i64,
    boot: u8,
    booted: Duration,
    /// `None` while the process is down.
    time: Option<TrustedTime>,
    /// As it is on disk.
    kept: Option<TrustedTime>,
    /// Licence time and uptime when they were last looked at.
    seen: (UnixMillis, Duration),
    /// When the hub's answer was last taken.
    corrected: Option<Duration>,
}

impl Clock {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(!seed),
            off: 0,
            boot: 0,
            booted: Duration::ZERO,
            time: None,
            kept: None,
            seen: (UnixMillis::default(), Duration::ZERO),
            corrected: None,
        }
    }
}

impl World {
    fn reading(&self) -> Reading {
        let clock = &self.plant.clock;
        let wall = UnixMillis(self.wall().0 + clock.off);
        Reading { wall, uptime: BOOTED_FOR + self.now - clock.booted, boot: [clock.boot; 16] }
    }

    /// The process starts: licence time goes on where the disk has it, or begins.
    pub(super) fn start_clock(&mut self) {
        let reading = self.reading();
        let (floor, settings) =
            (self.plant.snapshot.issued_at.max(UnixMillis(super::world::START)), Settings::default());
        let mut time = self.plant.clock.kept.clone().unwrap_or_else(|| TrustedTime::begin(floor, reading));
        self.plant.clock.seen = (time.now(), reading.uptime);
        time.advance(reading, &settings);
        time.heard(floor, &settings);
        self.plant.clock.time = Some(time);
        self.after(Duration::ZERO, Event::AskTime { life: self.plant.life });
    }

    /// The process dies; sometimes the whole machine does.
    pub(super) fn stop_clock(&mut self) {
        let clock = &mut self.plant.clock;
        clock.time = None;
        if clock.random.chance(300) {
            // Started at once, so that its uptime is never before the last one's beginning.
            (clock.boot, clock.booted) = (clock.boot.wrapping_add(1), self.now);
        }
    }

    /// Somebody may move the wall clock: a little, by years, or back to where it belongs.
    pub(super) fn maybe_move_clock(&mut self) {
        let clock = &mut self.plant.clock;
        if !self.faults || !clock.random.chance(self.plan.clock) {
            return;
        }
        let mut anywhere = |most: i64| {
            let span = clock.random.between(0, 2 * most.unsigned_abs());
            i64::try_from(span).expect("some years") - most
        };
        let moved = [0, anywhere(10 * MINUTE), anywhere(2 * YEAR)];
        clock.off = clock.random.pick(&moved);
        self.summary.clock_moves += 1;
    }

    /// Looks at the clocks, as the agent does every second.
    pub(super) fn look_at_clock(&mut self) -> Result<(), Broken> {
        let (reading, mutation) = (self.reading(), self.mutation);
        let clock = &mut self.plant.clock;
        let Some(time) = &mut clock.time else { return Ok(()) };
        if mutation == Mutation::BelievesTheWall {
            *time = TrustedTime::begin(reading.wall, reading);
        }
        time.advance(reading, &Settings::default());
        let (before, since) = clock.seen;
        let due = before.after(reading.uptime.saturating_sub(since));
        clock.seen = (time.now(), reading.uptime);
        if clock.random.chance(100) {
            clock.kept = Some(time.clone());
        }
        if time.now() < due {
            return Err(Broken::new(8, format!("licence time is {}, and was to be {due} at least", time.now())));
        }
        Ok(())
    }

    /// A time that the hub has signed, how long ago whatever.
    pub(super) fn heard_time(&mut self, hub: UnixMillis) {
        if let Some(time) = &mut self.plant.clock.time {
            time.heard(hub, &Settings::default());
        }
    }

    /// The hub's answer to the agent's question.
    pub(super) fn correct_time(&mut self, hub: UnixMillis) {
        let reading = self.reading();
        let clock = &mut self.plant.clock;
        let Some(time) = clock.time.as_mut().filter(|_| self.mutation != Mutation::IgnoresTheHubsTime) else { return };
        time.advance(reading, &Settings::default());
        // One that was overtaken by a later word of the hub counts for nothing.
        if hub > time.last_heard() {
            clock.corrected = Some(self.now);
        }
        let change = time.answered(hub, &Settings::default());
        self.summary.corrected_back += u32::from(change.is_some_and(|change| change.cause == Cause::CorrectedBack));
        clock.seen = (time.now(), reading.uptime);
    }

    pub(super) fn ask_time(&mut self) {
        let nonce: Nonce = u128::from(self.plant.clock.random.number()).to_be_bytes();
        self.with_agent(|agent, (now, _)| agent.handle_ask_time(now, nonce));
        let delay = self.plant.clock.random.millis(ASK_EVERY);
        self.after(delay, Event::AskTime { life: self.plant.life });
    }

    /// What the hub says to a question.
    pub(super) fn tell_time(&self, nonce: Nonce) -> Signed {
        Signed::make(&HubTime { agent: self.plant.id, nonce, at: self.wall() }, &super::vendor::key())
    }

    /// Whether the hub's answer was taken since the faults stopped.
    pub(super) fn clock_is_corrected(&self) -> bool {
        self.plant.clock.corrected.is_some_and(|at| at >= self.plan.calm_at)
    }

    /// 8: after a correction licence time is the hub's, within the tolerance and what an answer may be late; a wall clock
    /// that is still ahead may have been followed since, at most as fast as time itself.
    pub(super) fn licence_time_is_the_hubs(&self) -> Result<(), Broken> {
        let clock = &self.plant.clock;
        let (Some(time), Some(corrected)) = (&clock.time, clock.corrected) else { return Ok(()) };
        let off = Duration::from_millis(time.now().0.abs_diff(self.wall().0));
        let allowed = Settings::default().tolerance + ANSWER_TIMEOUT + (self.now - corrected);
        if off <= allowed {
            return Ok(());
        }
        Err(Broken::new(
            8,
            format!("licence time is {off:?} off the hub's, {:?} after its answer", self.now - corrected),
        ))
    }
}
