//! The line to the hub: drives the protocol's state machine.
//!
//! Always true: this task does what [`Agent`] asks and tells it what happened, nothing else; the journal is read and
//! batches are signed off the async threads; events of a connection that was given up are dropped by its number.

mod asking;
mod carried;
mod choice;
mod connection;
mod control;
mod dialer;
mod https;
mod line;
mod proxy;
mod quic;
pub(crate) mod reading;
mod renewing;
mod way;
mod word;

use crate::anonymity::Switches;
use crate::clock::Clock;
use crate::config::Carrier;
use crate::credentials::Credentials;
use crate::enforcement::{Enforcement, State};
use crate::identity::Identity;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::renewal::Renewer;
use crate::{clock, host};
use asking::Asked;
use choice::{Choice, Kind};
use connection::{Connection, Event};
use control::Order;
use dialer::Dialer;
use line::AIR_GAP;
use renewing::Renewing;
use sitewarden_protocol::batch;
use sitewarden_protocol::chain::{Cursor, Position};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{
    Activate, Activated, Hello, LiveStatus, NEWEST_VERSION, OLDEST_VERSION, SEALING_SINCE, ToAgent, ToHub,
};
use sitewarden_protocol::snapshot::{SealingKey, Snapshot};
use sitewarden_protocol::sync::WINDOW;
use sitewarden_protocol::sync::agent::{Action, Agent, Hold};
use sitewarden_protocol::sync::backoff::Backoff;
use sitewarden_protocol::time::UnixMillis;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

pub use choice::Kind as CarrierKind;
pub use control::Known;
pub use dialer::Error as DialError;
pub use https::Error as HttpsError;
pub use line::{Line, Questions};
pub use proxy::{Address as ProxyAddress, Error as ProxyError, NotAProxy, Proxy};
pub use quic::Error as QuicError;
pub use way::{Error as WayError, Way};

/// The ceiling of the wait after the first failure.
const RETRY_BASE: Duration = Duration::from_millis(500);
/// How often the hub is told how things stand.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// A wait is never longer than this without a look at the clock: monotonic timers stop while a machine is suspended.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How often the hub is asked what time it is, beside once in each session's beginning.
const ASK_TIME_EVERY: Duration = Duration::from_secs(3_600);
/// How often the hub is asked something over HTTPS, so that its silence means something. TCP alone may stand for hours
/// without anybody at its other end, above all through a proxy.
const KEEP_ASKING: Duration = Duration::from_secs(20);
/// A hub that owes its word for so long when it is given up is not reached by what carries the session, although that
/// stands: small packets get through, and large ones do not.
const OWED_TOO_LONG: Duration = Duration::from_secs(15);
/// Ends of sent batches that are remembered; one that is not is looked up in the journal.
const ENDS: usize = 8 * WINDOW;
/// Events of the connection and of reading that may wait.
const EVENTS: usize = 64;

/// What the driver works with.
pub struct Parts {
    /// Names, keys and certificate.
    pub identity: Identity,
    /// Its certificate and whom it believes, as they change.
    pub credentials: Arc<Credentials>,
    /// What time it is for licences.
    pub clock: Clock,
    /// What is to be sent.
    pub journal: Journal,
    /// Takes snapshots.
    pub enforcement: Enforcement,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Where others read how the line stands.
    pub line: Line,
    /// The longest wait between two tries.
    pub retry_max: Duration,
    /// Whether batches are sealed.
    pub switches: Arc<Switches>,
    /// Told when the agent is to be stopped and started again, in a fresh epoch.
    pub anew: Arc<Notify>,
}

/// Runs the line until `stop` changes. Where the air gap is set there is none, and no socket is opened: what the hub says
/// comes in bundles, by the same way.
///
/// # Errors
/// If the TLS configuration cannot be made; a line that fails is no error.
pub async fn run(parts: Parts, questions: Questions, stop: watch::Receiver<bool>) -> Result<(), DialError> {
    let apart = parts.line.way().carrier == Carrier::None;
    if apart {
        tracing::info!("{AIR_GAP}");
    }
    let dialer = match apart {
        true => None,
        false => Some(Dialer::new(&parts.identity, &parts.credentials, parts.line.way())?),
    };
    let begin = if apart { Agent::apart } else { Agent::new };
    let choice = Choice::new(parts.line.way().carrier, parts.line.way().quic_rest);
    let (credentials, way) = (Arc::clone(&parts.credentials), parts.line.way().clone());
    let renewer = Renewer::new(&parts.identity, credentials, parts.clock.clone(), way);
    let acknowledged = parts.line.known().acknowledged;
    let head = *parts.journal.head().borrow();
    let trusted = parts.credentials.held().signing_keys.clone();
    let agent =
        begin(parts.identity.names.agent, trusted, Backoff::new(RETRY_BASE, parts.retry_max), acknowledged, head);
    let (events, waiting) = mpsc::channel(EVENTS);
    let driver = Driver {
        parts: Arc::new(parts),
        agent,
        dialer: dialer.map(Arc::new),
        choice,
        probing: false,
        owed_since: None,
        started: Instant::now(),
        connection: None,
        number: 0,
        ends: VecDeque::new(),
        asked: Asked::default(),
        certificate: Renewing::new(Arc::new(renewer)),
        renewing: Vec::new(),
        events,
    };
    driver.run(waiting, questions, stop).await;
    Ok(())
}

/// A record of which connection something happened on, and what.
type Numbered = (u64, Happened);

enum Happened {
    /// Over this carrier, dialled in this order.
    Connected(Kind, &'static [Kind], Connection),
    /// Whether QUIC gets through, tried beside a session over HTTPS.
    Probed(bool),
    On(Event),
    Read(Position, Result<Option<(Cursor, batch::Signed)>, String>),
}

struct Driver {
    parts: Arc<Parts>,
    agent: Agent,
    /// `None` where the air gap is set.
    dialer: Option<Arc<Dialer>>,
    choice: Choice,
    /// Whether QUIC is being tried beside a session over HTTPS.
    probing: bool,
    /// Since when the hub owes a welcome or a receipt.
    owed_since: Option<Instant>,
    started: Instant,
    connection: Option<(Kind, Connection)>,
    /// Of the connection that counts; older ones' events are dropped.
    number: u64,
    /// Ends of the batches read in this session and not confirmed.
    ends: VecDeque<Cursor>,
    /// Licence keys that the hub has not answered.
    asked: Asked,
    certificate: Renewing,
    /// Who waits for the hub's newest word.
    renewing: Vec<oneshot::Sender<()>>,
    events: mpsc::Sender<Numbered>,
}

impl Driver {
    async fn run(
        mut self,
        mut waiting: mpsc::Receiver<Numbered>,
        mut questions: Questions,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut head = self.parts.journal.head();
        self.agent.handle_release(*questions.release.borrow_and_update());
        let mut status = interval(STATUS_EVERY);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ask_time = interval(ASK_TIME_EVERY);
        ask_time.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut keep_asking = interval(KEEP_ASKING);
        keep_asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.carry_out().await;
            self.probe();
            let timeout =
                self.agent.poll_timeout().map_or(LOOK_AGAIN, |at| at.saturating_sub(self.now()).min(LOOK_AGAIN));
            tokio::select! {
                Some((number, happened)) = waiting.recv() => self.happened(number, happened),
                changed = head.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.agent.handle_appended(*head.borrow_and_update());
                }
                Some((ask, answer)) = questions.asked.recv() => self.ask(ask, answer),
                Some(order) = questions.orders.recv() => self.renew(order),
                Some(order) = questions.carried.recv() => self.carried(order).await,
                Ok(()) = questions.release.changed() => {
                    self.agent.handle_release(*questions.release.borrow_and_update());
                }
                _ = status.tick() => {
                    self.renew_certificate();
                    self.report().await;
                }
                _ = ask_time.tick() => self.ask_time(),
                _ = keep_asking.tick() => if self.over() == Some(Kind::Https) { self.ask_time() },
                () = sleep_until(Instant::now() + timeout) => self.agent.handle_timeout(self.now(), random()),
                _ = stop.changed() => break,
            }
        }
        if let Some((_, connection)) = self.connection.take() {
            connection.close("the agent is stopping");
        }
        if let Some(dialer) = &self.dialer {
            dialer.close().await;
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn carry_out(&mut self) {
        while let Some(action) = self.agent.poll_action(self.now()) {
            match action {
                Action::Dial => self.dial(),
                Action::Send(message) => self.send(&message).await,
                Action::Read(after) => self.read(after),
                Action::Acknowledge(receipt) => self.acknowledge(receipt).await,
                Action::Install(signed) => self.install(*signed).await,
                Action::Correct(at) => {
                    self.parts.clock.answered(at);
                    self.renewed();
                }
                Action::Activated(activated) => {
                    if let Some(snapshot) = activated.snapshot.clone() {
                        self.install(snapshot).await;
                    }
                    self.asked.answer(*activated);
                }
                Action::Renewed(answer) => self.certificate_answered(*answer).await,
                Action::Trust(keys) => self.believe(keys).await,
                Action::Cleared(clearance) => self.cleared(*clearance).await,
                Action::Hangup(reason) => self.hang_up(&reason),
            }
        }
        self.show();
    }

    fn happened(&mut self, number: u64, happened: Happened) {
        if let Happened::Probed(gets_through) = happened {
            return self.probed(gets_through);
        }
        if number != self.number {
            return;
        }
        match happened {
            Happened::Probed(_) => {}
            Happened::Connected(over, order, connection) => {
                self.choice.connected(over, order, self.now());
                self.owed_since = Some(Instant::now());
                self.connection = Some((over, connection));
                self.agent.handle_connected(self.now(), self.hello());
            }
            Happened::On(Event::Message(message)) => {
                if matches!(*message, ToAgent::Welcome(_) | ToAgent::Receipt(_) | ToAgent::Refused(_)) {
                    self.owed_since = None;
                }
                self.agent.handle_message(self.now(), random(), *message);
            }
            Happened::On(Event::Closed { kind, reason }) => {
                if !self.agent.is_up() && matches!(kind, "handshake" | "lost" | "intercepted" | "refused") {
                    self.certificate.turned_away();
                }
                self.lost(kind, &reason);
                self.agent.handle_closed(self.now(), random());
            }
            Happened::Read(after, Ok(batch)) => {
                if self.ends.len() >= ENDS {
                    self.ends.pop_front();
                }
                self.ends.extend(batch.as_ref().map(|(end, _)| *end));
                self.agent.handle_read(self.now(), after, batch);
            }
            Happened::Read(_, Err(reason)) => {
                // What is written to cannot be read: nothing more may be promised.
                tracing::error!(reason, "the journal cannot be read");
                self.parts.journal.fail(reason);
            }
        }
    }

    fn dial(&mut self) {
        let Some(dialer) = self.dialer.clone() else { return };
        self.number += 1;
        self.ends.clear();
        let (number, events) = (self.number, self.events.clone());
        let order = self.choice.order(self.now());
        let renewer = self.certificate.before_dialling();
        tokio::spawn(async move {
            if let Some(renewer) = renewer
                && let Err(error) = renewer.over_https().await
            {
                tracing::warn!(%error, "the agent's certificate is not renewed by its signing key");
            }
            let (told, mut telling) = mpsc::channel(EVENTS);
            let dialled = dialer.dial(order, &told).await;
            // Only the connection keeps it open from here on.
            drop(told);
            let happened = match dialled {
                Ok((over, connection)) => Happened::Connected(over, order, connection),
                Err(error) => Happened::On(Event::Closed { kind: error.kind(), reason: error.to_string() }),
            };
            // Sending fails only when the driver is gone, and then nobody wants to know.
            if events.send((number, happened)).await.is_err() {
                return;
            }
            while let Some(event) = telling.recv().await {
                if events.send((number, Happened::On(event))).await.is_err() {
                    return;
                }
            }
        });
    }

    fn over(&self) -> Option<Kind> {
        self.connection.as_ref().map(|(over, _)| *over)
    }

    /// Looks whether QUIC gets through again, while a session over HTTPS stands.
    fn probe(&mut self) {
        let now = self.now();
        if self.probing || !self.agent.is_up() || !self.over().is_some_and(|over| self.choice.probes(over, now)) {
            return;
        }
        let Some(dialer) = self.dialer.clone() else { return };
        self.probing = true;
        let (number, events) = (self.number, self.events.clone());
        tokio::spawn(async move {
            let gets_through = dialer.probe().await;
            // As above: without a driver nobody wants to know.
            drop(events.send((number, Happened::Probed(gets_through))).await);
        });
    }

    fn probed(&mut self, gets_through: bool) {
        self.probing = false;
        self.choice.probed(gets_through, self.now());
        if gets_through && self.over() == Some(Kind::Https) {
            tracing::info!("QUIC gets through to the hub again; the session moves over");
            self.agent.handle_renew(self.now());
        }
    }

    fn ask(&mut self, ask: Activate, answer: oneshot::Sender<Activated>) {
        // Whoever asks hears at once that nobody can be asked: the place for the answer is dropped.
        if let Some(ask) = self.asked.number(ask, answer)
            && !self.agent.handle_activate(ask)
        {
            self.asked.give_up();
        }
    }

    fn renew(&mut self, order: Order) {
        if self.dialer.is_none() {
            return; // Dropping the order says at once that there is nobody to ask.
        }
        self.renewing.retain(|waiting| !waiting.is_closed());
        self.renewing.push(order);
        self.agent.handle_renew(self.now());
    }

    /// The hub has answered a question in this session, and so has said before what it had to say on the hello.
    fn renewed(&mut self) {
        // Whoever waited may have given up.
        for waiting in self.renewing.drain(..) {
            let _ = waiting.send(());
        }
    }

    fn ask_time(&mut self) {
        let mut nonce = [0; 16];
        // Without random bytes an old answer could be passed off as this one's.
        if getrandom::fill(&mut nonce).is_ok() {
            self.agent.handle_ask_time(self.now(), nonce);
        }
    }

    fn hello(&self) -> Hello {
        hello(self.parts.identity.names.agent, &self.parts.enforcement.state().snapshot, &self.parts.journal)
    }

    async fn send(&mut self, message: &ToHub) {
        if let ToHub::Batch(batch) = message {
            self.owed_since.get_or_insert_with(Instant::now);
            self.parts.metrics.batches_sent.inc();
            if batch.peek().is_ok_and(|header| matches!(header.encoding, batch::Encoding::SealedZstd(_))) {
                self.parts.metrics.batches_sealed.inc();
            }
        }
        if let Some((_, connection)) = &self.connection {
            connection.send(message.to_frame()).await;
        }
    }

    /// Reads and signs the next batch on a thread that may block.
    fn read(&self, after: Position) {
        let (number, parts, events) = (self.number, Arc::clone(&self.parts), self.events.clone());
        let sealing = self.sealing_key();
        tokio::spawn(async move {
            let read = move || {
                let signer = (parts.identity.names.agent, parts.identity.signing_key.as_ref());
                reading::next_batch(&parts.journal, signer, &parts.clock, after, sealing)
            };
            let read = tokio::task::spawn_blocking(read).await;
            let read = read.unwrap_or_else(|_| Err("reading the journal panicked".to_owned()));
            // As above: without a driver nobody wants to know.
            drop(events.send((number, Happened::Read(after, read))).await);
        });
    }

    /// What the next batch is sealed to. A hub of before sealing is sent batches as it knows them: its line is encrypted
    /// too, and records that stay would help nobody.
    fn sealing_key(&self) -> Option<SealingKey> {
        let speaks = self.agent.version().is_some_and(|version| version >= SEALING_SINCE);
        let key = self.parts.enforcement.state().snapshot.sealing_key;
        key.filter(|_| speaks && self.parts.switches.seals())
    }

    /// Asks for the next certificate when it is due and there is a session.
    fn renew_certificate(&mut self) {
        if self.agent.is_up()
            && let Some(request) = self.certificate.due()
        {
            self.agent.handle_renewal_due(request);
        }
    }

    fn hang_up(&mut self, reason: &str) {
        // The connection itself stands, and the hub's word does not come through it.
        if let Some(over) = self.over()
            && self.owed_since.is_some_and(|since| since.elapsed() >= OWED_TOO_LONG)
        {
            self.choice.gave_nothing(over, self.now());
        }
        self.lost("hung_up", reason);
        // What still comes from it is not wanted.
        self.number += 1;
    }

    fn lost(&mut self, kind: &'static str, reason: &str) {
        self.asked.give_up();
        if let Some((_, connection)) = self.connection.take() {
            connection.close(reason);
        }
        let labels = vec![("reason".to_owned(), kind.to_owned())];
        self.parts.metrics.sync_failures.get_or_create(&labels).inc();
        let reason = reason.to_owned();
        if self.parts.line.known().trouble.as_ref() != Some(&reason) {
            tracing::warn!(
                hub = self.parts.line.hub(),
                reason,
                "no line to the hub; records are kept and it is tried again"
            );
        }
        self.parts.line.learn(|known| known.trouble = Some(reason));
    }

    async fn report(&mut self) {
        if !self.agent.is_up() {
            return;
        }
        let (journal, state) = (self.parts.journal.clone(), Arc::clone(&self.parts.enforcement.state()));
        let status = tokio::task::spawn_blocking(move || live_status(&journal, &state)).await;
        // The next one comes in seconds.
        let Ok(status) = status else { return };
        self.agent.handle_status(status);
    }

    /// Lets others know how the line stands.
    fn show(&mut self) {
        let (up, hold) = (self.agent.is_up(), self.agent.hold());
        let (metrics, over) = (&self.parts.metrics, self.over().filter(|_| up));
        metrics.connected.set(up.into());
        metrics.over(over.map(Kind::name));
        let held = hold.map(|hold| match hold {
            Hold::Fork => "the hub has another history of this agent; an administrator of the hub has to decide",
            Hold::Revoked => "the hub has revoked this agent",
        });
        let known = self.parts.line.known();
        if known.connected == up && known.carrier == over && (!up || known.trouble.as_deref() == held) {
            return;
        }
        self.parts.line.learn(|known| {
            known.connected = up;
            known.carrier = over;
            known.hold = hold;
            if up {
                known.trouble = held.map(str::to_owned);
            }
        });
        if up && !known.connected {
            let carrier = over.map(Kind::name);
            tracing::info!(hub = self.parts.line.hub(), carrier, "the line to the hub stands");
            self.ask_time();
            self.renew_certificate();
        }
    }
}

/// What the agent says first, over a line or in a bundle.
pub(crate) fn hello(agent: AgentId, snapshot: &Snapshot, journal: &Journal) -> Hello {
    let mut version = snapshot.version;
    if snapshot.certificate.is_empty() {
        // In the layout of an older version, which has no certificate: the hub is to send it anew.
        version.issued_at = UnixMillis::default();
    }
    Hello {
        oldest_version: OLDEST_VERSION,
        newest_version: NEWEST_VERSION,
        agent,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: host::boot_id(),
        epochs: journal.extents(),
        snapshot: version,
    }
}

/// How the agent stands now. Reads from disk; not for an async thread.
pub(crate) fn live_status(journal: &Journal, state: &State) -> LiveStatus {
    let size = journal.size();
    LiveStatus {
        at: clock::wall(),
        backlog: size.backlog,
        oldest_unacknowledged: journal.oldest_unacknowledged(),
        journal_bytes: size.bytes,
        quotas: state.quotas(),
        snapshot: state.snapshot.version,
    }
}

/// For jitter; nothing depends on it being hard to guess.
fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX / 2)
}
