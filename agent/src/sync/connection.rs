//! One QUIC connection to the hub, with one stream that carries frames both ways. The one place in the agent that
//! knows quinn.

use crate::identity::Identity;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig};
use quinn::{ClientConfig, Endpoint, IdleTimeout, RecvStream, SendStream, TransportConfig, VarInt};
use sitewarden_certs::{HUB_NAME, tls};
use sitewarden_protocol::frame;
use sitewarden_protocol::message::ToAgent;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A connection on which nothing comes for this long is gone.
const IDLE: Duration = Duration::from_secs(30);
/// Keeps the connection, and the way through address translation, alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long one frame may take to be handed to the network.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the rest of a frame may take once it has begun.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the name may take to be looked up, and the handshake after it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Addresses of the hub's name that are tried; all of them fit into the protocol's time for dialling.
const MAX_ADDRESSES: usize = 3;
/// What the hub may send without being read: one snapshot of the largest size.
const RECEIVE_WINDOW: u32 = 2 << 20;
/// What may be on the way to the hub: a full window of batches.
const SEND_WINDOW: u64 = 8 << 20;
/// Frames that wait to be written.
const OUTBOX: usize = 16;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TLS configuration cannot be made.
    #[error("TLS: {0}")]
    Tls(#[from] tls::Error),
    /// The TLS configuration does not fit QUIC.
    #[error("TLS: {0}")]
    Quic(#[from] NoInitialCipherSuite),
    /// The identity is damaged.
    #[error(transparent)]
    Identity(#[from] crate::identity::Error),
    /// No socket, or no such name.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The name stands for no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The connection cannot be begun.
    #[error("{0}")]
    Connect(#[from] quinn::ConnectError),
    /// The handshake failed.
    #[error("{0}")]
    Connection(#[from] quinn::ConnectionError),
    /// It took too long.
    #[error("no answer from {0} over UDP")]
    Timeout(String),
}

impl Error {
    /// For the metric's label.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Tls(_) | Self::Quic(_) | Self::Identity(_) => "configuration",
            Self::Io(_) | Self::NoAddress(_) => "address",
            Self::Connect(_) | Self::Connection(_) => "handshake",
            Self::Timeout(_) => "timeout",
        }
    }
}

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

/// Makes connections.
pub(super) struct Dialer {
    endpoint: Endpoint,
    config: ClientConfig,
    host: String,
    port: u16,
}

impl Dialer {
    pub(super) fn new(identity: &Identity, segmentation_offload: bool) -> Result<Self, Error> {
        let roots = identity.authorities()?;
        let tls = tls::sync_client(&roots, &identity.certificate, &identity.tls_key)?;
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        config.transport_config(Arc::new(transport(segmentation_offload)));
        let (host, port) = (identity.names.hub_host.clone(), identity.names.sync_port);
        Ok(Self { endpoint: endpoint()?, config, host, port })
    }

    /// Connects and opens the stream; what then happens is told through `events`, the end included.
    pub(super) async fn dial(&self, events: mpsc::Sender<Event>) -> Result<Connection, Error> {
        let place = format!("{}:{}", self.host, self.port);
        let late = |_| Error::Timeout(place.clone());
        let addresses =
            timeout(CONNECT_TIMEOUT, lookup_host((self.host.as_str(), self.port))).await.map_err(late)??;
        let connection = self.connect(addresses.take(MAX_ADDRESSES), &place).await?;
        let (send, receive) = timeout(CONNECT_TIMEOUT, connection.open_bi()).await.map_err(late)??;
        let (outbox, frames) = mpsc::channel(OUTBOX);
        tokio::spawn(write(send, frames, connection.clone()));
        tokio::spawn(read(receive, events));
        Ok(Connection { connection, outbox })
    }

    /// Tries one address after the other: a name often stands for an IPv6 address that leads nowhere, too.
    async fn connect(
        &self,
        addresses: impl Iterator<Item = SocketAddr>,
        place: &str,
    ) -> Result<quinn::Connection, Error> {
        let mut failed = Error::NoAddress(self.host.clone());
        for address in addresses {
            let connecting = match self.endpoint.connect_with(self.config.clone(), address, HUB_NAME) {
                Ok(connecting) => connecting,
                Err(error) => {
                    failed = error.into();
                    continue;
                }
            };
            match timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => failed = error.into(),
                Err(_) => failed = Error::Timeout(place.to_owned()),
            }
        }
        Err(failed)
    }

    /// Says goodbye on the wire.
    pub(super) async fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"stopping");
        // If the last packets do not get out in time, the hub notices by the idle time-out.
        drop(timeout(Duration::from_secs(1), self.endpoint.wait_idle()).await);
    }
}

/// Takes both address families where the system has both.
fn endpoint() -> io::Result<Endpoint> {
    let any_v4 = || SocketAddr::from(([0, 0, 0, 0], 0));
    Endpoint::client((Ipv6Addr::UNSPECIFIED, 0).into()).or_else(|_| Endpoint::client(any_v4()))
}

fn transport(segmentation_offload: bool) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .enable_segmentation_offload(segmentation_offload);
    transport
}

/// A connection that stands.
pub(super) struct Connection {
    connection: quinn::Connection,
    outbox: mpsc::Sender<Vec<u8>>,
}

impl Connection {
    /// Hands a frame to the writer; waits while too many wait already, but not for ever.
    pub(super) async fn send(&self, frame: Vec<u8>) {
        if timeout(WRITE_TIMEOUT, self.outbox.send(frame)).await.is_err() {
            self.close("the hub does not read");
        }
    }

    pub(super) fn close(&self, reason: &str) {
        self.connection.close(VarInt::from_u32(0), reason.as_bytes());
    }
}

async fn write(mut stream: SendStream, mut frames: mpsc::Receiver<Vec<u8>>, connection: quinn::Connection) {
    while let Some(frame) = frames.recv().await {
        let written = timeout(WRITE_TIMEOUT, stream.write_all(&frame)).await;
        if !matches!(written, Ok(Ok(()))) {
            // The reader sees the connection end, and tells.
            connection.close(VarInt::from_u32(0), b"writing failed");
            return;
        }
    }
}

async fn read(mut stream: RecvStream, events: mpsc::Sender<Event>) {
    let (kind, reason) = loop {
        match read_message(&mut stream).await {
            Ok(message) => {
                if events.send(Event::Message(Box::new(message))).await.is_err() {
                    return;
                }
            }
            Err(end) => break end,
        }
    };
    // Without a driver nobody wants to know.
    drop(events.send(Event::Closed { kind, reason }).await);
}

/// Waits for the next message as long as the connection lives, and for the rest of one that has begun not long.
async fn read_message(stream: &mut RecvStream) -> Result<ToAgent, (&'static str, String)> {
    let lost = |error: &dyn std::fmt::Display| ("lost", error.to_string());
    let nonsense = |error: &dyn std::fmt::Display| ("protocol", format!("the hub sent nonsense: {error}"));
    let mut head = [0; frame::HEADER];
    stream.read_exact(&mut head).await.map_err(|error| lost(&error))?;
    let header = frame::Header::parse(&head).map_err(|error| nonsense(&error))?;
    let mut body = vec![0; header.length()];
    let rest = timeout(FRAME_TIMEOUT, stream.read_exact(&mut body)).await;
    rest.map_err(|_| ("timeout", "the hub stopped in the middle of a message".to_owned()))?
        .map_err(|error| lost(&error))?;
    header.check(&body).map_err(|error| nonsense(&error))?;
    ToAgent::from_body(&body).map_err(|error| nonsense(&error))
}
