//! The plant's end: virtual callers, the model journal, and the driver of the agent's state machine.

use super::Mutation;
use super::clock::Clock;
use super::invariants::Broken;
use super::journal::Journal;
use super::line::Way;
use super::plan::Plan;
use super::vendor;
use super::world::{Event, World};
use sitewarden_protocol::batch::{Draft, Header, Signed};
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::clearance::Clearance;
use sitewarden_protocol::frame;
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{Hello, LiveStatus, NEWEST_VERSION, OLDEST_VERSION, ToAgent, ToHub};
use sitewarden_protocol::record::{Body, Event as Report, Record};
use sitewarden_protocol::signing::{PrivateKey, PublicKey};
use sitewarden_protocol::snapshot;
use sitewarden_protocol::sync::agent::{Action, Agent, Hold};
use sitewarden_protocol::sync::backoff::Backoff;
use sitewarden_protocol::time::UnixMillis;
use std::time::Duration;

const SEED: [u8; 32] = [3; 32];
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The plant.
pub(super) struct Plant {
    pub(super) id: AgentId,
    pub(super) journal: Journal,
    /// Grows with every kill.
    pub(super) life: u64,
    key: PrivateKey,
    /// `None` while the process is down.
    agent: Option<Agent>,
    /// The line that is dialled or stands.
    connection: Option<u64>,
    syncing: bool,
    /// Records whose callers wait for the disk.
    waiting: Vec<(Position, Vec<u8>)>,
    timer: Option<Duration>,
    pub(super) snapshot: snapshot::Version,
    pub(super) clock: Clock,
}

impl Plant {
    pub(super) fn new(seed: u64, plan: &Plan, mutation: Mutation) -> Self {
        let id = AgentId::from_bytes([7; 16]);
        let quota = if mutation == Mutation::GrowsForEver { usize::MAX } else { plan.quota };
        Self {
            id,
            journal: Journal::new(id, quota, plan.grace),
            life: 0,
            key: PrivateKey::from_seed(&SEED),
            agent: None,
            connection: None,
            syncing: false,
            waiting: vec![],
            timer: None,
            snapshot: snapshot::Version::default(),
            clock: Clock::new(seed),
        }
    }

    /// Why the agent sends nothing although it could.
    pub(super) fn hold(&self) -> Option<Hold> {
        self.agent.as_ref().and_then(Agent::hold)
    }

    /// Makes a batch of records.
    pub(super) fn sign(&self, draft: &Draft, at: UnixMillis) -> (Header, Signed) {
        Signed::make(self.id, draft, at, &self.key).expect("a batch")
    }

    /// The key that the hub knows the plant by.
    pub(super) fn public_key(&self) -> PublicKey {
        self.key.public()
    }
}

impl World {
    /// A few callers at once, each with one record.
    pub(super) fn callers_come(&mut self) {
        self.schedule_callers();
        for _ in 0..self.random.between(1, 12) {
            self.ledger.produced += 1;
            let record = self.event(self.ledger.produced);
            if self.plant.agent.is_none() {
                self.ledger.unanswered += 1; // Nobody listens; the caller knows that it was not taken.
                continue;
            }
            match self.plant.journal.append(record.clone()) {
                Err(_) => self.ledger.refused += 1,
                Ok(at) if self.mutation == Mutation::AnswersBeforeSync => self.ledger.tell(at, record),
                Ok(at) => {
                    self.ledger.waiting += 1;
                    self.plant.waiting.push((at, record));
                }
            }
        }
        if self.plant.agent.is_some() {
            self.begin_sync();
            self.status();
            if self.mutation == Mutation::SendsBeforeSync {
                let newest = self.plant.journal.newest();
                self.with_agent(|agent, _| agent.handle_appended(newest));
            }
        }
    }

    /// The number makes the record unlike every other; its length varies.
    fn event(&mut self, number: u64) -> Vec<u8> {
        let outcome = "x".repeat(usize::try_from(self.random.between(0, 40)).expect("small"));
        let event = Report {
            app: "EMS".into(),
            kind: "run".into(),
            environment: String::new(),
            outcome,
            count: number,
            attributes: vec![],
        };
        Record::encode(self.wall(), &Body::Event(event)).expect("small")
    }

    fn begin_sync(&mut self) {
        let through = self.plant.journal.newest();
        if self.plant.syncing || through == self.plant.journal.head().position {
            return;
        }
        self.plant.syncing = true;
        let delay = self.random.millis(self.plan.sync);
        self.after(delay, Event::Synced { life: self.plant.life, through });
    }

    pub(super) fn synced(&mut self, through: Position) {
        self.plant.syncing = false;
        self.plant.journal.synced(through);
        let (done, waiting) = std::mem::take(&mut self.plant.waiting).into_iter().partition(|(at, _)| *at <= through);
        self.plant.waiting = waiting;
        let done: Vec<(Position, Vec<u8>)> = done;
        self.ledger.waiting -= done.len() as u64;
        for (at, record) in done {
            self.ledger.tell(at, record);
        }
        self.changed = true;
        self.begin_sync();
        self.with_agent(|agent, _| agent.handle_appended(through));
    }

    fn status(&mut self) {
        let status = LiveStatus { at: self.wall(), snapshot: self.plant.snapshot, ..LiveStatus::default() };
        self.with_agent(|agent, _| agent.handle_status(status));
    }

    /// Does something with the agent, if it runs, and carries out what it asks for then.
    pub(super) fn with_agent(&mut self, act: impl FnOnce(&mut Agent, (Duration, u64))) {
        let moment = (self.now, self.random.number());
        let Some(agent) = &mut self.plant.agent else { return };
        act(agent, moment);
        while let Some(action) = self.plant.agent.as_mut().and_then(|agent| agent.poll_action(self.now)) {
            self.carry_out(action);
        }
        let deadline = self.plant.agent.as_ref().and_then(Agent::poll_timeout);
        if deadline != self.plant.timer
            && let Some(at) = deadline
        {
            self.after(at.saturating_sub(self.now), Event::AgentTimer { life: self.plant.life });
        }
        self.plant.timer = deadline;
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Dial => self.dial(),
            Action::Send(message) => {
                if self.mutation == Mutation::LetsGoOfSent
                    && let ToHub::Batch(batch) = &*message
                {
                    self.plant.journal.acknowledge(batch.peek().expect("our own").end().position);
                    self.changed = true;
                }
                let connection = self.plant.connection.expect("it sends on a line");
                self.carry(connection, Way::Up, message.to_frame());
            }
            Action::Read(after) => {
                let delay = self.random.millis(self.plan.read);
                self.after(delay, Event::Read { life: self.plant.life, after });
            }
            Action::Correct(at) => self.correct_time(at),
            // The simulated plant types no keys.
            Action::Activated(_) | Action::Renewed(_) | Action::Trust(_) => {}
            Action::Cleared(clearance) => self.cleared(&clearance),
            Action::Acknowledge(receipt) => {
                let (through, journal) = (receipt.through, &self.plant.journal);
                if journal.chain_at(through.position).is_some_and(|ours| ours != through.chain)
                    && self.mutation != Mutation::BelievesForeignReceipts
                {
                    return self.with_foreign_receipt(through.position);
                }
                self.plant.journal.acknowledge(receipt.through.position);
                self.heard_time(receipt.hub_time);
                self.changed = true;
            }
            Action::Install(signed) => {
                let snapshot = signed.verify(&[vendor::key().public()]).expect("the hub signs");
                self.plant.snapshot = self.plant.snapshot.max(snapshot.version);
                self.heard_time(snapshot.version.issued_at);
            }
            Action::Hangup(_) => {
                if let Some(connection) = self.plant.connection.take() {
                    self.cut(connection);
                }
            }
        }
    }

    fn dial(&mut self) {
        let connection = self.lines.lay();
        self.plant.connection = Some(connection);
        let delay = self.random.millis(self.plan.delay);
        if self.faults && self.random.chance(self.plan.mute) {
            return;
        }
        self.after(
            delay,
            match self.vendor.is_up() {
                true => Event::Connected { connection },
                false => Event::AgentClosed { connection },
            },
        );
    }

    pub(super) fn agent_connected(&mut self, connection: u64) {
        if self.plant.connection != Some(connection) {
            return;
        }
        if !self.open_session(connection) {
            return self.agent_closed(connection);
        }
        let hello = Hello {
            oldest_version: OLDEST_VERSION,
            newest_version: NEWEST_VERSION,
            agent: self.plant.id,
            program: "simulated".into(),
            boot_id: [0; 16],
            epochs: self.plant.journal.extents(),
            snapshot: self.plant.snapshot,
        };
        self.with_agent(|agent, (now, _)| agent.handle_connected(now, hello));
    }

    pub(super) fn agent_closed(&mut self, connection: u64) {
        if self.plant.connection == Some(connection) {
            self.plant.connection = None;
            self.with_agent(|agent, (now, random)| agent.handle_closed(now, random));
        }
    }

    pub(super) fn at_agent(&mut self, connection: u64, frame: &[u8]) -> Result<(), Broken> {
        if self.plant.connection != Some(connection) || self.lines.is_cut(connection) {
            return Ok(());
        }
        let Some(body) = body(frame) else {
            self.cut(connection);
            self.agent_closed(connection);
            return Ok(());
        };
        let message = ToAgent::from_body(body).map_err(|error| Broken::new(0, error.to_string()))?;
        self.with_agent(|agent, (now, random)| agent.handle_message(now, random, message));
        Ok(())
    }

    pub(super) fn answer_read(&mut self, after: Position) {
        let journal = &self.plant.journal;
        let draft = match self.mutation {
            Mutation::SendsBeforeSync => journal.read_unsynced(after, self.plan.batch),
            _ => journal.read(after, self.plan.batch),
        };
        let batch = draft.map(|draft| {
            let (header, signed) = self.plant.sign(&draft, self.wall());
            (header.end(), signed)
        });
        self.with_agent(|agent, (now, _)| agent.handle_read(now, after, batch));
    }

    pub(super) fn agent_timer(&mut self) {
        self.plant.timer = None;
        self.with_agent(|agent, (now, random)| agent.handle_timeout(now, random));
    }

    pub(super) fn start_agent(&mut self) {
        if self.plant.agent.is_some() {
            return;
        }
        let backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let trusted = vec![vendor::key().public()];
        self.carry_over();
        let journal = &self.plant.journal;
        let (acknowledged, head) = (journal.acknowledged(), journal.head().position);
        self.plant.agent = Some(Agent::new(self.plant.id, trusted, backoff, acknowledged, head));
        self.plant.timer = None;
        self.start_clock();
        self.with_agent(|_, _| {});
    }

    /// SIGKILL or a power cut: what was not synced is gone, or some of it is not. The machine may come back as another one.
    pub(super) fn kill_agent(&mut self) {
        if self.plant.agent.is_none() {
            return;
        }
        self.summary.agent_kills += 1;
        self.end_agent();
        if self.random.chance(self.plan.damage) {
            self.damage();
        }
        self.change_machines();
        let delay = self.random.millis(self.plan.down);
        self.after(delay, Event::AgentStart);
    }

    /// The process is gone, and its callers and its line notice.
    fn end_agent(&mut self) {
        self.plant.agent = None;
        self.stop_clock();
        self.plant.life += 1;
        self.plant.syncing = false;
        let waiting = std::mem::take(&mut self.plant.waiting).len() as u64;
        self.ledger.unanswered += waiting;
        self.ledger.waiting -= waiting;
        let survive = usize::try_from(self.random.between(0, 8)).expect("small");
        self.plant.journal.killed(survive);
        if let Some(connection) = self.plant.connection.take() {
            let delay = self.random.millis((0, 30_000));
            self.after(delay, Event::HubClosed { connection });
        }
        self.changed = true;
    }

    /// The hub's administrator lets this agent go on in a fresh epoch, which a start begins.
    fn cleared(&mut self, clearance: &Clearance) {
        if self.plant.journal.clear(clearance) {
            self.after(Duration::ZERO, Event::Anew { life: self.plant.life });
        }
    }

    pub(super) fn start_anew(&mut self) {
        self.end_agent();
        self.start_agent();
    }

    fn carry_over(&mut self) {
        let before = self.plant.journal.newest().epoch;
        let mut places = self.plant.journal.carry_over(self.wall());
        if self.plant.journal.newest().epoch != before {
            self.summary.cleared += 1;
        }
        if self.mutation == Mutation::ForgetsSinceTheFork {
            for (at, _) in places.drain(..) {
                self.plant.journal.forget(at);
            }
        }
        self.ledger.moved(places);
        self.changed = true;
        if self.vendor.store.restored {
            // What both had before the fork is not offered any more, and the hub may have lost it since it said so.
            self.forget_what_only_the_hub_had();
        }
    }

    /// A receipt speaks of another history than the journal's.
    fn with_foreign_receipt(&mut self, through: Position) {
        if let Some(agent) = &mut self.plant.agent {
            agent.handle_foreign(through, self.plant.journal.acknowledged());
        }
    }

    /// Flipped bits somewhere, at the end, or everywhere.
    fn damage(&mut self) {
        let held: Vec<Position> = self.plant.journal.held().map(|(position, _)| position).collect();
        let (Some(&first), Some(&last)) = (held.first(), held.last()) else { return };
        let pick = self.random.pick(&held);
        let (from, to) = match self.random.between(0, 5) {
            0 => (first, last),
            1 => (pick, last),
            2 => (first, pick),
            _ => (pick, Position { seq: pick.seq + self.random.between(0, 3), ..pick }),
        };
        let at = self.wall();
        self.plant.journal.damage(from, to, at);
    }
}

/// The body of a whole and undamaged frame.
pub(super) fn body(frame: &[u8]) -> Option<&[u8]> {
    let (head, body) = frame.split_first_chunk::<{ frame::HEADER }>()?;
    frame::Header::parse(head).ok()?.check(body).ok()?;
    Some(body)
}
