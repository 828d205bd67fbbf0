//! How many may come in: in all, from one address, and unproven.

use crate::config::SyncLimits;
use crate::metrics::Reason;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Handshakes at the same time from which on an address must first prove that it is real (Retry).
///
/// An ordinary reconnect of a fleet stays below it, because agents come back with jitter; a flood of forged addresses
/// does not.
const PROVE_ABOVE: usize = 64;
/// The same for one address, so that nobody fills a plant's share with packets in its name.
const PROVE_ABOVE_PER_ADDRESS: usize = 8;

/// What to do with someone who knocks.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Let in; the place is taken until it is dropped.
    Enter(Place),
    /// Ask to prove the address first.
    Prove,
    /// Turn away.
    Refuse(Reason),
}

/// Counts who is in.
#[derive(Debug)]
pub(crate) struct Doors {
    limits: SyncLimits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    handshakes: usize,
    /// Has at most as many entries as there are connections: an address goes with its last one.
    addresses: HashMap<IpAddr, usize>,
}

/// One who is in.
#[derive(Debug)]
pub(crate) struct Place {
    doors: Arc<Doors>,
    address: IpAddr,
    handshaking: bool,
}

impl Doors {
    pub(crate) fn new(limits: SyncLimits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    pub(crate) fn knock(self: &Arc<Self>, address: IpAddr, proven: bool) -> Answer {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let here = counts.addresses.get(&address).copied().unwrap_or_default();
        if counts.all >= self.limits.max_connections {
            return Answer::Refuse(Reason::ConnectionLimit);
        }
        if !proven && (counts.handshakes >= PROVE_ABOVE || here >= PROVE_ABOVE_PER_ADDRESS) {
            return Answer::Prove;
        }
        if here >= self.limits.max_per_address {
            return Answer::Refuse(Reason::AddressLimit);
        }
        counts.all += 1;
        counts.handshakes += 1;
        *counts.addresses.entry(address).or_default() += 1;
        Answer::Enter(Place { doors: Arc::clone(self), address, handshaking: true })
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Place {
    /// The handshake is over.
    pub(crate) fn settled(&mut self) {
        if std::mem::take(&mut self.handshaking) {
            self.doors.change(|counts| counts.handshakes -= 1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.settled();
        self.doors.change(|counts| {
            counts.all -= 1;
            if let Some(here) = counts.addresses.get_mut(&self.address) {
                *here -= 1;
                if *here == 0 {
                    counts.addresses.remove(&self.address);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn doors(max_connections: usize, max_per_address: usize) -> Arc<Doors> {
        Doors::new(SyncLimits {
            max_connections,
            max_per_address,
            idle: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            segmentation_offload: true,
        })
    }

    #[test]
    fn a_place_is_free_again_when_its_holder_is_gone() {
        let doors = doors(3, 2);
        let first = doors.knock(HERE, true);
        let second = doors.knock(HERE, true);
        assert!(matches!(second, Answer::Enter(_)));
        assert!(matches!(doors.knock(HERE, true), Answer::Refuse(Reason::AddressLimit)));
        let third = doors.knock(THERE, true);
        assert!(matches!(third, Answer::Enter(_)));
        assert!(matches!(doors.knock(THERE, true), Answer::Refuse(Reason::ConnectionLimit)));
        drop(first);
        assert!(matches!(doors.knock(HERE, true), Answer::Enter(_)));
    }

    #[test]
    fn many_unproven_from_one_address_must_prove_it() {
        let doors = doors(100, 100);
        let places: Vec<_> = (0..PROVE_ABOVE_PER_ADDRESS).map(|_| doors.knock(HERE, false)).collect();
        assert!(places.iter().all(|answer| matches!(answer, Answer::Enter(_))));
        assert!(matches!(doors.knock(HERE, false), Answer::Prove));
        assert!(matches!(doors.knock(HERE, true), Answer::Enter(_)));
        assert!(matches!(doors.knock(THERE, false), Answer::Enter(_)));
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let doors = doors(10, 10);
        drop((0..5).map(|_| doors.knock(HERE, true)).collect::<Vec<_>>());
        let counts = doors.counts.lock().unwrap();
        assert!(counts.addresses.is_empty() && counts.all == 0 && counts.handshakes == 0);
    }
}
