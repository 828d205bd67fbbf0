//! One transmission: everything that is queued at its start is sent, and the hub confirms it.

use crate::journal::Journal;
use crate::sync::{Known, Line};
use sitewarden_protocol::sync::agent::{Hold, Release};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long there may be no session: dialling, its handshake and the greeting fit.
const NO_LINE: Duration = Duration::from_secs(15);
/// How long the hub may confirm nothing although there is a session: two of the protocol's own waits for a receipt.
const NO_RECEIPT: Duration = Duration::from_secs(65);

/// Why a transmission failed, in the API's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// There is no session with the hub.
    #[error("Connection timeout{}", .trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default())]
    NoLine {
        /// Why, if that is known.
        trouble: Option<String>,
    },
    /// The hub confirms nothing.
    #[error("Connection timeout: the hub confirmed nothing for {} seconds", NO_RECEIPT.as_secs())]
    NoReceipt,
    /// The hub has another history.
    #[error("the hub has another history of this agent; an administrator of the hub has to decide")]
    Fork,
    /// The agent was revoked.
    #[error("the hub has revoked this agent")]
    Revoked,
    /// The agent stops.
    #[error("the agent is stopping")]
    Stopping,
}

impl Failure {
    /// The HTTP status that says the same.
    pub(super) const fn code(&self) -> u16 {
        match self {
            Self::NoLine { .. } | Self::Stopping => 503,
            Self::NoReceipt => 504,
            Self::Fork => 409,
            Self::Revoked => 403,
        }
    }
}

/// Sends what is queued now; answers how many records the hub confirmed by it. `live`: the line sends by itself, so that
/// there is only to be waited.
///
/// # Errors
/// See [`Failure`]. What was confirmed until then is confirmed.
pub(super) async fn transmit(
    line: &Line,
    journal: &Journal,
    live: bool,
    stop: &mut watch::Receiver<bool>,
) -> Result<u64, Failure> {
    let (head, queued) = (*journal.head().borrow(), journal.size().backlog);
    if !live {
        line.release(Release::Through(head));
    }
    let sent = tokio::select! {
        sent = confirmed(line, head) => sent,
        _ = stop.wait_for(|stop| *stop) => Err(Failure::Stopping),
    };
    if !live {
        line.release(Release::Nothing);
    }
    sent?;
    // What was appended meanwhile and went along in the last batch counts too: it will not be counted again.
    let grown = journal.head().borrow().seq.saturating_sub(head.seq);
    Ok((queued + grown).saturating_sub(journal.size().backlog))
}

async fn confirmed(line: &Line, head: sitewarden_protocol::chain::Position) -> Result<(), Failure> {
    let mut watch = line.watch();
    let mut last = watch.borrow_and_update().clone();
    let mut deadline = Instant::now() + wait_for(&last);
    loop {
        match last.hold {
            Some(Hold::Fork) => return Err(Failure::Fork),
            Some(Hold::Revoked) => return Err(Failure::Revoked),
            None => {}
        }
        // Without a session nothing says that the hub is there, even if nothing is queued.
        if last.connected && last.acknowledged >= head {
            return Ok(());
        }
        match timeout_at(deadline, watch.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Failure::Stopping),
            Err(_) if last.connected => return Err(Failure::NoReceipt),
            Err(_) => return Err(Failure::NoLine { trouble: last.trouble }),
        }
        let now = watch.borrow_and_update().clone();
        if now.connected != last.connected || now.acknowledged != last.acknowledged {
            deadline = Instant::now() + wait_for(&now);
        }
        last = now;
    }
}

fn wait_for(known: &Known) -> Duration {
    if known.connected { NO_RECEIPT } else { NO_LINE }
}
