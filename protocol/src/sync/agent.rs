//! The agent's end of a session.
//!
//! Always true: at most [`WINDOW`] batches are on the way; the journal is told that records are acknowledged only by a
//! receipt signed by a trusted key; after every failure the next try is spread by back-off; and whatever is lost,
//! sending starts again from the last confirmed record, because the hub takes repeats.
//!
//! Drain [`Agent::poll_action`] after every `handle_*`; call [`Agent::handle_timeout`] when [`Agent::poll_timeout`] is
//! reached. `now` is monotonic time since any fixed moment.

mod carried;
mod up;

pub use carried::Carried;
use up::Up;

use super::{WINDOW, backoff::Backoff};
use crate::batch;
use crate::chain::{Cursor, Position};
use crate::clearance::Clearance;
use crate::id::AgentId;
use crate::message::{
    Activate, Activated, EpochExtent, Goodbye, Hello, LiveStatus, NEWEST_VERSION, OLDEST_VERSION, QUESTIONS_SINCE,
    RENEWAL_SINCE, Refusal, Refused, ToAgent, ToHub, Welcome,
};
use crate::receipt::{self, Receipt};
use crate::signing::PublicKey;
use crate::time::UnixMillis;
use crate::{announcement, hub_time, renewal, snapshot};
use std::collections::VecDeque;
use std::time::Duration;

/// How long dialling may take, handshake included.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the hub may take to answer a hello.
pub const GREETING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the oldest batch on the way may wait for its receipt before it is sent again.
pub const RECEIPT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the hub's answer to what time it is counts. One that was held back on the way would set time back by as much.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Times that sending starts again without any progress before the session is given up.
pub const MAX_STALLS: u32 = 3;
/// How long to send nothing after the hub said that it is busy.
pub const BUSY_PAUSE: Duration = Duration::from_secs(5);
/// A session that stood this long was a good one: its end does not count as one failure more.
pub const STEADY: Duration = Duration::from_secs(60);
/// Refusals for the same missing record within this span are one: they come for every batch that was on the way.
const REWIND_QUIET: Duration = Duration::from_secs(1);

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Connect, then call [`Agent::handle_connected`] with a hello, or [`Agent::handle_closed`].
    Dial,
    /// Send this.
    Send(Box<ToHub>),
    /// Read the records after this position into one batch and call [`Agent::handle_read`].
    Read(Position),
    /// The hub has everything up to here: the journal may let go of it, if its own chain there is the receipt's; if it
    /// is another, call [`Agent::handle_foreign`].
    Acknowledge(Receipt),
    /// Take this snapshot, if it is signed and newer.
    Install(Box<snapshot::Signed>),
    /// It is so late by the hub, which was asked just now.
    Correct(UnixMillis),
    /// The hub's answer to [`Agent::handle_activate`].
    Activated(Box<Activated>),
    /// The hub's answer to [`Agent::handle_renewal_due`].
    Renewed(Box<renewal::Answer>),
    /// The hub's administrator lets this agent go on in a fresh epoch: begin it, if the newest is older.
    Cleared(Box<Clearance>),
    /// The hub's signing keys that are trusted from now on, newest first: keep them.
    Trust(Vec<PublicKey>),
    /// Close the connection; no `handle_closed` is expected.
    Hangup(String),
}

/// How much of the journal may be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Release {
    /// All of it, as it grows.
    #[default]
    Live,
    /// What there is up to this record, with what is read into the same batch.
    Through(Position),
    /// Nothing.
    Nothing,
}

impl Release {
    fn covers(self, sent: Position) -> bool {
        match self {
            Self::Live => true,
            Self::Through(last) => sent < last,
            Self::Nothing => false,
        }
    }
}

/// Why sending stands still although there is a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The hub has more of this agent, or other records, than the journal here: this machine was rolled back or copied.
    Fork,
    /// The agent was revoked.
    Revoked,
}

/// The agent's end.
#[derive(Debug)]
pub struct Agent {
    id: AgentId,
    trusted: Vec<PublicKey>,
    backoff: Backoff,
    /// The newest record in the journal.
    head: Position,
    /// The last record that a receipt covered, in this or an earlier session.
    acknowledged: Position,
    /// What may be sent; the rest waits in the journal.
    release: Release,
    link: Link,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
enum Link {
    /// There is none and will be none: what the hub says comes in bundles.
    Apart,
    Down {
        redial_at: Duration,
    },
    Dialing {
        deadline: Duration,
    },
    Greeting {
        deadline: Duration,
        epochs: Vec<EpochExtent>,
    },
    Up(Up),
}

impl Agent {
    /// An agent without a connection, which dials at once. `trusted` are the keys whose receipts count.
    pub fn new(id: AgentId, trusted: Vec<PublicKey>, backoff: Backoff, acknowledged: Position, head: Position) -> Self {
        let link = Link::Down { redial_at: Duration::ZERO };
        let release = Release::Live;
        Self { id, trusted, backoff, head, acknowledged, release, link, actions: VecDeque::new() }
    }

    /// An agent that never dials: what the hub says comes by [`Agent::handle_carried`] alone.
    pub fn apart(
        id: AgentId,
        trusted: Vec<PublicKey>,
        backoff: Backoff,
        acknowledged: Position,
        head: Position,
    ) -> Self {
        Self { link: Link::Apart, ..Self::new(id, trusted, backoff, acknowledged, head) }
    }

    /// The journal has grown to `head`, durably.
    pub fn handle_appended(&mut self, head: Position) {
        self.head = self.head.max(head);
    }

    /// How much may be sent from now on. Batches on the way, and other messages than batches, are not held back.
    pub fn handle_release(&mut self, release: Release) {
        self.release = release;
    }

    /// Begins a new session at once, because the hub answers a hello with its newest word: ends the one that stands, and
    /// waits for no back-off. Nothing happens while one is being begun.
    pub fn handle_renew(&mut self, now: Duration) {
        if matches!(self.link, Link::Up(_)) {
            self.link = Link::Down { redial_at: now };
            self.forget_connection();
            self.actions.push_back(Action::Hangup("it is begun anew".to_owned()));
        } else if let Link::Down { redial_at } = &mut self.link {
            *redial_at = now.min(*redial_at);
        }
    }

    /// The connection stands. `hello` says what the journal holds.
    pub fn handle_connected(&mut self, now: Duration, hello: Hello) {
        if !matches!(self.link, Link::Dialing { .. }) {
            return;
        }
        self.link = Link::Greeting { deadline: now + GREETING_TIMEOUT, epochs: hello.epochs.clone() };
        self.actions.push_back(Action::Send(Box::new(ToHub::Hello(hello))));
    }

    /// The receipt for `through` speaks of another history than the journal's: this machine was rolled back or copied. Of
    /// the journal's own the hub has the records up to `acknowledged`.
    pub fn handle_foreign(&mut self, through: Position, acknowledged: Position) {
        self.acknowledged = acknowledged;
        if let Link::Up(up) = &mut self.link
            && up.hold.is_none()
        {
            // The hub cannot know: what it was told joins on to what it has, by the numbers.
            up.hold_for_a_fork(through);
        }
    }

    /// Dialling failed, or the connection is gone.
    pub fn handle_closed(&mut self, now: Duration, random: u64) {
        if !matches!(self.link, Link::Down { .. } | Link::Apart) {
            self.go_down(now, random, Duration::ZERO);
        }
    }

    /// A message arrived.
    pub fn handle_message(&mut self, now: Duration, random: u64, message: ToAgent) {
        match message {
            ToAgent::Welcome(welcome) => self.welcome(now, random, &welcome),
            ToAgent::Receipt(signed) => self.receipt(now, random, &signed),
            ToAgent::Refused(refused) => self.refused(now, &refused),
            ToAgent::Snapshot(signed) => self.actions.push_back(Action::Install(Box::new(signed))),
            ToAgent::Time(signed) => self.time(now, &signed),
            ToAgent::Activated(activated) => self.actions.push_back(Action::Activated(Box::new(activated))),
            ToAgent::Renewed(answer) => self.actions.push_back(Action::Renewed(Box::new(answer))),
            ToAgent::Keys(chain) => self.keys(&chain),
            ToAgent::Cleared(signed) => {
                // A wrong one is no reason to hang up: nothing is done on its word.
                if let Ok(clearance) = signed.verify(&self.trusted, self.id) {
                    self.actions.push_back(Action::Cleared(Box::new(clearance)));
                }
            }
            ToAgent::Goodbye(Goodbye { reason, come_back_after }) => {
                self.hang_up(
                    now,
                    random,
                    format!("the hub says: {reason}"),
                    Duration::from_secs(come_back_after.into()),
                );
            }
        }
    }

    /// The answer to [`Action::Read`]: the next batch after `after` and its end, or `None` if there is nothing more.
    pub fn handle_read(&mut self, now: Duration, after: Position, batch: Option<(Cursor, batch::Signed)>) {
        let Link::Up(up) = &mut self.link else { return };
        let Some(head) = up.reading.filter(|_| after == up.sent) else {
            return; // Sending has begun anew elsewhere since; this batch is not wanted.
        };
        up.reading = None;
        if up.hold.is_some() {
            self.actions.extend(batch.map(|(_, signed)| Action::Send(Box::new(ToHub::Batch(signed)))));
            return;
        }
        let Some((end, signed)) = batch else {
            // Unless the journal has grown since: then the answer may be older than the newest records.
            if self.head == head {
                self.head = up.sent;
            }
            return;
        };
        if end.position.epoch != up.sent.epoch && !up.in_flight.is_empty() {
            up.at_boundary = true;
            return;
        }
        if up.in_flight.is_empty() {
            up.progress_at = now;
        }
        // The journal may have grown since it said so last.
        self.head = self.head.max(end.position);
        up.sent = end.position;
        up.in_flight.push_back(end);
        self.actions.push_back(Action::Send(Box::new(ToHub::Batch(signed))));
    }

    /// How things stand; sent if there is a session, else forgotten.
    pub fn handle_status(&mut self, status: LiveStatus) {
        if matches!(self.link, Link::Up(_)) {
            self.actions.push_back(Action::Send(Box::new(ToHub::Status(status))));
        }
    }

    /// Asks the hub what time it is; `nonce` is random. Nothing is asked without a session, or of a hub that is too old.
    pub fn handle_ask_time(&mut self, now: Duration, nonce: hub_time::Nonce) {
        if let Link::Up(up) = &mut self.link
            && up.version >= QUESTIONS_SINCE
        {
            up.asked = Some((nonce, now + ANSWER_TIMEOUT));
            self.actions.push_back(Action::Send(Box::new(ToHub::AskTime(nonce))));
        }
    }

    /// Asks the hub to activate a licence; the answer is [`Action::Activated`], if one comes. `false` if there is nobody
    /// to ask.
    pub fn handle_activate(&mut self, ask: Activate) -> bool {
        let can = matches!(&self.link, Link::Up(up) if up.version >= QUESTIONS_SINCE);
        if can {
            self.actions.push_back(Action::Send(Box::new(ToHub::Activate(ask))));
        }
        can
    }

    /// Asks the hub for the next certificate; the answer is [`Action::Renewed`], if one comes. `false` if there is nobody
    /// to ask.
    pub fn handle_renewal_due(&mut self, request: renewal::Request) -> bool {
        let can = matches!(&self.link, Link::Up(up) if up.version >= RENEWAL_SINCE);
        if can {
            self.actions.push_back(Action::Send(Box::new(ToHub::Renew(request))));
        }
        can
    }

    /// These keys, newest first, are trusted from now on and no others: a snapshot that is in force says so.
    pub fn handle_trusted(&mut self, keys: Vec<PublicKey>) {
        self.trusted = keys;
    }

    /// Time has reached [`Agent::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Duration, random: u64) {
        match &mut self.link {
            Link::Down { redial_at } if *redial_at <= now => {
                self.link = Link::Dialing { deadline: now + DIAL_TIMEOUT };
                self.actions.push_back(Action::Dial);
            }
            Link::Dialing { deadline } if *deadline <= now => self.give_up(now, random, "dialling took too long"),
            Link::Greeting { deadline, .. } if *deadline <= now => self.give_up(now, random, "the hub did not answer"),
            Link::Up(up) if !up.in_flight.is_empty() && up.progress_at + RECEIPT_TIMEOUT <= now => {
                up.stalls += 1;
                if up.stalls >= MAX_STALLS {
                    self.give_up(now, random, "the hub confirms nothing");
                } else {
                    up.send_again_after(up.confirmed, now);
                }
            }
            _ => {}
        }
    }

    /// When [`Agent::handle_timeout`] is to be called; `None` if only a message can change anything.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.link {
            Link::Apart => None,
            Link::Down { redial_at } => Some(*redial_at),
            Link::Dialing { deadline } | Link::Greeting { deadline, .. } => Some(*deadline),
            Link::Up(up) => {
                let receipt = (!up.in_flight.is_empty()).then_some(up.progress_at + RECEIPT_TIMEOUT);
                let pause = (up.paused_until > up.progress_at).then_some(up.paused_until);
                [receipt, pause].into_iter().flatten().min()
            }
        }
    }

    /// What to do next; call until `None`.
    pub fn poll_action(&mut self, now: Duration) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        let Link::Up(up) = &mut self.link else { return None };
        if up.paused_until <= now {
            up.paused_until = Duration::ZERO;
        }
        let window = if up.at_boundary { 1 } else { WINDOW };
        if up.hold.is_some() {
            let after = up.testimony.take_if(|_| self.release.covers(up.sent))?;
            (up.sent, up.reading) = (after, Some(self.head));
            return Some(Action::Read(after));
        }
        let may_read = up.reading.is_none() && up.paused_until.is_zero() && up.in_flight.len() < window;
        if may_read && up.sent < self.head && self.release.covers(up.sent) {
            up.reading = Some(self.head);
            up.at_boundary = false;
            return Some(Action::Read(up.sent));
        }
        None
    }

    /// The protocol version that both speak, while a session stands.
    pub const fn version(&self) -> Option<u16> {
        match &self.link {
            Link::Up(up) => Some(up.version),
            Link::Apart | Link::Down { .. } | Link::Dialing { .. } | Link::Greeting { .. } => None,
        }
    }

    /// Whether a session stands.
    pub fn is_up(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// Why nothing is sent although a session stands; `None` if there is no such reason.
    pub fn hold(&self) -> Option<Hold> {
        if let Link::Up(up) = &self.link { up.hold } else { None }
    }

    /// The last record that a receipt covered.
    pub fn acknowledged(&self) -> Position {
        self.acknowledged
    }

    /// Failures since records were last confirmed, or a session was steady.
    pub fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    fn welcome(&mut self, now: Duration, random: u64, welcome: &Welcome) {
        let Link::Greeting { epochs, .. } = &mut self.link else { return };
        let epochs = std::mem::take(epochs);
        if !(OLDEST_VERSION..=NEWEST_VERSION).contains(&welcome.version) {
            return self.give_up(now, random, "the hub chose a protocol version that this agent does not speak");
        }
        let mut has = Vec::with_capacity(welcome.receipts.len());
        for signed in &welcome.receipts {
            match self.believe(signed) {
                Ok(receipt) => has.push(receipt),
                Err(reason) => return self.give_up(now, random, &reason),
            }
        }
        let mut up = Up {
            since: now,
            version: welcome.version,
            asked: None,
            confirmed: Position::default(),
            sent: Position::default(),
            reading: None,
            at_boundary: false,
            in_flight: VecDeque::with_capacity(WINDOW),
            progress_at: now,
            stalls: 0,
            rewound: None,
            paused_until: Duration::ZERO,
            hold: None,
            testimony: None,
        };
        for EpochExtent { head, .. } in epochs {
            let epoch = head.position.epoch;
            let receipt = has.iter().find(|receipt| receipt.through.position.epoch == epoch);
            let cursor = receipt.map_or_else(|| Cursor::start(self.id, epoch), |receipt| receipt.through);
            up.confirmed = cursor.position;
            // The end of an earlier epoch may have been cut off by damage after it was sent; the newest epoch cannot end
            // before what the hub has of it, unless the machine was rolled back or copied.
            let ahead = cursor.position > head.position && epoch >= self.head.epoch;
            if ahead || (cursor.position == head.position && cursor.chain != head.chain) {
                up.hold_for_a_fork(cursor.position.min(head.position));
                break;
            }
            if cursor.position > head.position && head.position > self.acknowledged {
                // Cut off after it was sent, or told otherwise by a copy of this machine: its last record, sent once more,
                // is taken for a repeat or for a fork.
                up.confirmed = Position { seq: head.position.seq.saturating_sub(1), ..head.position };
                break;
            }
            if let Some(receipt) = receipt.filter(|receipt| receipt.through.position > self.acknowledged) {
                self.acknowledged = receipt.through.position;
                self.actions.push_back(Action::Acknowledge(receipt.clone()));
            }
            if cursor.position < head.position {
                break;
            }
        }
        up.sent = up.confirmed;
        self.link = Link::Up(up);
    }

    fn receipt(&mut self, now: Duration, random: u64, signed: &receipt::Signed) {
        let receipt = match self.believe(signed) {
            Ok(receipt) => receipt,
            Err(reason) => return self.give_up(now, random, &reason),
        };
        let Link::Up(up) = &mut self.link else { return };
        if up.hold == Some(Hold::Fork) {
            return; // It speaks of the other history.
        }
        let through = receipt.through;
        if up.in_flight.iter().any(|end| end.position == through.position && end.chain != through.chain) {
            up.hold = Some(Hold::Fork);
            return;
        }
        if through.position > self.head && through.position.epoch >= self.head.epoch {
            // Of what was never recorded here: a copy of this machine was quicker.
            up.hold_for_a_fork(self.head);
            return;
        }
        if through.position > up.confirmed {
            up.confirmed = through.position;
            up.progress_at = now;
            up.stalls = 0;
            self.backoff.reset();
        }
        up.in_flight.retain(|end| end.position > through.position);
        if up.sent < through.position {
            up.sent = through.position;
            up.reading = None;
        }
        if through.position > self.acknowledged {
            self.acknowledged = through.position;
            self.actions.push_back(Action::Acknowledge(receipt));
        }
    }

    fn keys(&mut self, chain: &[announcement::Signed]) {
        if announcement::follow(&mut self.trusted, chain) {
            self.actions.push_back(Action::Trust(self.trusted.clone()));
        }
    }

    fn time(&mut self, now: Duration, signed: &hub_time::Signed) {
        let Link::Up(up) = &mut self.link else { return };
        let Some((nonce, _)) = up.asked.filter(|(_, deadline)| now < *deadline) else { return };
        // A wrong answer is no reason to hang up: nothing is done on its word.
        if let Ok(at) = signed.verify(&self.trusted, self.id, &nonce) {
            up.asked = None;
            self.actions.push_back(Action::Correct(at));
        }
    }

    fn believe(&self, signed: &receipt::Signed) -> Result<Receipt, String> {
        let receipt = signed.verify(&self.trusted).map_err(|error| error.to_string())?;
        if receipt.agent == self.id { Ok(receipt) } else { Err("the receipt is for another agent".to_owned()) }
    }

    fn refused(&mut self, now: Duration, refused: &Refused) {
        let Link::Up(up) = &mut self.link else { return };
        match &refused.refusal {
            Refusal::Missing(cursor) => {
                let position = cursor.position;
                let again = up.rewound.is_some_and(|(at, when)| at == position && now < when + REWIND_QUIET);
                if position < up.sent && !again {
                    up.rewound = Some((position, now));
                    up.send_again_after(position, now);
                }
            }
            Refusal::Busy => {
                up.send_again_after(up.confirmed, now);
                up.paused_until = now + BUSY_PAUSE;
            }
            Refusal::Fork => up.hold = Some(Hold::Fork),
            Refusal::Revoked => up.hold = Some(Hold::Revoked),
        }
        if up.hold.is_some() {
            up.in_flight.clear();
        }
    }

    fn give_up(&mut self, now: Duration, random: u64, reason: &str) {
        self.hang_up(now, random, reason.to_owned(), Duration::ZERO);
    }

    fn hang_up(&mut self, now: Duration, random: u64, reason: String, at_least: Duration) {
        if !matches!(self.link, Link::Down { .. } | Link::Apart) {
            self.go_down(now, random, at_least);
            self.actions.push_back(Action::Hangup(reason));
        }
    }

    fn go_down(&mut self, now: Duration, random: u64, at_least: Duration) {
        // A welcome alone proves little: a hub that welcomes and then closes on what it is sent is not to be hurried back.
        if matches!(&self.link, Link::Up(up) if now >= up.since + STEADY) {
            self.backoff.reset();
        }
        self.link = Link::Down { redial_at: now + at_least + self.backoff.next(random) };
        self.forget_connection();
    }

    /// What was to be sent belongs to the connection that is gone; what was learnt from it does not.
    fn forget_connection(&mut self) {
        self.actions
            .retain(|action| !matches!(action, Action::Dial | Action::Send(_) | Action::Read(_) | Action::Hangup(_)));
    }
}
