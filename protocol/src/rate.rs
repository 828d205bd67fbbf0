//! How often one caller may call.
//!
//! `now` is always the time since one moment that stays the same, and does not go back.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Callers that are remembered (about 1 MiB). When all places are taken by recent ones, others wait.
const MAX_REMEMBERED: usize = 10_000;

/// Counts calls: so many in a window for each caller (generic cell rate algorithm: one moment is kept for each).
#[derive(Debug)]
pub struct Rate<K> {
    limit: AtomicU32,
    window: Duration,
    /// When a caller will have all its calls again.
    full_at: Mutex<HashMap<K, Duration>>,
}

/// Where a caller stands after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    limit: u32,
    remaining: u32,
    reset: Duration,
}

/// A caller has called too often.
#[derive(Debug, PartialEq, Eq)]
pub struct TooOften {
    /// How often it may.
    pub limit: u32,
    /// How long until it may again.
    pub wait: Duration,
}

impl<K: Eq + Hash> Rate<K> {
    /// So many calls in so long a window; at least one.
    pub fn new(limit: u32, window: Duration) -> Self {
        Self { limit: AtomicU32::new(limit.max(1)), window, full_at: Mutex::default() }
    }

    /// From now on so many, at least one. Who has called keeps what is left of his window.
    pub fn permit(&self, limit: u32) {
        self.limit.store(limit.max(1), Ordering::Relaxed);
    }

    /// The call was for nothing, and does not count.
    pub fn give_back(&self, caller: &K) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = full_at.get_mut(caller) {
            *at = at.saturating_sub(self.window / self.limit.load(Ordering::Relaxed));
        }
    }

    /// Takes one call.
    ///
    /// # Errors
    /// [`TooOften`]; the call does not count then.
    pub fn take(&self, caller: K, now: Duration) -> Result<Left, TooOften> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.limit.load(Ordering::Relaxed);
        let step = self.window / limit;
        if full_at.len() >= MAX_REMEMBERED && !full_at.contains_key(&caller) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= MAX_REMEMBERED {
                return Err(TooOften { limit, wait: step });
            }
        }
        let at = full_at.entry(caller).or_insert(now);
        let next = (*at).max(now) + step;
        let used = next.saturating_sub(now);
        if used > self.window {
            return Err(TooOften { limit, wait: used.saturating_sub(self.window) });
        }
        *at = next;
        let remaining = (self.window.saturating_sub(used)).as_nanos() / step.as_nanos().max(1);
        Ok(Left { limit, remaining: u32::try_from(remaining).unwrap_or(0), reset: used })
    }
}

impl Left {
    /// The headers that tell it.
    pub fn headers(self) -> [(&'static str, u64); 3] {
        headers(self.limit, self.remaining, self.reset)
    }
}

impl TooOften {
    /// How long to wait, seconds.
    pub fn seconds(&self) -> u64 {
        seconds(self.wait)
    }

    /// The headers that tell it.
    pub fn headers(&self) -> [(&'static str, u64); 4] {
        let [limit, remaining, reset] = headers(self.limit, 0, self.wait);
        [limit, remaining, reset, ("retry-after", self.seconds())]
    }
}

fn headers(limit: u32, remaining: u32, reset: Duration) -> [(&'static str, u64); 3] {
    [("ratelimit-limit", limit.into()), ("ratelimit-remaining", remaining.into()), ("ratelimit-reset", seconds(reset))]
}

/// Rounded up, so that who waits as long is let in.
fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn one_a_minute_is_one_a_minute_for_each_caller() {
        let (rate, at) = (Rate::new(1, MINUTE), Duration::from_secs);
        assert_eq!(rate.take("a", at(5)), Ok(Left { limit: 1, remaining: 0, reset: MINUTE }));
        assert_eq!(rate.take("a", at(25)), Err(TooOften { limit: 1, wait: at(40) }));
        assert!(rate.take("b", at(25)).is_ok());
        assert!(rate.take("a", at(64)).is_err());
        assert!(rate.take("a", at(65)).is_ok());
        rate.give_back(&"a");
        assert!(rate.take("a", at(66)).is_ok());
    }

    #[test]
    fn a_hundred_a_minute_come_at_once_or_spread() {
        let (rate, now) = (Rate::new(100, MINUTE), Duration::from_secs(7));
        let left: Vec<_> = (0..100).map(|_| rate.take((), now).unwrap().remaining).collect();
        assert_eq!((left[0], left[99]), (99, 0));
        assert!(rate.take((), now).is_err());
        assert!(rate.take((), now + MINUTE / 100).is_ok());
    }

    #[test]
    fn another_limit_counts_from_the_next_call_on() {
        let (rate, now) = (Rate::new(2, MINUTE), Duration::from_secs(7));
        assert!(rate.take((), now).is_ok() && rate.take((), now).is_ok() && rate.take((), now).is_err());
        rate.permit(60);
        assert_eq!(rate.take((), now).map_err(|refused| refused.limit), Err(60), "the minute is used up");
        assert!(rate.take((), now + MINUTE / 60).is_ok(), "and one comes back each second now");
        rate.permit(1);
        assert!(rate.take((), now + MINUTE / 30).is_err());
    }
}
