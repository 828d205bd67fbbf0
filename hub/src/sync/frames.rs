//! Messages on the stream: whole frames in, whole frames out, each within its time.
//!
//! Always true: no memory is taken for a body before its length is known to be allowed and its share of the hub's
//! budget is had; no more than one message is read before the session asks for the next.

use super::ending::Ending;
use quinn::{ReadExactError, RecvStream, SendStream};
use sitewarden_protocol::frame::{self, HEADER, Header};
use sitewarden_protocol::message::{ToAgent, ToHub};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};

/// How long a frame may take once its first byte is here: the largest one over 70 kbit/s.
const FRAME_TIMEOUT: Duration = Duration::from_secs(120);
/// How long one message may take to be handed to the connection; the peer does not read if it takes longer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for room in the budget. It frees with every commit, so a wait this long means a stuck store.
const BUDGET_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of all frames of all agents that are held at once (256 MiB).
const BUDGET: usize = 256 << 20;
/// What the budget is counted in, so that its numbers fit a semaphore's.
const UNIT: usize = 1 << 10;

/// The memory that all sessions together may hold in frames.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET / UNIT)))
    }

    async fn take(&self, bytes: usize) -> Result<Share, Ending> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        match timeout(BUDGET_TIMEOUT, Arc::clone(&self.0).acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(Share { _permit: permit, bytes }),
            _ => Err(Ending::Overloaded),
        }
    }
}

/// One frame's part of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _permit: OwnedSemaphorePermit,
    /// The frame's bytes.
    pub(crate) bytes: usize,
}

/// One message and the memory it takes; `None` when the agent has ended the stream between two messages.
pub(crate) type Received = Result<Option<(ToHub, Share)>, Ending>;

/// Reads one message each time it is asked to. Stops when dropped.
#[derive(Debug)]
pub(crate) struct Reader {
    ask: mpsc::Sender<()>,
    answers: mpsc::Receiver<Received>,
    asked: bool,
    task: JoinHandle<()>,
}

impl Reader {
    pub(crate) fn start(stream: RecvStream, budget: Budget) -> Self {
        let (ask, asked) = mpsc::channel(1);
        let (answer, answers) = mpsc::channel(1);
        Self { ask, answers, asked: false, task: tokio::spawn(read(stream, budget, asked, answer)) }
    }

    /// The next message. Being cancelled loses nothing: the reading goes on, and the next call gets its result.
    pub(crate) async fn next(&mut self) -> Received {
        if !self.asked {
            // There is room for one question, and only one is ever open.
            self.asked = self.ask.try_send(()).is_ok();
        }
        let received = self.answers.recv().await.unwrap_or(Ok(None));
        self.asked = false;
        received
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(mut stream: RecvStream, budget: Budget, mut asked: mpsc::Receiver<()>, answer: mpsc::Sender<Received>) {
    while asked.recv().await.is_some() {
        let received = message(&mut stream, &budget).await;
        let last = !matches!(received, Ok(Some(_)));
        if answer.send(received).await.is_err() || last {
            return;
        }
    }
}

async fn message(stream: &mut RecvStream, budget: &Budget) -> Received {
    let mut head = [0; HEADER];
    // Between two messages an agent may be silent as long as it likes; the connection's idle time-out sees to the rest.
    let Some(begun) = stream.read(&mut head).await? else { return Ok(None) };
    match timeout(FRAME_TIMEOUT, rest(stream, head, begun, budget)).await {
        Ok(received) => received.map(Some),
        Err(_) => Err(Ending::Frame(frame::Error::Truncated)),
    }
}

async fn rest(
    stream: &mut RecvStream,
    mut head: [u8; HEADER],
    begun: usize,
    budget: &Budget,
) -> Result<(ToHub, Share), Ending> {
    stream.read_exact(&mut head[begun..]).await?;
    let header = Header::parse(&head)?;
    let share = budget.take(header.length()).await?;
    let mut body = vec![0; header.length()];
    stream.read_exact(&mut body).await?;
    header.check(&body)?;
    Ok((ToHub::from_body(&body)?, share))
}

/// Sends one message.
pub(crate) async fn send(stream: &mut SendStream, message: &ToAgent) -> Result<(), Ending> {
    timeout(WRITE_TIMEOUT, stream.write_all(&message.to_frame())).await.map_err(|_| Ending::Slow)??;
    Ok(())
}

impl From<ReadExactError> for Ending {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::FinishedEarly(_) => Self::Frame(frame::Error::Truncated),
            ReadExactError::ReadError(error) => error.into(),
        }
    }
}
