//! A connection to the hub that carries frames both ways, whatever carries it.
//!
//! Always true: one task writes and one reads, each wait of theirs has a limit, and the end is told once.

use sitewarden_protocol::frame;
use sitewarden_protocol::message::ToAgent;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How long one frame may take to be handed to the network.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the rest of a frame may take once it has begun.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// How long saying that nothing more comes may take.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// Frames that wait to be written.
const OUTBOX: usize = 16;

/// What happens on a connection.
pub(super) enum Event {
    /// The hub said something.
    Message(Box<ToAgent>),
    /// It is over.
    Closed {
        /// For the metric's label.
        kind: &'static str,
        /// In words.
        reason: String,
    },
}

/// Says to a carrier that its connection is closed, and why.
type Closer = Box<dyn Fn(&str) + Send + Sync>;
/// Why a connection was closed at this end.
type Cut = Arc<watch::Sender<Option<String>>>;

/// A connection that stands.
pub(super) struct Connection {
    outbox: mpsc::Sender<Vec<u8>>,
    cut: Cut,
    closer: Closer,
}

impl Connection {
    /// Begins to read and write. What happens is told through `events`, the end included. `idle` is how long the hub may
    /// be silent; `None` where the carrier itself notices that it is gone.
    pub(super) fn start(
        send: impl AsyncWrite + Send + Unpin + 'static,
        receive: impl AsyncRead + Send + Unpin + 'static,
        idle: Option<Duration>,
        closer: Closer,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (outbox, frames) = mpsc::channel(OUTBOX);
        let cut = Cut::new(watch::Sender::new(None));
        tokio::spawn(write(send, frames, Arc::clone(&cut)));
        tokio::spawn(read(receive, idle, cut.subscribe(), events));
        Self { outbox, cut, closer }
    }

    /// Hands a frame to the writer; waits while too many wait already, but not for ever.
    pub(super) async fn send(&self, frame: Vec<u8>) {
        if timeout(WRITE_TIMEOUT, self.outbox.send(frame)).await.is_err() {
            self.close("the hub does not read");
        }
    }

    pub(super) fn close(&self, reason: &str) {
        (self.closer)(reason);
        self.cut.send_replace(Some(reason.to_owned()));
    }
}

async fn write(mut stream: impl AsyncWrite + Unpin, mut frames: mpsc::Receiver<Vec<u8>>, cut: Cut) {
    let mut is_cut = cut.subscribe();
    let writing = async {
        while let Some(frame) = frames.recv().await {
            let written = async {
                stream.write_all(&frame).await?;
                stream.flush().await
            };
            if !matches!(timeout(WRITE_TIMEOUT, written).await, Ok(Ok(()))) {
                // The reader tells.
                cut.send_if_modified(|reason| {
                    let first = reason.is_none();
                    reason.get_or_insert_with(|| "the line does not take what is written".to_owned());
                    first
                });
                return;
            }
        }
    };
    tokio::select! {
        () = writing => {}
        _ = is_cut.wait_for(Option::is_some) => {}
    }
    // Nobody waits for it, and a line that is gone needs none.
    drop(timeout(SHUTDOWN_TIMEOUT, stream.shutdown()).await);
}

async fn read(
    mut stream: impl AsyncRead + Unpin,
    idle: Option<Duration>,
    mut cut: watch::Receiver<Option<String>>,
    events: mpsc::Sender<Event>,
) {
    let reading = async {
        loop {
            match read_message(&mut stream, idle).await {
                Ok(message) => {
                    if events.send(Event::Message(Box::new(message))).await.is_err() {
                        break ("lost", String::new());
                    }
                }
                Err(end) => break end,
            }
        }
    };
    let (kind, reason) = tokio::select! {
        end = reading => end,
        cut = cut.wait_for(Option::is_some) => {
            ("lost", cut.ok().and_then(|reason| reason.clone()).unwrap_or_default())
        }
    };
    // Without a driver nobody wants to know.
    drop(events.send(Event::Closed { kind, reason }).await);
}

/// Waits for the next message as long as the connection lives, and for the rest of one that has begun not long.
async fn read_message(
    stream: &mut (impl AsyncRead + Unpin),
    idle: Option<Duration>,
) -> Result<ToAgent, (&'static str, String)> {
    let lost = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => ("lost", "the hub closed the connection".to_owned()),
        _ => ("lost", error.to_string()),
    };
    let nonsense = |error: &dyn std::fmt::Display| ("protocol", format!("the hub sent nonsense: {error}"));
    let silent = |_| ("timeout", "nothing came from the hub for too long".to_owned());
    let mut head = [0; frame::HEADER];
    let first = stream.read_exact(&mut head);
    match idle {
        Some(idle) => timeout(idle, first).await.map_err(silent)?,
        None => first.await,
    }
    .map_err(|error| lost(&error))?;
    let header = frame::Header::parse(&head).map_err(|error| nonsense(&error))?;
    let mut body = vec![0; header.length()];
    let rest = timeout(FRAME_TIMEOUT, stream.read_exact(&mut body)).await;
    rest.map_err(|_| ("timeout", "the hub stopped in the middle of a message".to_owned()))?
        .map_err(|error| lost(&error))?;
    header.check(&body).map_err(|error| nonsense(&error))?;
    ToAgent::from_body(&body).map_err(|error| nonsense(&error))
}
