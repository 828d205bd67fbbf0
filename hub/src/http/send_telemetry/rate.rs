//! How much one API key may send. A customer's programs share one, so it is a bound against runaways, not a quota.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What a key may send in one second for ever: many times what an agent's plant makes.
const A_SECOND: u32 = 1_000;
/// What it may send at once after it was silent: programs that come back after an outage.
const BURST: u32 = 10_000;
/// The time between two at that rate.
const EVERY: Duration = Duration::from_nanos(1_000_000_000 / A_SECOND as u64);
/// Keys that are remembered (about 64 bytes each). Only keys that count are, so that it takes as many customers.
const MAX_KEYS: usize = 100_000;

/// Counts by key (generic cell rate algorithm: one moment is kept for each).
#[derive(Debug, Default)]
pub(super) struct KeyRate {
    /// When a key will have all its burst again.
    full_at: Mutex<HashMap<i64, Instant>>,
}

impl KeyRate {
    /// Takes one; `false` if there is none left.
    pub(super) fn take(&self, key: i64, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= MAX_KEYS && !full_at.contains_key(&key) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= MAX_KEYS {
                return false;
            }
        }
        let at = full_at.entry(key).or_insert(now);
        let next = (*at).max(now) + EVERY;
        let left = next <= now + EVERY * BURST;
        if left {
            *at = next;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_burst_and_then_its_rate() {
        let (rate, now) = (KeyRate::default(), Instant::now());
        assert!((0..BURST).all(|_| rate.take(1, now)));
        assert!(!rate.take(1, now) && rate.take(2, now));
        assert!(rate.take(1, now + EVERY) && !rate.take(1, now + EVERY));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..2 * A_SECOND).filter(|_| rate.take(1, later)).count(), A_SECOND as usize - 1);
    }
}
