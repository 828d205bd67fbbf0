//! What others tell the line to do: how much it may send, and to ask the hub for its newest word.

use super::{Line, choice::Kind};
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::sync::agent::{Hold, Release};
use sitewarden_protocol::time::UnixMillis;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// Orders that may wait for the driver; callers are rate limited, so a few are many.
const ORDERS: usize = 8;
/// How long a new session may take, the hub's answer included.
const RENEW_TIMEOUT: Duration = Duration::from_secs(10);

/// Somebody waits for the hub's newest word.
pub(super) type Order = oneshot::Sender<()>;

/// How the line stands.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Whether a session with the hub stands.
    pub connected: bool,
    /// What carries it.
    pub carrier: Option<Kind>,
    /// The last record that the hub confirmed.
    pub acknowledged: Position,
    /// When it last confirmed something.
    pub last_receipt_at: Option<UnixMillis>,
    /// Why nothing is sent although a session stands.
    pub hold: Option<Hold>,
    /// Why there is no session, or why nothing is sent, in words.
    pub trouble: Option<String>,
}

/// Where orders are handed in.
#[derive(Clone)]
pub(super) struct Controls {
    orders: mpsc::Sender<Order>,
    release: Arc<watch::Sender<Release>>,
}

impl Controls {
    pub(super) fn new(release: Release) -> (Self, mpsc::Receiver<Order>, watch::Receiver<Release>) {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (release, released) = watch::channel(release);
        (Self { orders, release: Arc::new(release) }, ordered, released)
    }
}

impl Line {
    /// How much may be sent from now on.
    pub fn release(&self, release: Release) {
        self.controls.release.send_replace(release);
    }

    /// How it stands.
    pub fn known(&self) -> Known {
        self.shared.borrow().clone()
    }

    /// How it stands, and as that changes.
    pub fn watch(&self) -> watch::Receiver<Known> {
        self.shared.subscribe()
    }

    /// Asks the hub for its newest word at once, by a new session; `true` when what it sent is in force.
    pub async fn renew(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        let asked = self.controls.orders.try_send(answer).is_ok();
        asked && matches!(timeout(RENEW_TIMEOUT, answered).await, Ok(Ok(())))
    }
}
