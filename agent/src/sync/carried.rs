//! What a bundle brings, handed to the one task that keeps the line: it alone moves what is acknowledged.

use super::{Driver, Line, random};
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::message::ToAgent;
use sitewarden_protocol::renewal;
use sitewarden_protocol::sync::agent::Carried;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Bundles that may wait; people carry them.
const WAITING: usize = 4;
/// How long a bundle's messages may take: a snapshot and a checkpoint on disk, behind what the line does now.
const TIMEOUT: Duration = Duration::from_secs(25);

/// What the task is to take.
pub(super) enum CarriedOrder {
    /// The hub's messages from one bundle.
    Messages(Vec<ToAgent>, oneshot::Sender<Carried>),
    /// A request for the next certificate is to be carried to the hub, if one is due.
    Due(oneshot::Sender<Option<renewal::Request>>),
    /// Nothing comes back from the hub: what was exported up to here counts as delivered.
    Delivered(Position, oneshot::Sender<()>),
}

/// Where it is handed in.
#[derive(Clone)]
pub(super) struct Carrying(mpsc::Sender<CarriedOrder>);

impl Carrying {
    pub(super) fn new() -> (Self, mpsc::Receiver<CarriedOrder>) {
        let (carrying, carried) = mpsc::channel(WAITING);
        (Self(carrying), carried)
    }
}

impl Line {
    /// Takes what the hub said in a bundle; what is right of it is in force when this answers. `None` if the agent is
    /// stopping, or too busy.
    pub async fn carry(&self, messages: Vec<ToAgent>) -> Option<Carried> {
        self.hand_in(|answer| CarriedOrder::Messages(messages, answer)).await
    }

    /// A request for the agent's next certificate, if one is due; the answer comes back by [`Line::carry`]. Not for an async
    /// thread.
    pub fn renewal_due(&self) -> Option<renewal::Request> {
        let (answer, answered) = oneshot::channel();
        self.carrying.0.try_send(CarriedOrder::Due(answer)).ok()?;
        answered.blocking_recv().ok()?
    }

    /// What was exported up to here counts as delivered, because nothing ever comes back from the hub.
    pub async fn delivered(&self, through: Position) -> Option<()> {
        self.hand_in(|answer| CarriedOrder::Delivered(through, answer)).await
    }

    async fn hand_in<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> CarriedOrder) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.carrying.0.try_send(order(answer)).ok()?;
        timeout(TIMEOUT, answered).await.ok()?.ok()
    }
}

impl Driver {
    pub(super) async fn carried(&mut self, order: CarriedOrder) {
        // Whoever asked may have stopped waiting; what came is in force all the same.
        match order {
            CarriedOrder::Messages(messages, answer) => {
                let epochs = self.parts.journal.extents();
                let carried = self.agent.handle_carried(self.now(), random(), &epochs, messages);
                self.carry_out().await;
                let _ = answer.send(carried);
            }
            CarriedOrder::Due(answer) => drop(answer.send(self.certificate.due_in_file().await)),
            CarriedOrder::Delivered(through, answer) => {
                let journal = self.parts.journal.clone();
                drop(tokio::task::spawn_blocking(move || journal.acknowledge(through)).await);
                self.parts.enforcement.acknowledged(through).await;
                self.parts.line.learn(|known| known.acknowledged = known.acknowledged.max(through));
                let _ = answer.send(());
            }
        }
    }
}
