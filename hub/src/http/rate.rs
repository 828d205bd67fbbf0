//! How often one who calls may call, by address, token or key. (Heartbeats, which agents count too, go by `protocol::rate`.)
//!
//! Always true: memory is bounded however many call. When all places are taken by ones who called just now, strangers wait.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// Tries that an address has at first, and at most: a whole plant behind one NAT may enrol at once.
const TRIES: u32 = 100;
/// Addresses that are remembered for tries (about 1 MiB).
const MAX_ADDRESSES: usize = 10_000;

/// Counts by key (generic cell rate algorithm: one moment is kept for each).
#[derive(Debug)]
pub(crate) struct Rate<K = IpAddr> {
    /// When one will have all his requests again.
    full_at: Mutex<HashMap<K, Instant>>,
    /// Requests in one span, which is also how many may come at once.
    requests: AtomicU32,
    span: Duration,
    /// Who are remembered.
    places: usize,
}

/// How somebody stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Requests in one span.
    pub(crate) limit: u32,
    /// How many are left now.
    pub(crate) remaining: u32,
    /// After how long all will be there again.
    pub(crate) full_in: Duration,
    /// After how long one will be there; `None` if this request was let through.
    pub(crate) wait: Option<Duration>,
}

impl<K: Eq + Hash> Rate<K> {
    /// So many requests in a span, and so many who are remembered.
    pub(crate) fn new(requests: u32, span: Duration, places: usize) -> Self {
        Self { full_at: Mutex::default(), requests: AtomicU32::new(requests.max(1)), span, places }
    }

    /// From now on so many; who has made requests keeps what is left of his span.
    pub(crate) fn permit(&self, requests: u32) {
        self.requests.store(requests.max(1), Ordering::Relaxed);
    }

    /// Takes one request; `false` if there is none left.
    pub(crate) fn take(&self, key: K, now: Instant) -> bool {
        self.count(key, now).wait.is_none()
    }

    /// Takes one request, and tells how its sender stands.
    pub(crate) fn count(&self, key: K, now: Instant) -> Standing {
        let limit = self.requests.load(Ordering::Relaxed);
        let every = self.span / limit;
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= self.places && !full_at.contains_key(&key) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= self.places {
                return Standing { limit, remaining: 0, full_in: self.span, wait: Some(every) };
            }
        }
        let at = full_at.entry(key).or_insert(now);
        let (before, most) = ((*at).max(now), now + every * limit);
        let next = before + every;
        if next > most {
            let full_in = before.saturating_duration_since(now);
            return Standing { limit, remaining: 0, full_in, wait: Some(next.saturating_duration_since(most)) };
        }
        *at = next;
        let left = most.saturating_duration_since(next).as_nanos() / every.as_nanos().max(1);
        let remaining = u32::try_from(left).unwrap_or(limit).min(limit);
        Standing { limit, remaining, full_in: next.saturating_duration_since(now), wait: None }
    }
}

/// What one address may try: passwords, tokens, keys.
impl Default for Rate<IpAddr> {
    fn default() -> Self {
        Self::new(TRIES, Duration::from_secs(TRIES.into()), MAX_ADDRESSES)
    }
}

/// By what an address is counted: of IPv6 the network, because one machine has all of a /64.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_address_has_its_burst_and_then_one_try_a_second() {
        let (rate, now) = (Rate::default(), Instant::now());
        assert!((0..TRIES).all(|_| rate.take(HERE, now)));
        assert!(!rate.take(HERE, now));
        assert!(rate.take(THERE, now));
        assert!(rate.take(HERE, now + SECOND));
        assert!(!rate.take(HERE, now + SECOND));
    }

    #[test]
    fn one_is_told_how_he_stands() {
        let (rate, now) = (Rate::new(60, 60 * SECOND, 10), Instant::now());
        let first = rate.count(1, now);
        assert_eq!((first.limit, first.remaining, first.full_in, first.wait), (60, 59, SECOND, None));
        assert!((0..59).all(|_| rate.take(1, now)));
        let refused = rate.count(1, now);
        assert_eq!((refused.remaining, refused.full_in, refused.wait), (0, 60 * SECOND, Some(SECOND)));
    }

    #[test]
    fn memory_is_bounded_and_those_who_were_silent_make_room() {
        let (rate, now) = (Rate::new(60, 60 * SECOND, 10), Instant::now());
        (0..10).for_each(|key| assert!(rate.take(key, now)));
        assert!(!rate.take(10, now), "all places are taken by ones who called just now");
        assert!(rate.take(9, now), "who is known goes on");
        assert!(rate.take(10, now + SECOND));
        assert!(rate.full_at.lock().unwrap().len() <= 10);
    }

    #[test]
    fn a_network_of_version_6_is_one_caller() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), HERE);
    }
}
