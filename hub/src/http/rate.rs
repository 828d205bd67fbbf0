//! How often one address may try.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Tries that an address has at first, and at most: a whole plant behind one NAT may enrol at once.
const BURST: u32 = 100;
/// After this long it has one more.
const REFILL: Duration = Duration::from_secs(1);
/// Addresses that are remembered (about 1 MiB). When all places are taken by busy ones, strangers wait.
const MAX_ADDRESSES: usize = 10_000;

/// Counts tries by address (generic cell rate algorithm: one moment is kept for each).
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// When an address will have all its tries again.
    full_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Rate {
    /// Takes one try; `false` if there is none left.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= MAX_ADDRESSES && !full_at.contains_key(&address) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let at = full_at.entry(address).or_insert(now);
        let next = (*at).max(now) + REFILL;
        let left = next <= now + REFILL * BURST;
        if left {
            *at = next;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn an_address_has_its_burst_and_then_one_try_a_second() {
        let (rate, now) = (Rate::default(), Instant::now());
        assert!((0..BURST).all(|_| rate.take(HERE, now)));
        assert!(!rate.take(HERE, now));
        assert!(rate.take(THERE, now));
        assert!(rate.take(HERE, now + REFILL));
        assert!(!rate.take(HERE, now + REFILL));
    }
}
