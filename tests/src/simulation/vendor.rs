//! The vendor's end: the model store, its one writer, and the driver of the hub's state machine.

use super::Mutation;
use super::invariants::Broken;
use super::line::Way;
use super::plant::body;
use super::store::{Laxity, Store};
use super::world::{Event, World};
use sitewarden_protocol::batch::Header;
use sitewarden_protocol::chain::{Cursor, Position};
use sitewarden_protocol::clearance::{self, Clearance};
use sitewarden_protocol::id::{PlantId, SiteId};
use sitewarden_protocol::message::{Hello, NEWEST_VERSION, Refusal, Refused, ToHub};
use sitewarden_protocol::receipt::{self, Receipt};
use sitewarden_protocol::record::Run;
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::snapshot::{self, Snapshot, Trust, Version};
use sitewarden_protocol::sync::hub::{Action, Closing, Greeting, Ingested, Session};
use std::collections::{BTreeMap, VecDeque};

/// Most batches in one transaction.
const TRANSACTION: usize = 5;

/// The hub's signing key.
pub(super) fn key() -> PrivateKey {
    PrivateKey::from_seed(&[9; 32])
}

/// The vendor.
pub(super) struct Vendor {
    /// What is committed.
    pub(super) store: Store,
    /// Grows with every kill.
    pub(super) life: u64,
    /// Of the snapshot; grows with every start.
    pub(super) revision: u64,
    key: PrivateKey,
    backup: Store,
    up: bool,
    sessions: BTreeMap<u64, Peer>,
    queue: VecDeque<(u64, Header, Run)>,
    committing: bool,
    /// An administrator was called to look at a red flag.
    called: bool,
}

struct Peer {
    session: Session,
    /// Arrived, and not read yet because the session wants no input.
    inbox: VecDeque<Vec<u8>>,
}

/// What became of one batch, and who is to be told.
pub(super) type Outcome = (u64, Ingested);

impl Vendor {
    pub(super) fn new() -> Self {
        Self {
            store: Store::default(),
            life: 0,
            revision: 0,
            key: key(),
            backup: Store::default(),
            up: false,
            sessions: BTreeMap::new(),
            queue: VecDeque::new(),
            committing: false,
            called: false,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    pub(super) fn back_up(&mut self) {
        self.backup = self.store.clone();
    }

    /// How far the store is, by epoch.
    pub(super) fn positions(&self) -> Vec<String> {
        self.store.shelves.values().map(|shelf| shelf.cursor.position.to_string()).collect()
    }
}

impl World {
    /// A connection comes in; answers whether there is somebody to take it.
    pub(super) fn open_session(&mut self, connection: u64) -> bool {
        if !self.vendor.up {
            return false;
        }
        let session = Session::new(self.now, self.plant.id);
        let deadline = session.poll_timeout().expect("a hello is awaited");
        self.vendor.sessions.insert(connection, Peer { session, inbox: VecDeque::new() });
        self.after(deadline.saturating_sub(self.now), Event::HubTimer { connection });
        true
    }

    pub(super) fn hub_closed(&mut self, connection: u64) {
        self.vendor.sessions.remove(&connection);
    }

    pub(super) fn hub_timer(&mut self, connection: u64) -> Result<(), Broken> {
        self.with_session(connection, |session, now| session.handle_timeout(now))
    }

    pub(super) fn at_hub(&mut self, connection: u64, frame: Vec<u8>) -> Result<(), Broken> {
        if self.lines.is_cut(connection) {
            return Ok(());
        }
        let Some(peer) = self.vendor.sessions.get_mut(&connection) else { return Ok(()) };
        peer.inbox.push_back(frame);
        self.read_inbox(connection)
    }

    fn read_inbox(&mut self, connection: u64) -> Result<(), Broken> {
        loop {
            let Some(peer) = self.vendor.sessions.get_mut(&connection) else { return Ok(()) };
            if !peer.session.wants_input() {
                return Ok(());
            }
            let Some(frame) = peer.inbox.pop_front() else { return Ok(()) };
            let Some(body) = body(&frame) else {
                self.hub_closed(connection);
                self.cut(connection);
                return Ok(());
            };
            let message = ToHub::from_body(body).map_err(|error| Broken::new(0, error.to_string()))?;
            self.with_session(connection, |session, _| session.handle_message(message))?;
        }
    }

    fn with_session(
        &mut self,
        connection: u64,
        act: impl FnOnce(&mut Session, std::time::Duration),
    ) -> Result<(), Broken> {
        let Some(peer) = self.vendor.sessions.get_mut(&connection) else { return Ok(()) };
        act(&mut peer.session, self.now);
        while let Some(action) = self.vendor.sessions.get_mut(&connection).and_then(|peer| peer.session.poll_action()) {
            match action {
                Action::Greet(hello) => {
                    let delay = self.random.millis(self.plan.commit);
                    self.after(delay, Event::Greet { connection, hello });
                }
                Action::Ingest(batch) => self.ingest(connection, &batch)?,
                Action::TellTime(nonce) => {
                    let time = self.tell_time(nonce);
                    if let Some(peer) = self.vendor.sessions.get_mut(&connection) {
                        peer.session.handle_time(time);
                    }
                }
                // The simulated plant types no keys, and nobody reads its status.
                Action::Activate(_) | Action::Renew(_) | Action::Report(_) => {}
                Action::Send(message) => self.carry(connection, Way::Down, message.to_frame()),
                Action::Close(closing) => self.close(connection, &closing)?,
            }
        }
        Ok(())
    }

    fn close(&mut self, connection: u64, closing: &Closing) -> Result<(), Broken> {
        self.hub_closed(connection);
        // The goodbye before it still arrives; the end of the line comes after it.
        let delay = self.random.millis(self.plan.delay) * 2;
        self.after(delay, Event::AgentClosed { connection });
        match closing {
            // A line without order may bring a batch before the hello, or a hello twice, or none.
            Closing::OutOfTurn(_) | Closing::Mute if !self.plan.ordered || self.faults => Ok(()),
            Closing::Mute | Closing::Draining => Ok(()),
            other => Err(Broken::new(0, format!("the hub ends a session: {other}"))),
        }
    }

    pub(super) fn greet(&mut self, connection: u64, hello: &Hello) -> Result<(), Broken> {
        // What an earlier process said may have been on its way while the next one was heard already.
        let is_newest = self.vendor.sessions.keys().next_back() == Some(&connection);
        if is_newest && self.vendor.store.contradicts(hello) {
            self.call_administrator();
        }
        let known = hello.epochs.iter().filter_map(|extent| {
            let shelf = self.vendor.store.shelves.get(&extent.head.position.epoch)?;
            Some(self.receipt(shelf.cursor))
        });
        let receipts = known.collect();
        let version = Version { revision: self.vendor.revision, issued_at: self.wall() };
        let snapshot = (hello.snapshot.revision < version.revision).then(|| self.sign_snapshot(version));
        self.with_session(connection, |session, _| {
            session.handle_greeting(Greeting { keys: Vec::new(), receipts, snapshot })
        })?;
        let newest = hello.epochs.iter().map(|extent| extent.head.position.epoch).max().unwrap_or(0);
        self.vendor.store.said = self.vendor.store.said.max(newest);
        if self.vendor.store.cleared > newest {
            let clearance = self.clearance();
            self.with_session(connection, |session, _| session.handle_cleared(clearance))?;
        }
        self.read_inbox(connection)
    }

    /// A red flag: somebody will look at it.
    pub(super) fn call_administrator(&mut self) {
        if std::mem::replace(&mut self.vendor.called, true) || self.mutation == Mutation::NeverClears {
            return;
        }
        let delay = self.random.millis(self.plan.administrator);
        self.after(delay, Event::Clear);
    }

    /// The administrator lets the agent go on; those who are connected are told at once. While the hub is down he waits.
    pub(super) fn clear(&mut self) -> Result<(), Broken> {
        if !self.vendor.up {
            self.after(std::time::Duration::from_secs(1), Event::Clear);
            return Ok(());
        }
        if std::mem::take(&mut self.vendor.called) {
            self.vendor.store.clear();
        }
        if self.faults && !self.plan.ordered {
            // A carrier loses nothing while it stands; this line may have.
            self.after(std::time::Duration::from_secs(10), Event::Clear);
        }
        let connections: Vec<u64> = self.vendor.sessions.keys().copied().collect();
        for connection in connections {
            let clearance = self.clearance();
            self.with_session(connection, |session, _| session.handle_cleared(clearance))?;
        }
        Ok(())
    }

    pub(super) fn clearance(&self) -> clearance::Signed {
        let store = &self.vendor.store;
        let clearance = Clearance { agent: self.plant.id, epoch: store.cleared, known: store.known(), at: self.wall() };
        clearance::Signed::make(&clearance, &self.vendor.key)
    }

    pub(super) fn receipt(&self, through: Cursor) -> receipt::Signed {
        let receipt = Receipt { agent: self.plant.id, through, hub_time: self.wall() };
        receipt::Signed::make(&receipt, &self.vendor.key)
    }

    fn sign_snapshot(&self, version: Version) -> snapshot::Signed {
        let snapshot = Snapshot {
            site: SiteId::from_bytes([1; 16]),
            site_name: "Site".into(),
            plant: PlantId::from_bytes([2; 16]),
            plant_name: "Plant".into(),
            customer: 1,
            customer_name: "Customer".into(),
            version,
            fresh_until: self.wall(),
            licenses: vec![],
            trust: Trust::default(),
            override_days: 0,
            administrators: vec![],
            api_keys: vec![],
            sealing_key: None,
            certificate: vec![],
        };
        snapshot::Signed::make(&snapshot, NEWEST_VERSION, &self.vendor.key)
    }

    fn ingest(&mut self, connection: u64, batch: &sitewarden_protocol::batch::Signed) -> Result<(), Broken> {
        let key = self.plant.public_key();
        let opened = batch.verify(&key).and_then(|header| Ok((batch.open(&header)?, header)));
        let (run, header) = opened.map_err(|error| Broken::new(0, format!("a true batch is invalid: {error}")))?;
        self.vendor.queue.push_back((connection, header, run));
        self.schedule_commit();
        Ok(())
    }

    fn schedule_commit(&mut self) {
        if !self.vendor.committing && !self.vendor.queue.is_empty() {
            self.vendor.committing = true;
            let delay = self.random.millis(self.plan.commit);
            self.after(delay, Event::Commit { life: self.vendor.life });
        }
    }

    /// One transaction: all of it or nothing, and the receipts a while after it.
    pub(super) fn commit(&mut self) {
        let laxity = match self.mutation {
            Mutation::StoresRepeats => Laxity::StoresRepeats,
            Mutation::IgnoresGaps => Laxity::IgnoresGaps,
            Mutation::ForgetsLosses => Laxity::ForgetsLosses,
            _ => Laxity::None,
        };
        let mut store = self.vendor.store.clone();
        let mut outcomes = vec![];
        for _ in 0..TRANSACTION.min(self.vendor.queue.len()) {
            let (connection, header, run) = self.vendor.queue.pop_front().expect("counted");
            let busy = self.faults && self.random.chance(self.plan.busy) || self.mutation == Mutation::StaysBusy;
            let taken = if busy { Err(Refusal::Busy) } else { store.take(&header, &run, laxity) };
            if taken == Err(Refusal::Fork) {
                self.call_administrator();
            }
            outcomes.push((connection, self.outcome(&header, taken)));
        }
        self.summary.batches += u32::try_from(outcomes.len()).expect("few");
        let delay = self.random.millis(self.plan.commit);
        if self.mutation == Mutation::ReceiptBeforeCommit {
            // The receipts leave now; a kill before the next event loses the rows.
            self.after(delay, Event::LateCommit { life: self.vendor.life, store });
            let _ = self.confirm(outcomes);
            self.vendor.committing = true;
            return;
        }
        self.vendor.store = store;
        self.changed = true;
        self.after(delay, Event::Confirm { life: self.vendor.life, outcomes });
    }

    /// What the mutated hub does after it has sent its receipts.
    pub(super) fn commit_late(&mut self, store: Store) {
        self.vendor.store = store;
        self.vendor.committing = false;
        self.changed = true;
        self.schedule_commit();
    }

    fn outcome(&self, header: &Header, taken: Result<Cursor, Refusal>) -> Ingested {
        let position = |seq| Position { epoch: header.epoch, seq };
        match taken {
            Ok(cursor) => Ingested::Stored(self.receipt(cursor)),
            Err(refusal) => {
                Ingested::Refused(Refused { first: position(header.first), last: position(header.last), refusal })
            }
        }
    }

    pub(super) fn confirm(&mut self, outcomes: Vec<Outcome>) -> Result<(), Broken> {
        self.vendor.committing = false;
        for (connection, outcome) in outcomes {
            self.with_session(connection, |session, _| session.handle_ingested(outcome))?;
            if self.faults && self.random.chance(self.plan.goodbye) {
                let come_back = u32::try_from(self.random.between(0, 20)).expect("small");
                self.with_session(connection, |session, _| session.handle_end(Closing::Draining, come_back))?;
            }
            self.read_inbox(connection)?;
        }
        self.schedule_commit();
        Ok(())
    }

    pub(super) fn start_hub(&mut self) {
        self.vendor.up = true;
        self.vendor.revision += 1;
    }

    /// SIGKILL: what was not committed is gone. It may come back from a backup.
    pub(super) fn kill_hub(&mut self) {
        if !self.vendor.up {
            return;
        }
        self.summary.hub_kills += 1;
        self.vendor.up = false;
        self.vendor.life += 1;
        self.vendor.queue.clear();
        self.vendor.committing = false;
        if self.random.chance(self.plan.restore) {
            self.vendor.store.restore(&self.vendor.backup);
            self.summary.restores += 1;
            self.forget_what_only_the_hub_had();
        } else if self.random.chance(200) {
            self.vendor.back_up();
        }
        for connection in std::mem::take(&mut self.vendor.sessions).into_keys() {
            self.cut(connection);
        }
        self.changed = true;
        let delay = self.random.millis(self.plan.down);
        self.after(delay, Event::HubStart);
    }
}
