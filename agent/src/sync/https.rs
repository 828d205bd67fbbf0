//! The HTTPS carrier: an HTTP/1.1 connection to the hub's HTTPS port that is upgraded, and then carries the very frames of
//! the QUIC stream.
//!
//! Always true: TLS goes from here to the hub itself, through a proxy's tunnel too; whoever opens it on the way shows a
//! certificate that is not from the hub's authority, and gets nothing.

use super::connection::{Connection, Event};
use super::proxy::{self, Proxy};
use crate::credentials::Credentials;
use crate::identity::Identity;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use sitewarden_certs::{HUB_NAME, tls};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// How long the whole of dialling may take; with QUIC before it, it fits into the protocol's time for dialling.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one address may take to be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 3;
/// What is asked of the hub so often that it answers, see [`super::KEEP_ASKING`]: silence of this length means that it is gone.
const IDLE: Duration = Duration::from_secs(90);
/// How long what was sent may stay unconfirmed by the other end of TCP.
const UNCONFIRMED_MS: u32 = 30_000;
/// The most that is read of why the hub says no.
const MAX_REASON: usize = 512;
/// Where the hub takes agents in.
const PATH: &str = "/sync/v1";
/// The port of an address that names none.
const HTTPS_PORT: u16 = 443;

/// Why there is no HTTPS connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TLS configuration cannot be made.
    #[error("TLS: {0}")]
    Tls(#[from] tls::Error),
    /// The hub's address cannot be read.
    #[error("{0} is no address of a hub")]
    Address(String),
    /// No such name, or nobody listens there.
    #[error("{place}: {source}")]
    Connect {
        /// Where.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// The proxy does not let this agent through.
    #[error(transparent)]
    Proxy(#[from] proxy::Error),
    /// Whoever answers is not the hub.
    #[error(
        "who answers at {0} is not this agent's hub: its certificate is not from the hub's authority. If a proxy opens TLS on the way, have it let connections to the hub pass unopened"
    )]
    Intercepted(String),
    /// The TLS handshake failed otherwise.
    #[error("TLS with {place}: {source}")]
    Handshake {
        /// Where.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// It is the hub, or a proxy in front of it, but it speaks no HTTP that this agent understands.
    #[error("{place}: {source}")]
    Http {
        /// Where.
        place: String,
        /// Why.
        source: hyper::Error,
    },
    /// The hub does not take this agent in.
    #[error("the hub says: {0}")]
    Refused(String),
    /// The hub is of a version without this carrier.
    #[error("the hub at {0} does not take agents in over HTTPS")]
    TooOld(String),
    /// It took too long.
    #[error("no answer from {0} over HTTPS")]
    Timeout(String),
}

impl Error {
    /// For the metric's label.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Tls(_) | Self::Address(_) => "configuration",
            Self::Connect { .. } => "address",
            Self::Proxy(_) => "proxy",
            Self::Intercepted(_) => "intercepted",
            Self::Handshake { .. } | Self::Http { .. } => "handshake",
            Self::Refused(_) | Self::TooOld(_) => "refused",
            Self::Timeout(_) => "timeout",
        }
    }
}

/// Makes HTTPS connections.
pub(super) struct Dialer {
    credentials: Arc<Credentials>,
    tls_key: Zeroizing<String>,
    host: String,
    port: u16,
    proxy: Option<Proxy>,
}

/// Bytes both ways.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Dialer {
    pub(super) fn new(identity: &Identity, credentials: Arc<Credentials>, proxy: Option<Proxy>) -> Result<Self, Error> {
        let url = identity.names.hub_url();
        let bad = || Error::Address(url.clone());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let host = uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(HTTPS_PORT);
        Ok(Self { credentials, tls_key: identity.tls_key.clone(), host, port, proxy })
    }

    /// Connects, through the proxy if there is one, and upgrades.
    pub(super) async fn dial(&self, events: mpsc::Sender<Event>) -> Result<Connection, Error> {
        let place = authority(&self.host, self.port);
        let line = timeout(DIAL_TIMEOUT, self.line(&place)).await.map_err(|_| Error::Timeout(place))??;
        let (receive, send) = split(TokioIo::new(line));
        // TCP has no place for a reason: the hub sees the connection end.
        Ok(Connection::start(send, receive, Some(IDLE), Box::new(|_| {}), events))
    }

    async fn line(&self, place: &str) -> Result<Upgraded, Error> {
        let wire: Box<dyn Wire> = match &self.proxy {
            Some(proxy) => Box::new(proxy.tunnel(&self.host, self.port).await?),
            None => {
                let connected = connect(&self.host, self.port).await;
                Box::new(connected.map_err(|source| Error::Connect { place: place.to_owned(), source })?)
            }
        };
        let name = ServerName::try_from(HUB_NAME).map_err(|_| Error::Address(HUB_NAME.to_owned()))?;
        // With the certificate and the authorities of now: both change while the agent runs.
        let held = self.credentials.held();
        let config: ClientConfig = tls::https_client(&held.authorities, &held.certificate, &self.tls_key)?;
        let tls = TlsConnector::from(Arc::new(config)).connect(name, wire).await;
        let tls = tls.map_err(|error| handshake(place, error))?;
        upgrade(tls, place).await
    }
}

/// One address after the other: a name often stands for an IPv6 address that leads nowhere, too.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let addresses = timeout(CONNECT_TIMEOUT, lookup_host((host, port))).await.map_err(|_| late())??;
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses.take(MAX_ADDRESSES) {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(late())) {
            Ok(stream) => {
                watch_over(&stream)?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// So that the system itself notices a line that is gone, and small messages leave at once.
fn watch_over(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5))?;
    sockopt::set_tcp_keepcnt(stream, 4)?;
    Ok(sockopt::set_tcp_user_timeout(stream, UNCONFIRMED_MS)?)
}

fn handshake(place: &str, source: io::Error) -> Error {
    use CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
    let reason = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let place = place.to_owned();
    match reason {
        Some(rustls::Error::InvalidCertificate(
            UnknownIssuer | NotValidForName | NotValidForNameContext { .. } | CertificateError::BadSignature,
        )) => Error::Intercepted(place),
        _ => Error::Handshake { place, source },
    }
}

async fn upgrade(tls: impl Wire + 'static, place: &str) -> Result<Upgraded, Error> {
    let http = |source| Error::Http { place: place.to_owned(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(http)?;
    // Ends with the upgrade, or when the sender is dropped.
    tokio::spawn(connection.with_upgrades());
    let request = Request::get(PATH)
        .header(HOST, place)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, tls::SYNC_UPGRADE)
        .body(String::new())
        .map_err(|_| Error::Address(place.to_owned()))?;
    let response = sender.send_request(request).await.map_err(http)?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => hyper::upgrade::on(response).await.map_err(http),
        StatusCode::NOT_FOUND => Err(Error::TooOld(place.to_owned())),
        status => Err(Error::Refused(format!("{} ({status})", reason(response).await))),
    }
}

/// Why the hub says no, in one line of its own.
async fn reason(response: Response<hyper::body::Incoming>) -> String {
    let body = axum::body::Body::new(response.into_body());
    let bytes = axum::body::to_bytes(body, MAX_REASON).await.unwrap_or_default();
    String::from_utf8_lossy(&bytes).chars().filter(|character| !character.is_control()).collect()
}

/// A host and a port as they stand in addresses.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
