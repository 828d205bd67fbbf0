//! How long to wait before the next try: exponential, with full jitter, so that agents cut off together do not come
//! back together. (M. Brooker, "Exponential Backoff And Jitter", 2015.)

use std::time::Duration;

/// Counts failures and spreads the tries after them.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits up to `base` after the first failure, twice that after the next, never more than `cap`.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// Counts a failure and answers how long to wait: uniform between zero and the current ceiling.
    pub fn next(&mut self, random: u64) -> Duration {
        let ceiling = self.base.saturating_mul(1 << self.failures.min(20)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        let fraction = u128::from(random) * ceiling.as_micros() / u128::from(u64::MAX);
        Duration::from_micros(u64::try_from(fraction).unwrap_or(u64::MAX))
    }

    /// Forgets the failures: something went well.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since something went well.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap_and_falls_back() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let waits: Vec<_> = (0..4).map(|_| backoff.next(u64::MAX).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5]);
        assert_eq!(backoff.next(0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.next(u64::MAX), Duration::from_secs(1));
    }
}
