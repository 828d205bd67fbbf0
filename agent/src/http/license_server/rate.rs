//! How often one caller may call.

use super::error::Refused;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Callers that are remembered (about 1 MiB). When all places are taken by recent ones, others wait.
const MAX_REMEMBERED: usize = 10_000;

/// So many calls in a window for each caller (generic cell rate algorithm: one moment is kept for each).
pub(super) struct Rate<K> {
    limit: u32,
    window: Duration,
    begun: Instant,
    /// When a caller will have all its calls again, since `begun`.
    full_at: Mutex<HashMap<K, Duration>>,
}

/// Where a caller stands after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    limit: u32,
    remaining: u32,
    reset: Duration,
}

/// A caller has called too often.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooOften {
    limit: u32,
    wait: Duration,
}

impl<K: Eq + Hash> Rate<K> {
    pub(super) fn new(limit: u32, window: Duration) -> Self {
        Self { limit, window, begun: Instant::now(), full_at: Mutex::default() }
    }

    /// Takes one call.
    pub(super) fn take(&self, caller: K) -> Result<Left, TooOften> {
        self.take_at(caller, self.begun.elapsed())
    }

    /// The call was for nothing, and does not count.
    pub(super) fn give_back(&self, caller: &K) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = full_at.get_mut(caller) {
            *at = at.saturating_sub(self.window / self.limit);
        }
    }

    fn take_at(&self, caller: K, now: Duration) -> Result<Left, TooOften> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let step = self.window / self.limit;
        if full_at.len() >= MAX_REMEMBERED && !full_at.contains_key(&caller) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= MAX_REMEMBERED {
                return Err(TooOften { limit: self.limit, wait: step });
            }
        }
        let at = full_at.entry(caller).or_insert(now);
        let next = (*at).max(now) + step;
        let used = next.saturating_sub(now);
        if used > self.window {
            return Err(TooOften { limit: self.limit, wait: used.saturating_sub(self.window) });
        }
        *at = next;
        let remaining = (self.window.saturating_sub(used)).as_nanos() / step.as_nanos().max(1);
        Ok(Left { limit: self.limit, remaining: u32::try_from(remaining).unwrap_or(0), reset: used })
    }
}

impl Left {
    /// The headers that tell it.
    pub(super) fn headers(self) -> [(HeaderName, HeaderValue); 3] {
        headers(self.limit, self.remaining, self.reset)
    }
}

impl From<TooOften> for Refused {
    fn from(TooOften { limit, wait }: TooOften) -> Self {
        let message = format!("Rate limit exceeded; try again in {} seconds", seconds(wait));
        let details = json!({"limit": limit, "retry_after": seconds(wait)});
        let refused = Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message).with(details);
        let [limit, remaining, reset] = headers(limit, 0, wait);
        refused.headed([limit, remaining, reset, (RETRY_AFTER, seconds(wait).into())])
    }
}

fn headers(limit: u32, remaining: u32, reset: Duration) -> [(HeaderName, HeaderValue); 3] {
    [
        (HeaderName::from_static("ratelimit-limit"), limit.into()),
        (HeaderName::from_static("ratelimit-remaining"), remaining.into()),
        (HeaderName::from_static("ratelimit-reset"), seconds(reset).into()),
    ]
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
        assert_eq!(rate.take_at("a", at(5)), Ok(Left { limit: 1, remaining: 0, reset: MINUTE }));
        assert_eq!(rate.take_at("a", at(25)), Err(TooOften { limit: 1, wait: at(40) }));
        assert!(rate.take_at("b", at(25)).is_ok());
        assert!(rate.take_at("a", at(64)).is_err());
        assert!(rate.take_at("a", at(65)).is_ok());
        rate.give_back(&"a");
        assert!(rate.take_at("a", at(66)).is_ok());
    }

    #[test]
    fn a_hundred_a_minute_come_at_once_or_spread() {
        let (rate, now) = (Rate::new(100, MINUTE), Duration::from_secs(7));
        let left: Vec<_> = (0..100).map(|_| rate.take_at((), now).unwrap().remaining).collect();
        assert_eq!((left[0], left[99]), (99, 0));
        assert!(rate.take_at((), now).is_err());
        assert!(rate.take_at((), now + MINUTE / 100).is_ok());
    }
}
