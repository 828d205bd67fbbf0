//! Which carrier is tried, and when the better one is tried again.
//!
//! QUIC is the better one: it survives changes of address, and loses less time to lost packets. Where it does not get
//! through, HTTPS is used; QUIC is tried again after a while, and taken up again once it gets through.

use crate::config::Carrier;
use std::time::Duration;

/// What can carry a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// QUIC, over UDP.
    Quic,
    /// An upgraded HTTPS connection, over TCP.
    Https,
}

impl Kind {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Https => "https",
        }
    }
}

/// Chooses. Times are since any fixed moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    setting: Carrier,
    /// How long QUIC rests after it did not get through.
    rest: Duration,
    /// Until when it rests.
    resting_until: Option<Duration>,
}

impl Choice {
    pub(super) const fn new(setting: Carrier, rest: Duration) -> Self {
        Self { setting, rest, resting_until: None }
    }

    /// What to try when dialling, one after the other.
    pub(super) fn order(&self, now: Duration) -> &'static [Kind] {
        match self.setting {
            Carrier::Quic => &[Kind::Quic],
            Carrier::Https => &[Kind::Https],
            Carrier::None => &[],
            Carrier::Auto if self.resting_until.is_some_and(|until| now < until) => &[Kind::Https, Kind::Quic],
            Carrier::Auto => &[Kind::Quic, Kind::Https],
        }
    }

    /// A connection stands over this carrier, which was dialled in this order.
    pub(super) fn connected(&mut self, over: Kind, order: &[Kind], now: Duration) {
        match over {
            Kind::Quic => self.resting_until = None,
            Kind::Https if order.first() == Some(&Kind::Quic) => self.rest(now),
            Kind::Https => {}
        }
    }

    /// A connection over this carrier stood, and the hub's word did not come through it.
    pub(super) fn gave_nothing(&mut self, over: Kind, now: Duration) {
        if over == Kind::Quic {
            self.rest(now);
        }
    }

    /// Whether QUIC is to be tried now beside a session over HTTPS.
    pub(super) fn probes(&self, over: Kind, now: Duration) -> bool {
        self.setting == Carrier::Auto && over == Kind::Https && self.resting_until.is_none_or(|until| until <= now)
    }

    /// QUIC was tried beside HTTPS.
    pub(super) fn probed(&mut self, gets_through: bool, now: Duration) {
        if gets_through {
            self.resting_until = None;
        } else {
            self.rest(now);
        }
    }

    fn rest(&mut self, now: Duration) {
        self.resting_until = Some(now + self.rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(300);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn https_is_fallen_back_to_and_quic_taken_up_again_when_it_gets_through() {
        let mut choice = Choice::new(Carrier::Auto, REST);
        assert_eq!(choice.order(at(0)), [Kind::Quic, Kind::Https]);
        choice.connected(Kind::Https, choice.order(at(0)), at(4));
        assert_eq!(
            choice.order(at(5)),
            [Kind::Https, Kind::Quic],
            "a redial loses no time to what did not get through"
        );
        assert!(!choice.probes(Kind::Https, at(303)));
        assert!(choice.probes(Kind::Https, at(304)));
        choice.probed(false, at(308));
        assert!(!choice.probes(Kind::Https, at(600)));
        assert!(choice.probes(Kind::Https, at(608)));
        choice.probed(true, at(609));
        assert_eq!(choice.order(at(609)), [Kind::Quic, Kind::Https]);
        choice.connected(Kind::Quic, choice.order(at(609)), at(610));
        assert!(!choice.probes(Kind::Quic, at(2_000)));
    }

    #[test]
    fn a_hub_that_nothing_gets_through_to_is_no_fault_of_quic() {
        let choice = Choice::new(Carrier::Auto, REST);
        assert_eq!(choice.order(at(60)), [Kind::Quic, Kind::Https]);
    }

    #[test]
    fn a_handshake_that_gets_through_is_not_enough() {
        let mut choice = Choice::new(Carrier::Auto, REST);
        choice.connected(Kind::Quic, choice.order(at(0)), at(1));
        choice.gave_nothing(Kind::Quic, at(90));
        assert_eq!(choice.order(at(90)), [Kind::Https, Kind::Quic]);
        choice.connected(Kind::Https, choice.order(at(90)), at(91));
        assert!(!choice.probes(Kind::Https, at(389)), "the rest is not begun anew by a session over HTTPS");
        assert!(choice.probes(Kind::Https, at(390)));
    }

    #[test]
    fn a_set_carrier_is_the_only_one() {
        for (setting, kind) in [(Carrier::Quic, Kind::Quic), (Carrier::Https, Kind::Https)] {
            let mut choice = Choice::new(setting, REST);
            choice.gave_nothing(Kind::Quic, at(0));
            assert_eq!(choice.order(at(1)), [kind]);
            assert!(!choice.probes(kind, at(10_000)));
        }
        assert!(Choice::new(Carrier::None, REST).order(at(0)).is_empty());
    }
}
