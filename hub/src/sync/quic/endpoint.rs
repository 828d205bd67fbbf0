//! The QUIC endpoint: every one of quinn's settings is set here, because its defaults are not made for servers.

use crate::config::SyncLimits;
use crate::keys::Secret;
use quinn::{
    ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig, ValidationTokenConfig, VarInt,
    congestion::CubicConfig,
    crypto::rustls::{NoInitialCipherSuite, QuicServerConfig},
};
use ring::{hkdf, hmac};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

/// A session is one stream, opened by the agent; a second one would be a way round the reading limits.
const STREAMS: VarInt = VarInt::from_u32(1);
/// Nothing is sent in one direction only.
const ONE_WAY_STREAMS: VarInt = VarInt::from_u32(0);
/// What an agent may have on the way before the hub has read it (2 MiB): two of the largest frames, and 20 MB/s over a
/// line of 100 ms.
const STREAM_WINDOW: VarInt = VarInt::from_u32(2 << 20);
/// The same for the connection, since it has one stream.
const CONNECTION_WINDOW: VarInt = STREAM_WINDOW;
/// What the hub buffers for an agent that does not read (1 MiB): one snapshot of the largest size.
const SEND_WINDOW: u64 = 1 << 20;
/// Handshake bytes buffered out of order; a chain of two of our certificates has under 2 KiB.
const CRYPTO_BUFFER: usize = 16 << 10;
/// The smallest packets that every path carries (RFC 9000, 14).
const SMALLEST_MTU: u16 = 1_200;
/// The largest UDP payload on Ethernet with IPv4; discovery goes up to it.
const LARGEST_MTU: u16 = 1_472;
/// Before the first measurement; RFC 9002, 6.2.2.
const INITIAL_RTT: Duration = Duration::from_millis(333);
/// Connections that wait to be looked at. The accept loop only looks and never waits, so few are enough.
const MAX_WAITING: usize = 1_024;
/// Buffered for one that waits. A client hello with its certificates' names fits.
const WAITING_BUFFER: u64 = 64 << 10;
/// The same for all of them.
const WAITING_BUFFERS: u64 = 16 << 20;
/// How long an address that was asked to prove itself may take.
const RETRY_LIFETIME: Duration = Duration::from_secs(15);
/// Between two packets that tell a stranger that its connection is gone, so that two hosts never bounce them for ever.
const RESET_INTERVAL: Duration = Duration::from_millis(20);
/// Bytes of a connection's id.
const ID_LENGTH: usize = 8;

/// Why the endpoint cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TLS configuration allows something that QUIC does not.
    #[error("the TLS configuration cannot be used for QUIC")]
    Tls(#[from] NoInitialCipherSuite),
    /// A setting is outside quinn's bounds.
    #[error("the QUIC settings cannot be used")]
    Settings(#[from] quinn::ConfigError),
    /// The idle time-out is outside quinn's bounds.
    #[error("the QUIC idle time-out cannot be used")]
    Idle(#[from] quinn::VarIntBoundsExceeded),
    /// The address cannot be taken.
    #[error("cannot listen for agents on {address} (UDP)")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Opens the endpoint. `reset_key` and `token_key` are the persisted ones.
///
/// # Errors
/// Any of [`Error`].
pub(crate) fn open(address: SocketAddr, server: ServerConfig, reset_key: &Secret) -> Result<Endpoint, Error> {
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, reset_key.as_slice())));
    let ids = Ids::new(reset_key);
    config
        .max_udp_payload_size(LARGEST_MTU)?
        .min_reset_interval(RESET_INTERVAL)
        .grease_quic_bit(true)
        .cid_generator(move || Box::new(ids.clone()));
    let bind = |source| Error::Bind { address, source };
    let socket = UdpSocket::bind(address).map_err(bind)?;
    Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime)).map_err(bind)
}

/// The settings of the server's side.
///
/// # Errors
/// If the TLS configuration or the limits cannot be used.
pub(crate) fn server_config(
    tls: rustls::ServerConfig,
    token_key: &Secret,
    limits: SyncLimits,
) -> Result<ServerConfig, Error> {
    let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, b"sitewarden/quic-token/1").extract(token_key.as_slice());
    let mut server = ServerConfig::new(Arc::new(QuicServerConfig::try_from(tls)?), Arc::new(token_key));
    // No tokens for later visits: an agent comes back seldom, and an address is checked by Retry when it matters.
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0);
    server
        .transport_config(Arc::new(transport(limits)?))
        .migration(true) // Plants sit behind NATs that move them.
        .max_incoming(MAX_WAITING)
        .incoming_buffer_size(WAITING_BUFFER)
        .incoming_buffer_size_total(WAITING_BUFFERS)
        .retry_token_lifetime(RETRY_LIFETIME)
        .validation_token_config(tokens);
    Ok(server)
}

fn transport(limits: SyncLimits) -> Result<TransportConfig, Error> {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(LARGEST_MTU);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS)
        .max_concurrent_uni_streams(ONE_WAY_STREAMS)
        .stream_receive_window(STREAM_WINDOW)
        .receive_window(CONNECTION_WINDOW)
        .send_window(SEND_WINDOW)
        .max_idle_timeout(Some(IdleTimeout::try_from(limits.idle)?))
        .keep_alive_interval(Some(limits.keep_alive))
        .datagram_receive_buffer_size(None) // Nothing is sent outside the stream.
        .crypto_buffer_size(CRYPTO_BUFFER)
        .initial_mtu(SMALLEST_MTU)
        .min_mtu(SMALLEST_MTU)
        .mtu_discovery_config(Some(mtu))
        .initial_rtt(INITIAL_RTT)
        .send_fairness(false) // There is one stream to be fair to.
        .congestion_controller_factory(Arc::new(CubicConfig::default()))
        .enable_segmentation_offload(limits.segmentation_offload);
    Ok(transport)
}

/// Connection ids: a keyed hash over a counter, so never the same twice and not to be guessed.
///
/// quinn's own generator takes a key that is random per process and ignores packets with ids of another one; then a
/// restarted hub never tells its agents that their connections are gone. This one answers every id.
#[derive(Clone)]
struct Ids {
    key: [u8; 32],
    next: u64,
}

impl Ids {
    fn new(reset_key: &Secret) -> Self {
        let mut start = [0; 8];
        // Without randomness the counter starts at zero: the ids are then guessable by nobody but this hub's past.
        let _ = getrandom::fill(&mut start);
        let key = blake3::derive_key("sitewarden hub 1 quic connection ids", reset_key.as_slice());
        Self { key, next: u64::from_le_bytes(start) }
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.next = self.next.wrapping_add(1);
        let hash = blake3::keyed_hash(&self.key, &self.next.to_le_bytes());
        ConnectionId::new(&hash.as_bytes()[..ID_LENGTH])
    }

    fn cid_len(&self) -> usize {
        ID_LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
