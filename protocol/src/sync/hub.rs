//! The hub's end of one session with one agent.
//!
//! Always true: nothing is taken before a hello from the agent that the certificate names; batches are handed on in the
//! order of arrival; a receipt goes out only when the driver says that the batch is committed.
//!
//! Drain [`Session::poll_action`] after every `handle_*`, and read from the connection only while
//! [`Session::wants_input`]: that is what bounds the memory of one agent.

use super::WINDOW;
use crate::batch;
use crate::id::AgentId;
use crate::message::{
    Activate, Activated, Goodbye, Hello, LiveStatus, MAX_EPOCHS, NEWEST_VERSION, OLDEST_VERSION, RENEWAL_SINCE,
    Refused, ToAgent, ToHub, Welcome, negotiate,
};
use crate::{announcement, clearance, hub_time, receipt, renewal, snapshot};
use std::collections::VecDeque;
use std::time::Duration;

/// How long an agent may take to say hello.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Look up what is stored of this agent, and call [`Session::handle_greeting`].
    Greet(Box<Hello>),
    /// Verify and store this, and call [`Session::handle_ingested`]; in this order.
    Ingest(Box<batch::Signed>),
    /// Keep this as the agent's last word on itself.
    Report(Box<LiveStatus>),
    /// Sign what time it is, and call [`Session::handle_time`].
    TellTime(hub_time::Nonce),
    /// Activate a licence for the agent's site, and call [`Session::handle_activated`].
    Activate(Box<Activate>),
    /// Renew the agent's certificate, and call [`Session::handle_renewed`].
    Renew(Box<renewal::Request>),
    /// Send this.
    Send(Box<ToAgent>),
    /// Close the connection.
    Close(Closing),
}

/// Why a session ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closing {
    /// The agent did not say hello in time.
    #[error("no hello within {} s", HELLO_TIMEOUT.as_secs())]
    Mute,
    /// The hello or a batch names another agent than the certificate.
    #[error("the certificate is of agent {certificate}, the message of agent {message}")]
    WrongAgent {
        /// Whom the certificate names.
        certificate: AgentId,
        /// Whom the message names.
        message: AgentId,
    },
    /// A message that cannot come now.
    #[error("a {0} came out of turn")]
    OutOfTurn(&'static str),
    /// The agent and this hub have no protocol version in common.
    #[error("the agent speaks versions {oldest} to {newest}, this hub {OLDEST_VERSION} to {NEWEST_VERSION}")]
    NoCommonVersion {
        /// The agent's oldest.
        oldest: u16,
        /// The agent's newest.
        newest: u16,
    },
    /// A batch is not signed by the agent, or unreadable.
    #[error("{0}")]
    BadBatch(String),
    /// A hello lists more epochs than allowed.
    #[error("the hello lists more than {MAX_EPOCHS} epochs")]
    TooManyEpochs,
    /// The hub is stopping.
    #[error("the hub is stopping")]
    Draining,
    /// The agent's standing was withdrawn.
    #[error("the agent was revoked")]
    Revoked,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingested {
    /// Committed, or here already.
    Stored(receipt::Signed),
    /// Not taken.
    Refused(Refused),
    /// Not the agent's, or unreadable: the session ends.
    Invalid(String),
}

/// What the hub has of an agent that said hello.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Greeting {
    /// How the hub's signing keys follow each other, oldest first; told to agents that can follow.
    pub keys: Vec<announcement::Signed>,
    /// A receipt for each epoch in the hello that is known here.
    pub receipts: Vec<receipt::Signed>,
    /// The newest snapshot, if the agent's is older.
    pub snapshot: Option<snapshot::Signed>,
}

/// The hub's end.
#[derive(Debug)]
pub struct Session {
    peer: AgentId,
    /// What both speak, from the hello on.
    version: u16,
    state: State,
    ingesting: usize,
    actions: VecDeque<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitingHello { deadline: Duration },
    Greeting,
    Ready,
    Closed,
}

impl Session {
    /// A session with the agent that the client certificate names.
    pub fn new(now: Duration, peer: AgentId) -> Self {
        let state = State::AwaitingHello { deadline: now + HELLO_TIMEOUT };
        Self { peer, version: OLDEST_VERSION, state, ingesting: 0, actions: VecDeque::new() }
    }

    /// A message arrived.
    pub fn handle_message(&mut self, message: ToHub) {
        match (self.state, message) {
            (State::AwaitingHello { .. }, ToHub::Hello(hello)) => self.hello(hello),
            (State::Ready, ToHub::Batch(batch)) => self.batch(batch),
            (State::Ready, ToHub::Status(status)) => self.actions.push_back(Action::Report(Box::new(status))),
            (State::Ready, ToHub::AskTime(nonce)) => self.actions.push_back(Action::TellTime(nonce)),
            (State::Ready, ToHub::Activate(ask)) => self.actions.push_back(Action::Activate(Box::new(ask))),
            (State::Ready, ToHub::Renew(request)) => self.actions.push_back(Action::Renew(Box::new(request))),
            (State::Closed, _) => {}
            (_, ToHub::Hello(_)) => self.close(Closing::OutOfTurn("hello")),
            (_, ToHub::Batch(_)) => self.close(Closing::OutOfTurn("batch")),
            (_, ToHub::Status(_)) => self.close(Closing::OutOfTurn("status")),
            (_, ToHub::AskTime(_)) => self.close(Closing::OutOfTurn("question for the time")),
            (_, ToHub::Activate(_)) => self.close(Closing::OutOfTurn("licence key")),
            (_, ToHub::Renew(_)) => self.close(Closing::OutOfTurn("certificate request")),
        }
    }

    /// The answer to [`Action::Greet`].
    pub fn handle_greeting(&mut self, greeting: Greeting) {
        if self.state != State::Greeting {
            return;
        }
        self.state = State::Ready;
        let version = self.version;
        if version >= RENEWAL_SINCE && !greeting.keys.is_empty() {
            self.send(ToAgent::Keys(greeting.keys));
        }
        self.send(ToAgent::Welcome(Welcome { version, receipts: greeting.receipts }));
        if let Some(snapshot) = greeting.snapshot {
            self.send(ToAgent::Snapshot(snapshot));
        }
    }

    /// The answer to [`Action::Ingest`].
    pub fn handle_ingested(&mut self, outcome: Ingested) {
        self.ingesting = self.ingesting.saturating_sub(1);
        match outcome {
            _ if self.state == State::Closed => {}
            Ingested::Stored(receipt) => self.send(ToAgent::Receipt(receipt)),
            Ingested::Refused(refused) => self.send(ToAgent::Refused(refused)),
            Ingested::Invalid(reason) => self.close(Closing::BadBatch(reason)),
        }
    }

    /// The answer to [`Action::TellTime`].
    pub fn handle_time(&mut self, time: hub_time::Signed) {
        if self.state == State::Ready {
            self.send(ToAgent::Time(time));
        }
    }

    /// The answer to [`Action::Activate`].
    pub fn handle_activated(&mut self, activated: Activated) {
        if self.state == State::Ready {
            self.send(ToAgent::Activated(activated));
        }
    }

    /// The answer to [`Action::Renew`].
    pub fn handle_renewed(&mut self, answer: renewal::Answer) {
        if self.state == State::Ready {
            self.send(ToAgent::Renewed(answer));
        }
    }

    /// An administrator lets the agent go on in a fresh epoch.
    pub fn handle_cleared(&mut self, clearance: clearance::Signed) {
        if self.state == State::Ready && self.version >= RENEWAL_SINCE {
            self.send(ToAgent::Cleared(clearance));
        }
    }

    /// The hub signs with another key from now on.
    pub fn handle_keys(&mut self, keys: Vec<announcement::Signed>) {
        if self.state == State::Ready && self.version >= RENEWAL_SINCE {
            self.send(ToAgent::Keys(keys));
        }
    }

    /// What the site may do has changed.
    pub fn handle_snapshot(&mut self, snapshot: snapshot::Signed) {
        if self.state == State::Ready {
            self.send(ToAgent::Snapshot(snapshot));
        }
    }

    /// End the session in good order; the agent is to come back after this many seconds at the earliest.
    pub fn handle_end(&mut self, closing: Closing, come_back_after: u32) {
        if self.state != State::Closed {
            self.send(ToAgent::Goodbye(Goodbye { reason: closing.to_string(), come_back_after }));
            self.close(closing);
        }
    }

    /// Time has reached [`Session::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.close(Closing::Mute);
        }
    }

    /// When [`Session::handle_timeout`] is to be called; `None` if never.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if let State::AwaitingHello { deadline } = self.state { Some(deadline) } else { None }
    }

    /// What to do next; call until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The protocol version that both speak, from the hello on: snapshots are to be signed in its layout.
    pub const fn version(&self) -> u16 {
        self.version
    }

    /// Whether more may be read from the connection now.
    pub fn wants_input(&self) -> bool {
        match self.state {
            State::AwaitingHello { .. } => true,
            State::Ready => self.ingesting < WINDOW,
            State::Greeting | State::Closed => false,
        }
    }

    fn hello(&mut self, hello: Hello) {
        if hello.agent != self.peer {
            return self.close(Closing::WrongAgent { certificate: self.peer, message: hello.agent });
        }
        if hello.epochs.len() > MAX_EPOCHS {
            return self.close(Closing::TooManyEpochs);
        }
        let (oldest, newest) = (hello.oldest_version, hello.newest_version);
        let Some(version) = negotiate(oldest, newest) else {
            return self.handle_end(Closing::NoCommonVersion { oldest, newest }, 3_600);
        };
        self.version = version;
        self.state = State::Greeting;
        self.actions.push_back(Action::Greet(Box::new(hello)));
    }

    fn batch(&mut self, batch: batch::Signed) {
        match batch.peek() {
            Ok(header) if header.agent != self.peer => {
                self.close(Closing::WrongAgent { certificate: self.peer, message: header.agent });
            }
            Ok(_) => {
                self.ingesting += 1;
                self.actions.push_back(Action::Ingest(Box::new(batch)));
            }
            Err(error) => self.close(Closing::BadBatch(error.to_string())),
        }
    }

    fn send(&mut self, message: ToAgent) {
        self.actions.push_back(Action::Send(Box::new(message)));
    }

    fn close(&mut self, closing: Closing) {
        self.state = State::Closed;
        self.actions.push_back(Action::Close(closing));
    }
}
