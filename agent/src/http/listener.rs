//! Listening: header time-outs, a cap on connections, and an orderly end. What hyper leaves open is set here.

use axum::Router;
use axum_server::accept::Accept;
use axum_server::{Address, Handle, Server};
use hyper_util::rt::TokioTimer;
use std::future::{Ready, ready};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

/// Connections at the same time on one listener; more are closed at once.
const MAX_CONNECTIONS: usize = 1_024;
/// How long a client may take for its request's headers, and so how long a connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests under way may take to end when the agent stops.
const DRAIN: Duration = Duration::from_secs(10);

/// A listener that serves.
pub struct Served<A: Address> {
    handle: Handle<A>,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

impl<A: Address> Served<A> {
    /// Takes no more connections, lets requests under way end, and stops.
    pub async fn stop(self) {
        self.handle.graceful_shutdown(Some(DRAIN));
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a listener ended badly"),
            Err(error) => tracing::warn!(%error, "a listener ended badly"),
        }
    }
}

/// Serves on a TCP listener. Each request has its caller's address.
///
/// # Errors
/// If the listener cannot be used.
pub fn serve_tcp(listener: TcpListener, routes: Router) -> io::Result<Served<SocketAddr>> {
    listener.set_nonblocking(true)?;
    let (handle, server) = (Handle::new(), axum_server::from_tcp(listener)?);
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    let served = configure(server, handle.clone()).serve(routes);
    Ok(Served { handle, task: tokio::spawn(served) })
}

/// Serves on a unix socket.
///
/// # Errors
/// If the listener cannot be used.
pub fn serve_socket(listener: UnixListener, routes: Router) -> io::Result<Served<UnixAddr>> {
    listener.set_nonblocking(true)?;
    let (handle, server) = (Handle::new(), axum_server::from_unix(listener)?);
    let served = configure(server, handle.clone()).serve(routes.into_make_service());
    Ok(Served { handle, task: tokio::spawn(served) })
}

fn configure<A: Address>(server: Server<A>, handle: Handle<A>) -> Server<A, Cap> {
    let mut server = server.handle(handle).acceptor(Cap(Arc::new(Semaphore::new(MAX_CONNECTIONS)))).http1_only();
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(64 << 10);
    server
}

/// Takes a connection only while there is a place for it.
#[derive(Clone)]
struct Cap(Arc<Semaphore>);

impl<I, S> Accept<I, S> for Cap {
    type Stream = I;
    type Service = Placed<S>;
    type Future = Ready<io::Result<(I, Placed<S>)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let place = Arc::clone(&self.0).try_acquire_owned();
        ready(
            place
                .map(|place| (stream, Placed { service, _place: Arc::new(place) }))
                .map_err(|_| io::ErrorKind::ConnectionRefused.into()),
        )
    }
}

/// A service that holds its connection's place.
#[derive(Clone)]
struct Placed<S> {
    service: S,
    _place: Arc<OwnedSemaphorePermit>,
}

impl<S: Service<R>, R> Service<R> for Placed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.service.call(request)
    }
}
