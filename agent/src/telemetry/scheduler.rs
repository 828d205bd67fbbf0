//! The one task that makes transmissions: those of the schedule, retries, and those that somebody asks for.
//!
//! Always true: one transmission at a time; tokens of the waker only wake, what is due is read from the history; a
//! transmission under way ends with the task.

use super::due::Due;
use super::history::{Outcome, Row};
use super::sending::{self, Failure};
use super::{Telemetry, preview};
use crate::schedule::Waker;
use sitewarden_protocol::record::{Body, Transmission};
use sitewarden_protocol::time::UnixMillis;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(20);
/// Requests that may wait for their turn.
const WAITING: usize = 8;

/// What somebody asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    /// Send now.
    Send,
    /// Try a failed one again.
    Retry(u64),
}

/// What became of it: the row as it stands now.
pub(super) type Answer = Result<Row, WishError>;

/// It could not be done at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// There is no such transmission.
    #[error("Transmission log not found")]
    Unknown,
    /// Too many wait already.
    #[error("too many transmissions are waiting; try again later")]
    Busy,
    /// The state folder cannot be written, or the agent stops.
    #[error("the transmission cannot be recorded; see the agent's log")]
    Failed,
}

type Asked = (Wish, oneshot::Sender<Answer>);

/// Where wishes are handed in, and whether somebody is there to fulfil them.
pub(super) struct Desk {
    wishes: mpsc::Sender<Asked>,
    running: AtomicBool,
}

/// What the task takes wishes from.
pub struct Wishes(mpsc::Receiver<Asked>);

impl Desk {
    pub(super) fn new() -> (Self, Wishes) {
        let (wishes, asked) = mpsc::channel(WAITING);
        (Self { wishes, running: AtomicBool::new(false) }, Wishes(asked))
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) async fn ask(&self, wish: Wish) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.wishes.try_send((wish, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WishError::Busy,
            mpsc::error::TrySendError::Closed(_) => WishError::Failed,
        })?;
        answered.await.unwrap_or(Err(WishError::Failed))
    }
}

/// Runs until `stop` changes.
pub async fn run(telemetry: Telemetry, wishes: Wishes, mut stop: watch::Receiver<bool>) {
    let mut waker = match Waker::start(LOOK).await {
        Ok(waker) => waker,
        Err(error) => return tracing::error!(%error, "nothing is sent by schedule"),
    };
    let Wishes(mut wishes) = wishes;
    telemetry.desk().running.store(true, Ordering::Relaxed);
    while !*stop.borrow() {
        look(&telemetry, &mut stop).await;
        if *stop.borrow() {
            break;
        }
        tokio::select! {
            woken = waker.woken() => if !woken { break },
            Some((wish, answer)) = wishes.recv() => {
                let done = fulfil(&telemetry, wish, &mut stop).await;
                // Whoever asked may have gone; the history says what became of it.
                drop(answer.send(done));
            }
            _ = stop.changed() => break,
        }
    }
    telemetry.desk().running.store(false, Ordering::Relaxed);
    waker.stop().await;
}

/// Does what is due, if anything is.
async fn look(telemetry: &Telemetry, stop: &mut watch::Receiver<bool>) {
    telemetry.settle().await;
    let now = telemetry.clock().now();
    let settings = telemetry.settings();
    let settled = telemetry
        .on_disk(move |telemetry| {
            telemetry.journal().tidy();
            telemetry.history().settle(now)
        })
        .await;
    if let Err(error) = settled {
        return tracing::error!(%error, "the schedule cannot be kept; nothing is sent by it");
    }
    let due = telemetry.history().remembered().due(settings.frequency, now);
    if due == Due::Nothing || !may_leave(telemetry, settings.enabled).await {
        return;
    }
    let row = match due {
        Due::Nothing => return,
        Due::Run(run) => telemetry.on_disk(move |telemetry| telemetry.history().begin(run, false, now)).await.map(Some),
        Due::Retry(id) => telemetry.on_disk(move |telemetry| telemetry.history().begin_again(id, now)).await,
    };
    match row {
        Ok(Some(row)) => drop(carry_out(telemetry, row, stop).await),
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "a transmission cannot be recorded, and is not begun"),
    }
}

/// While telemetry is disabled, evidence about licences still leaves, but nothing that an app reported before.
async fn may_leave(telemetry: &Telemetry, enabled: bool) -> bool {
    if enabled || telemetry.is_live() {
        return true;
    }
    matches!(preview::sums(telemetry).await, Ok(sums) if sums.whole && sums.telemetry == 0)
}

async fn fulfil(telemetry: &Telemetry, wish: Wish, stop: &mut watch::Receiver<bool>) -> Answer {
    let now = telemetry.clock().now();
    let row = match wish {
        Wish::Send => telemetry.on_disk(move |telemetry| telemetry.history().begin(now, true, now)).await.map(Some),
        Wish::Retry(id) => telemetry.on_disk(move |telemetry| telemetry.history().begin_again(id, now)).await,
    };
    match row {
        Ok(Some(row)) => carry_out(telemetry, row, stop).await,
        Ok(None) => Err(WishError::Unknown),
        Err(error) => {
            tracing::error!(%error, "a transmission cannot be recorded, and is not begun");
            Err(WishError::Failed)
        }
    }
}

async fn carry_out(telemetry: &Telemetry, row: Row, stop: &mut watch::Receiver<bool>) -> Answer {
    let sent = sending::transmit(telemetry.line(), telemetry.journal(), telemetry.is_live(), stop).await;
    if sent == Err(Failure::Stopping) {
        // The next start finds it unfinished, and tries again.
        return Ok(row);
    }
    let now = telemetry.clock().now();
    record(telemetry, &row, &sent, now).await;
    let outcome = match &sent {
        Ok(records) => Outcome::Sent { at: now, records: *records },
        Err(failure) => {
            tracing::warn!(id = row.id, retries = row.retries, %failure, "a transmission failed; it is tried again");
            Outcome::Failed { code: failure.code(), error: failure.to_string() }
        }
    };
    let (id, told) = (row.id, outcome.clone());
    match telemetry.on_disk(move |telemetry| telemetry.history().end(id, told, now)).await {
        Ok(()) => Ok(Row { outcome: Some(outcome), ..row }),
        Err(error) => {
            tracing::error!(%error, "what became of a transmission cannot be recorded");
            Err(WishError::Failed)
        }
    }
}

async fn record(telemetry: &Telemetry, row: &Row, sent: &Result<u64, Failure>, now: UnixMillis) {
    let body = Body::Transmission(Transmission {
        number: row.id,
        due: row.due,
        manual: row.manual,
        started: row.started,
        records: sent.as_ref().copied().unwrap_or_default(),
        retries: row.retries,
        error: sent.as_ref().err().map(|failure| failure.to_string().chars().take(500).collect()),
    });
    let appended = match telemetry.anonymity().encode(now, &body) {
        Ok(record) => telemetry
            .journal()
            .append([record].into_iter().collect())
            .await
            .map(drop)
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = appended {
        tracing::warn!(error, "a transmission is in the history only");
    }
}
