//! Messages on the stream: whole frames in, whole frames out, each within its time.
//!
//! Always true: no memory is taken for a body before its length is known to be allowed and its share of the hub's
//! budget is had; no more than one message is read before the session asks for the next.

use super::ending::Ending;
use sitewarden_protocol::frame::{self, HEADER, Header};
use sitewarden_protocol::message::{ToAgent, ToHub};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
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
/// Bytes of all batches of all agents that are held at once (64 MiB): a second's work of the store, and more.
///
/// Who waits for room stands in a line, and a session waits for one frame at a time. So when many agents drain a backlog
/// they take turns, whoever sends how much.
const BUDGET: usize = 64 << 20;
/// The same for all other messages and the smallest batches (8 MiB): a hello, a status or a few records of an agent with
/// little to send do not wait behind the backlogs of others.
const SMALL_BUDGET: usize = 8 << 20;
/// The longest frame that counts as small.
const SMALL: usize = 16 << 10;
/// What the budgets are counted in, so that their numbers fit a semaphore's.
const UNIT: usize = 1 << 10;

/// The memory that all sessions together may hold in frames.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    large: Arc<Semaphore>,
    small: Arc<Semaphore>,
}

impl Budget {
    pub(crate) fn new() -> Self {
        let of = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        Self { large: of(BUDGET), small: of(SMALL_BUDGET) }
    }

    async fn take(&self, bytes: usize) -> Result<Share, Ending> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let of = if bytes <= SMALL { &self.small } else { &self.large };
        match timeout(BUDGET_TIMEOUT, Arc::clone(of).acquire_many_owned(units)).await {
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
pub(crate) struct Reader<R> {
    ask: mpsc::Sender<()>,
    answers: mpsc::Receiver<Received>,
    asked: bool,
    /// `None` once the stream was taken back.
    task: Option<JoinHandle<R>>,
}

impl<R: AsyncRead + Send + Unpin + 'static> Reader<R> {
    /// `idle` is how long the agent may be silent between two messages.
    pub(crate) fn start(stream: R, budget: Budget, idle: Option<Duration>) -> Self {
        let (ask, asked) = mpsc::channel(1);
        let (answer, answers) = mpsc::channel(1);
        let task = tokio::spawn(read(stream, budget, idle, asked, answer));
        Self { ask, answers, asked: false, task: Some(task) }
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

    /// Reads on without looking, until the agent ends its side.
    pub(crate) async fn discard(mut self) {
        let Some(task) = self.task.take() else { return };
        // Ends the task after the message that it is reading.
        drop(self);
        if let Ok(mut stream) = task.await {
            // A line that fails has ended, too.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    }
}

impl<R> Drop for Reader<R> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn read<R: AsyncRead + Unpin>(
    mut stream: R,
    budget: Budget,
    idle: Option<Duration>,
    mut asked: mpsc::Receiver<()>,
    answer: mpsc::Sender<Received>,
) -> R {
    while asked.recv().await.is_some() {
        let received = message(&mut stream, &budget, idle).await;
        let last = !matches!(received, Ok(Some(_)));
        if answer.send(received).await.is_err() || last {
            break;
        }
    }
    stream
}

async fn message(stream: &mut (impl AsyncRead + Unpin), budget: &Budget, idle: Option<Duration>) -> Received {
    let mut head = [0; HEADER];
    let first = stream.read(&mut head);
    let begun = match idle {
        Some(idle) => timeout(idle, first).await.map_err(|_| Ending::Silent)??,
        // The connection's own idle time-out sees to it.
        None => first.await?,
    };
    if begun == 0 {
        return Ok(None);
    }
    match timeout(FRAME_TIMEOUT, rest(stream, head, begun, budget)).await {
        Ok(received) => received.map(Some),
        Err(_) => Err(Ending::Frame(frame::Error::Truncated)),
    }
}

async fn rest(
    stream: &mut (impl AsyncRead + Unpin),
    mut head: [u8; HEADER],
    begun: usize,
    budget: &Budget,
) -> Result<(ToHub, Share), Ending> {
    stream.read_exact(&mut head[begun..]).await.map_err(cut)?;
    let header = Header::parse(&head)?;
    let share = budget.take(header.length()).await?;
    let mut body = vec![0; header.length()];
    stream.read_exact(&mut body).await.map_err(cut)?;
    header.check(&body)?;
    Ok((ToHub::from_body(&body)?, share))
}

fn cut(error: io::Error) -> Ending {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Ending::Frame(frame::Error::Truncated),
        _ => error.into(),
    }
}

/// Sends one message.
pub(crate) async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &ToAgent) -> Result<(), Ending> {
    let frame = message.to_frame();
    let sending = async {
        stream.write_all(&frame).await?;
        stream.flush().await
    };
    timeout(WRITE_TIMEOUT, sending).await.map_err(|_| Ending::Slow)??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sitewarden_protocol::message::LiveStatus;
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::Instant;

    const IDLE: Duration = Duration::from_secs(60);

    fn status() -> Vec<u8> {
        ToHub::Status(LiveStatus::default()).to_frame()
    }

    fn reader(idle: Option<Duration>) -> (DuplexStream, Reader<DuplexStream>) {
        let (agent, hub) = duplex(1 << 20);
        (agent, Reader::start(hub, Budget::new(), idle))
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_trickles_in_is_given_up() {
        let (mut agent, mut reader) = reader(None);
        let frame = status();
        let begun = Instant::now();
        let trickle = async {
            for byte in &frame[..frame.len() - 1] {
                agent.write_all(&[*byte]).await.unwrap();
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        };
        let (received, ()) = tokio::join!(reader.next(), trickle);
        assert!(matches!(received, Err(Ending::Frame(frame::Error::Truncated))), "{received:?}");
        assert!(begun.elapsed() > FRAME_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_between_messages_ends_a_line_that_does_not_notice_by_itself() {
        let (mut agent, mut reader) = reader(Some(IDLE));
        agent.write_all(&status()).await.unwrap();
        assert!(matches!(reader.next().await, Ok(Some(_))));
        let begun = Instant::now();
        assert!(matches!(reader.next().await, Err(Ending::Silent)));
        assert!(begun.elapsed() >= IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (_agent, mut hub) = duplex(64);
        let goodbye = sitewarden_protocol::message::Goodbye { reason: "x".repeat(1_000), come_back_after: 0 };
        let sent = send(&mut hub, &ToAgent::Goodbye(goodbye)).await;
        assert!(matches!(sent, Err(Ending::Slow)), "{sent:?}");
    }

    #[tokio::test]
    async fn what_is_discarded_is_read_to_its_end() {
        let (mut agent, mut reader) = reader(None);
        agent.write_all(&[status(), status(), status()].concat()).await.unwrap();
        assert!(matches!(reader.next().await, Ok(Some(_))));
        agent.shutdown().await.unwrap();
        timeout(Duration::from_secs(5), reader.discard()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn small_messages_do_not_wait_behind_the_batches_of_others_and_those_take_turns() {
        let budget = Budget::new();
        let mut held = Vec::new();
        while let Ok(share) = timeout(Duration::ZERO, budget.take(frame::MAX_BODY)).await {
            held.push(share.unwrap());
        }
        assert_eq!(held.len(), BUDGET / frame::MAX_BODY);
        drop(timeout(Duration::from_secs(1), budget.take(SMALL)).await.unwrap().unwrap());
        let (one, two) = (tokio::spawn(turn(budget.clone())), tokio::spawn(turn(budget.clone())));
        tokio::task::yield_now().await;
        held.pop();
        one.await.unwrap();
        assert!(!two.is_finished());
        held.pop();
        two.await.unwrap();
    }

    async fn turn(budget: Budget) {
        std::mem::forget(budget.take(frame::MAX_BODY).await.unwrap());
    }
}
