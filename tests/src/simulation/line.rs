//! The line between plant and vendor: it delays, loses, repeats, reorders, damages and is cut.

use super::world::{Event, World};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Up,
    Down,
}

/// The lines that were ever laid.
#[derive(Debug, Default)]
pub(super) struct Lines {
    laid: u64,
    cut: BTreeSet<u64>,
    /// When the last frame of a line with order arrives.
    last: BTreeMap<(u64, Way), Duration>,
}

impl Lines {
    /// A new line's number.
    pub(super) fn lay(&mut self) -> u64 {
        self.laid += 1;
        self.laid
    }

    /// Whether frames on this line no longer arrive.
    pub(super) fn is_cut(&self, connection: u64) -> bool {
        self.cut.contains(&connection)
    }
}

impl World {
    /// Puts a frame on the line.
    pub(super) fn carry(&mut self, connection: u64, way: Way, mut frame: Vec<u8>) {
        if self.lines.is_cut(connection) {
            return;
        }
        if self.faults && self.random.chance(self.plan.cut) {
            return self.cut(connection);
        }
        if self.faults && self.random.chance(self.plan.loss) {
            return;
        }
        if self.faults && self.random.chance(self.plan.flip) {
            let at = usize::try_from(self.random.between(0, frame.len() as u64 - 1)).expect("small");
            frame[at] ^= 1 << self.random.between(0, 7);
        }
        let copies = 1 + u64::from(self.faults && self.random.chance(self.plan.repeat));
        for _ in 0..copies {
            let delay = self.arrival(connection, way);
            let frame = frame.clone();
            self.after(
                delay,
                match way {
                    Way::Up => Event::AtHub { connection, frame },
                    Way::Down => Event::AtAgent { connection, frame },
                },
            );
        }
    }

    fn arrival(&mut self, connection: u64, way: Way) -> Duration {
        let delay = self.random.millis(self.plan.delay);
        if !self.plan.ordered && self.faults {
            return delay;
        }
        let last = self.lines.last.entry((connection, way)).or_default();
        *last = (*last).max(self.now + delay);
        *last - self.now
    }

    /// Cuts a line; each end notices in its own time, at the latest when the carrier has been silent for too long. The
    /// state machines rely on that: an agent with nothing on its way has no other sign.
    pub(super) fn cut(&mut self, connection: u64) {
        self.lines.cut.insert(connection);
        let silent = self.faults && self.random.chance(100);
        let agent = self.random.millis(if silent { (1_000, 30_000) } else { self.plan.delay });
        let hub = self.random.millis((0, 30_000));
        self.after(agent, Event::AgentClosed { connection });
        self.after(hub, Event::HubClosed { connection });
    }
}
