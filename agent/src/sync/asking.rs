//! Licence keys on their way to the hub and back, while somebody at the plant waits.

use sitewarden_protocol::message::{Activate, Activated};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Keys that may be on the way at once: people type them.
const MAX_ASKED: usize = 16;
/// How long the hub may take before the site decides by itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A key and the place for its answer.
pub(super) type Question = (Activate, oneshot::Sender<Activated>);

/// Where keys are handed in.
#[derive(Clone)]
pub(super) struct Asking(mpsc::Sender<Question>);

/// What was asked and not answered.
#[derive(Default)]
pub(super) struct Asked {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Activated>>,
}

impl Asking {
    pub(super) fn new() -> (Self, mpsc::Receiver<Question>) {
        let (asking, asked) = mpsc::channel(MAX_ASKED);
        (Self(asking), asked)
    }

    /// The hub's answer; `None` if there is no line, or none came in time.
    pub(super) async fn ask(&self, ask: Activate) -> Option<Activated> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send((ask, answer)).ok()?;
        timeout(ANSWER_TIMEOUT, answered).await.ok()?.ok()
    }
}

impl Asked {
    /// Gives the question its number; `None` if too many are on the way.
    pub(super) fn number(&mut self, ask: Activate, answer: oneshot::Sender<Activated>) -> Option<Activate> {
        self.waiting.retain(|_, answer| !answer.is_closed());
        if self.waiting.len() >= MAX_ASKED {
            return None;
        }
        self.last += 1;
        self.waiting.insert(self.last, answer);
        Some(Activate { question: self.last, ..ask })
    }

    /// Passes an answer on to whoever waits for it.
    pub(super) fn answer(&mut self, activated: Activated) {
        if let Some(answer) = self.waiting.remove(&activated.question) {
            // Whoever asked may have stopped waiting; the snapshot is in force all the same.
            drop(answer.send(activated));
        }
    }

    /// There is no line, or it is gone: nobody is to wait any longer.
    pub(super) fn give_up(&mut self) {
        self.waiting.clear();
    }
}
