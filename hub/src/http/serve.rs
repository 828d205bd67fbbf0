//! The listeners: HTTPS, plain HTTP and the administration socket, with the same limits and the same end.

use super::capped::Capped;
use super::shown::Showing;
use crate::config::SyncLimits;
use axum::{Router, extract::connect_info::IntoMakeServiceWithConnectInfo, http::Request};
use axum_server::{
    Address, Handle,
    accept::Accept,
    service::{MakeService, SendService},
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto::Builder,
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::unix::net::{self as unix, UnixListener},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request's head may take, and how long a connection may be idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The most header fields of a request.
const MAX_HEADERS: usize = 64;
/// What is buffered of a connection: its largest head.
const MAX_BUFFER: usize = 64 << 10;
/// Connections of one listener; 4 MiB of buffers for each hundred at the worst.
const MAX_CONNECTIONS: usize = 1_024;
/// Connections of one address to the HTTPS listener, beside the agents that may come from there.
const MAX_PER_ADDRESS: usize = 128;
/// Connections to the administration socket: one for each command that runs.
const MAX_ADMINISTRATORS: usize = 32;

/// A listener that serves.
pub(crate) struct Server<A: Address> {
    handle: Handle<A>,
    task: JoinHandle<io::Result<()>>,
}

impl<A: Address> Server<A> {
    /// Stops accepting, gives requests that run this long to end, and waits for it.
    pub(crate) async fn drain(self, grace: Duration) {
        self.handle.graceful_shutdown(Some(grace));
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a listener failed"),
            Err(error) => tracing::error!(%error, "a listener ended badly"),
        }
    }
}

/// Serves HTTPS; the certificate can be replaced in `tls` while it does. As many agents as `agents` allows may come in
/// here, too, and stay.
pub(crate) fn serve_https(
    listener: TcpListener,
    tls: RustlsConfig,
    router: Router,
    agents: SyncLimits,
) -> io::Result<Server<SocketAddr>> {
    let capped = Capped::new(MAX_CONNECTIONS + agents.max_connections, Some(MAX_PER_ADDRESS + agents.max_per_address));
    let acceptor = Showing::new(RustlsAcceptor::new(tls).handshake_timeout(HANDSHAKE_TIMEOUT).acceptor(capped));
    listener.set_nonblocking(true)?;
    Ok(start(axum_server::from_tcp(listener)?.acceptor(acceptor), named(router)))
}

/// Serves plain HTTP, for a reverse proxy.
pub(crate) fn serve_plain(listener: TcpListener, router: Router) -> io::Result<Server<SocketAddr>> {
    listener.set_nonblocking(true)?;
    Ok(start(axum_server::from_tcp(listener)?.acceptor(Capped::new(MAX_CONNECTIONS, None)), named(router)))
}

/// Serves the administration socket. Who may connect is decided by the modes of the socket and its folder.
pub(crate) fn serve_socket(listener: UnixListener, router: Router) -> io::Result<Server<unix::SocketAddr>> {
    listener.set_nonblocking(true)?;
    let server = axum_server::from_unix(listener)?.acceptor(Capped::new(MAX_ADMINISTRATORS, None));
    Ok(start(server, super::timed(router).into_make_service()))
}

/// The router with the caller's address in each request.
fn named(router: Router) -> IntoMakeServiceWithConnectInfo<Router, SocketAddr> {
    router.into_make_service_with_connect_info()
}

fn start<A, M, Acc>(server: axum_server::Server<A, Acc>, service: M) -> Server<A>
where
    A: Address + Send + Sync + 'static,
    A::Listener: Send + Sync,
    A::Stream: Send,
    M: MakeService<A, Request<Incoming>> + Send + 'static,
    M::MakeFuture: Send,
    M::Service: Send,
    Acc: Accept<A::Stream, M::Service> + Clone + Send + Sync + 'static,
    Acc::Stream: AsyncRead + AsyncWrite + Unpin + Send,
    Acc::Service: SendService<Request<Incoming>> + Send,
    Acc::Future: Send,
{
    let handle = Handle::new();
    let mut server = server.handle(handle.clone());
    // Only HTTP/1: looking first which version it is has no time limit. Said to hyper itself, because axum-server's own
    // switch takes upgrades away.
    *server.http_builder() = Builder::new(TokioExecutor::new()).http1_only();
    let timer = TokioTimer::new(); // Without it the time-out panics.
    server
        .http_builder()
        .http1()
        .timer(timer)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER);
    Server { handle, task: tokio::spawn(server.serve(service)) }
}
