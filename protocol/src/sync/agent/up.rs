//! What is known while a session stands.

use super::Hold;
use crate::chain::{Cursor, Position};
use crate::hub_time;
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Up {
    /// When the session began.
    pub(super) since: Duration,
    /// The protocol version that both speak.
    pub(super) version: u16,
    /// What the hub was asked its time with, and until when an answer counts.
    pub(super) asked: Option<(hub_time::Nonce, Duration)>,
    /// The last record that the hub is known to have.
    pub(super) confirmed: Position,
    /// The last record that was sent.
    pub(super) sent: Position,
    /// While a `Read` is out: the journal's newest record when it was asked for.
    pub(super) reading: Option<Position>,
    /// The next batch begins a new epoch, and waits until everything before it is confirmed: a receipt speaks for one
    /// epoch only, so a batch of the old one that was lost or refused would be taken for confirmed.
    pub(super) at_boundary: bool,
    /// Ends of the batches on the way, oldest first.
    pub(super) in_flight: VecDeque<Cursor>,
    /// When the hub last confirmed something, or sending last began anew.
    pub(super) progress_at: Duration,
    pub(super) stalls: u32,
    pub(super) rewound: Option<(Position, Duration)>,
    pub(super) paused_until: Duration,
    pub(super) hold: Option<Hold>,
    /// One batch is sent although the hub has another history: signed, it is the half that proves the fork. Once a session,
    /// because it may be lost on the way; the hub keeps it once.
    /// It begins after this record, so that it contains the one about which the two do not agree.
    pub(super) testimony: Option<Position>,
}

impl Up {
    /// The hub's history and the journal's do not agree about this record.
    pub(super) fn hold_for_a_fork(&mut self, disputed: Position) {
        self.hold = Some(Hold::Fork);
        self.testimony = Some(Position { seq: disputed.seq.saturating_sub(1), ..disputed });
        self.in_flight.clear();
        self.reading = None;
    }

    pub(super) fn send_again_after(&mut self, position: Position, now: Duration) {
        self.sent = position;
        self.reading = None;
        self.at_boundary = false;
        self.in_flight.clear();
        self.progress_at = now;
    }
}
