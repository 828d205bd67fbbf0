//! What is to be sent now: a pure decision from what is persisted and what time it is.
//!
//! Always true: however often it is asked, and however time jumps, one run leads to one transmission; runs that were
//! missed are made up for by one; a failed transmission is tried again, at growing intervals, until one succeeds.

use super::frequency::Frequency;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::time::UnixMillis;
use std::time::Duration;

/// The wait before the first retry of a failed transmission; each further one doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// The longest wait between two tries.
const LONGEST_RETRY: Duration = Duration::from_secs(6 * 3_600);

/// What is remembered between two decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// Runs up to here are seen to: the last success, or the run that was last begun, or when the schedule began.
    pub through: UnixMillis,
    /// The transmission that failed last, and when it is tried again; `None` if the last one succeeded.
    pub retry: Option<Retry>,
}

/// A transmission that is to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retry {
    /// Which.
    pub id: u64,
    /// When.
    pub at: UnixMillis,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// The transmission of this run.
    Run(UnixMillis),
    /// Another try of this transmission.
    Retry(u64),
}

impl Remembered {
    /// A schedule that begins now: what was before it is not made up for.
    pub(super) const fn beginning(now: UnixMillis) -> Self {
        Self { through: now, retry: None }
    }

    /// What is to be done at `now`.
    pub(super) fn due(&self, frequency: Frequency, now: UnixMillis) -> Due {
        match (frequency.latest(now), self.retry) {
            // One that failed before is made up for by the run: it sends the same and more.
            (Some(run), _) if run > self.through => Due::Run(run),
            (_, Some(retry)) if retry.at <= now => Due::Retry(retry.id),
            _ => Due::Nothing,
        }
    }

    /// Time was put back: what lies in the future now is not waited for. `true` if that changed anything.
    pub(super) fn settle(&mut self, now: UnixMillis) -> bool {
        let before = *self;
        self.through = self.through.min(now);
        if let Some(retry) = &mut self.retry {
            retry.at = retry.at.min(now.after(LONGEST_RETRY));
        }
        *self != before
    }

    /// A run is begun: it is not begun again, whatever becomes of it.
    pub(super) fn begun(&mut self, run: UnixMillis) {
        self.through = self.through.max(run);
    }

    /// A transmission succeeded: all that was queued has arrived.
    pub(super) fn succeeded(&mut self, now: UnixMillis) {
        *self = Self { through: self.through.max(now), retry: None };
    }

    /// A transmission failed, after so many retries.
    pub(super) fn failed(&mut self, id: u64, retries: u32, now: UnixMillis) {
        self.retry = Some(Retry { id, at: now.after(wait_after(retries)) });
    }
}

fn wait_after(retries: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1_u32.checked_shl(retries).unwrap_or(u32::MAX)).min(LONGEST_RETRY)
}

#[cfg(test)]
mod tests;
