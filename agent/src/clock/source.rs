//! The machine's clocks, read in one place.

use crate::host;
use rustix::time::{ClockId, clock_gettime};
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::trusted_time::Reading;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where readings come from; tests have their own.
pub trait Source: Send + Sync {
    /// Time since the machine's start, suspend included.
    fn uptime(&self) -> Duration;

    /// All clocks at this moment.
    fn read(&self) -> Reading;
}

/// The machine that the agent runs on.
#[derive(Debug)]
pub struct Machine {
    boot: [u8; 16],
}

impl Machine {
    /// This machine, in this boot.
    pub fn new() -> Self {
        Self { boot: host::boot_id() }
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Machine {
    fn uptime(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn read(&self) -> Reading {
        Reading { wall: wall(), uptime: self.uptime(), boot: self.boot }
    }
}

/// The wall clock, which anyone may have moved; a clock set before 1970 counts as 1970.
pub fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
