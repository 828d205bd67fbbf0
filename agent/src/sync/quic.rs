//! The QUIC carrier: one connection with one stream. The one place in the agent that knows quinn.

use super::connection::{Connection, Event};
use crate::credentials::Credentials;
use crate::identity::Identity;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig};
use quinn::{ClientConfig, Endpoint, IdleTimeout, TransportConfig, VarInt};
use sitewarden_certs::{HUB_NAME, tls};
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// A connection on which nothing comes for this long is gone.
const IDLE: Duration = Duration::from_secs(30);
/// Keeps the connection, and the way through address translation, alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long the name may take to be looked up, and the handshake after it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Addresses of the hub's name that are tried; all of them fit into the protocol's time for dialling.
const MAX_ADDRESSES: usize = 3;
/// What the hub may send without being read: one snapshot of the largest size.
const RECEIVE_WINDOW: u32 = 2 << 20;
/// What may be on the way to the hub: a full window of batches.
const SEND_WINDOW: u64 = 8 << 20;

/// Why there is no QUIC connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TLS configuration cannot be made.
    #[error("TLS: {0}")]
    Tls(#[from] tls::Error),
    /// The TLS configuration does not fit QUIC.
    #[error("TLS: {0}")]
    Quic(#[from] NoInitialCipherSuite),
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
            Self::Tls(_) | Self::Quic(_) => "configuration",
            Self::Io(_) | Self::NoAddress(_) => "address",
            Self::Connect(_) | Self::Connection(_) => "handshake",
            Self::Timeout(_) => "timeout",
        }
    }
}

/// Makes QUIC connections.
pub(super) struct Dialer {
    endpoint: Endpoint,
    transport: Arc<TransportConfig>,
    credentials: Arc<Credentials>,
    tls_key: Zeroizing<String>,
    host: String,
    port: u16,
}

impl Dialer {
    pub(super) fn new(
        identity: &Identity,
        credentials: Arc<Credentials>,
        segmentation_offload: bool,
    ) -> Result<Self, Error> {
        let (host, port) = (identity.names.hub_host.clone(), identity.names.sync_port);
        let (transport, tls_key) = (Arc::new(transport(segmentation_offload)), identity.tls_key.clone());
        Ok(Self { endpoint: endpoint()?, transport, credentials, tls_key, host, port })
    }

    /// With the certificate and the authorities of now: both change while the agent runs.
    fn config(&self) -> Result<ClientConfig, Error> {
        let held = self.credentials.held();
        let tls = tls::sync_client(&held.authorities, &held.certificate, &self.tls_key)?;
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        config.transport_config(Arc::clone(&self.transport));
        Ok(config)
    }

    /// Connects and opens the stream.
    pub(super) async fn dial(&self, events: mpsc::Sender<Event>) -> Result<Connection, Error> {
        let place = self.place();
        let connection = self.connect().await?;
        let opened = timeout(CONNECT_TIMEOUT, connection.open_bi()).await;
        let (send, receive) = opened.map_err(|_| Error::Timeout(place))??;
        let closer = move |reason: &str| connection.close(VarInt::from_u32(0), reason.as_bytes());
        Ok(Connection::start(send, receive, None, Box::new(closer), events))
    }

    /// Whether the hub can be reached: a handshake, and no more.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        self.connect().await?.close(VarInt::from_u32(0), b"only looking whether this carrier gets through");
        Ok(())
    }

    /// Tries one address after the other: a name often stands for an IPv6 address that leads nowhere, too.
    async fn connect(&self) -> Result<quinn::Connection, Error> {
        let place = self.place();
        let looked_up = timeout(CONNECT_TIMEOUT, lookup_host((self.host.as_str(), self.port))).await;
        let addresses = looked_up.map_err(|_| Error::Timeout(place.clone()))??;
        let (mut failed, config) = (Error::NoAddress(self.host.clone()), self.config()?);
        for address in addresses.take(MAX_ADDRESSES) {
            let connecting = match self.endpoint.connect_with(config.clone(), address, HUB_NAME) {
                Ok(connecting) => connecting,
                Err(error) => {
                    failed = error.into();
                    continue;
                }
            };
            match timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => failed = error.into(),
                Err(_) => failed = Error::Timeout(place.clone()),
            }
        }
        Err(failed)
    }

    /// That no answer came in a time that the caller has set.
    pub(super) fn late(&self) -> Error {
        Error::Timeout(self.place())
    }

    fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
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
