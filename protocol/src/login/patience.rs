//! How long one who gave wrong passwords has to wait, by user and address: nobody can lock out a user who is elsewhere.

use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Wrong passwords that cost nothing: people mistype.
pub const FREE: u32 = 5;
/// The wait after the first one that costs; each further one doubles it.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// After so long without a wrong password all is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Users and addresses that are remembered (about 1 MiB). When all places are taken, whoever failed longest ago is forgotten:
/// 10,000 wrong passwords cost whoever tries them far more than his five free ones are worth.
const MAX_REMEMBERED: usize = 10_000;

/// Names come as digests: a caller must not choose how much memory they take.
type Who = ([u8; 32], IpAddr);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Duration,
}

/// Counts wrong passwords. `now` is always the time since one moment that stays the same, and does not go back.
#[derive(Debug, Default)]
pub struct Patience(Mutex<HashMap<Who, Failures>>);

impl Patience {
    /// Whether this user at this address may try a password now.
    ///
    /// # Errors
    /// How long is still to be waited, at most a minute.
    pub fn check(&self, name: &str, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of_one) = failures.get(&who(name, address)) else { return Ok(()) };
        let until = of_one.last.saturating_add(wait_after(of_one.count));
        if until <= now { Ok(()) } else { Err(until.saturating_sub(now)) }
    }

    /// The password was wrong.
    pub fn failed(&self, name: &str, address: IpAddr, now: Duration) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let who = who(name, address);
        if failures.len() >= MAX_REMEMBERED && !failures.contains_key(&who) {
            make_room(&mut failures, now);
        }
        let of_one = failures.entry(who).or_insert(Failures { count: 0, last: now });
        let before = if now.saturating_sub(of_one.last) < FORGOTTEN { of_one.count } else { 0 };
        *of_one = Failures { count: before.saturating_add(1), last: now };
    }

    /// The password was right: whoever mistyped before begins anew.
    pub fn forget(&self, name: &str, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&who(name, address));
    }
}

fn make_room(failures: &mut HashMap<Who, Failures>, now: Duration) {
    failures.retain(|_, of_one| now.saturating_sub(of_one.last) < FORGOTTEN);
    if failures.len() >= MAX_REMEMBERED
        && let Some(oldest) = failures.iter().min_by_key(|(_, of_one)| of_one.last).map(|(who, _)| *who)
    {
        failures.remove(&oldest);
    }
}

fn who(name: &str, address: IpAddr) -> Who {
    (*blake3::hash(name.as_bytes()).as_bytes(), address)
}

fn wait_after(failures: u32) -> Duration {
    match failures.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(more) => FIRST.saturating_mul(1_u32.checked_shl(more).unwrap_or(u32::MAX)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn the_wait_doubles_up_to_a_minute_for_that_user_at_that_address_only() {
        let (patience, mut now) = (Patience::default(), Duration::ZERO);
        for _ in 0..FREE {
            assert_eq!(patience.check("admin", HERE, now), Ok(()));
            patience.failed("admin", HERE, now);
        }
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = Duration::from_secs(wait);
            assert_eq!(patience.check("admin", HERE, now), Err(wait));
            now += wait;
            assert_eq!(patience.check("admin", HERE, now), Ok(()));
            patience.failed("admin", HERE, now);
        }
        assert_eq!(patience.check("admin", THERE, now), Ok(()));
        assert_eq!(patience.check("other", HERE, now), Ok(()));
        patience.forget("admin", HERE);
        assert_eq!(patience.check("admin", HERE, now), Ok(()));
    }

    #[test]
    fn after_ten_minutes_all_is_forgotten() {
        let (patience, now) = (Patience::default(), Duration::ZERO);
        (0..20).for_each(|_| patience.failed("admin", HERE, now));
        patience.failed("admin", HERE, now + FORGOTTEN);
        assert_eq!(patience.check("admin", HERE, now + FORGOTTEN), Ok(()));
    }

    #[test]
    fn when_all_places_are_taken_no_stranger_waits_and_the_oldest_is_forgotten() {
        let (patience, second) = (Patience::default(), Duration::from_secs(1));
        (0..FREE).for_each(|_| patience.failed("oldest", HERE, Duration::ZERO));
        (1..MAX_REMEMBERED).for_each(|i| patience.failed(&i.to_string(), HERE, second));
        assert_eq!(patience.check("stranger", HERE, second), Ok(()));
        assert!(patience.check("oldest", HERE, Duration::ZERO).is_err());
        (0..FREE).for_each(|_| patience.failed("stranger", HERE, second));
        assert!(patience.check("stranger", HERE, second).is_err(), "who guesses waits, also in a full table");
        assert_eq!(patience.check("oldest", HERE, Duration::ZERO), Ok(()));
        assert_eq!(patience.0.lock().unwrap().len(), MAX_REMEMBERED);
    }
}
