//! Takes connections in, finds out who they are, and starts their sessions.

use super::endpoint::{self, Error};
use crate::keys::Secret;
use crate::metrics::{Held, Reason};
use crate::sync::doors::{Answer, Doors, Place};
use crate::sync::{Backing, entrance};
use quinn::{Connection, ConnectionError, Endpoint, Incoming, ServerConfig, TransportErrorCode, VarInt};
use rustls_pki_types::CertificateDer;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tracing::warn;

/// How long a handshake may take: five round trips of a bad line, and some loss.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long closed connections may take to be told so.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two log lines about connections that were turned away at a limit: they come in floods.
const LIMIT_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// TLS alerts (RFC 8446, 6.2) by which a handshake fails that shows no certificate.
const NO_CERTIFICATE: u8 = 116;
/// And those of a certificate that is not taken: bad, unsupported, revoked, expired, unknown, unknown CA, decrypt error.
const UNTRUSTED: [u8; 7] = [42, 43, 44, 45, 46, 48, 51];

/// The listener for agents.
pub(crate) struct Listener {
    endpoint: Endpoint,
    backing: Arc<Backing>,
    doors: Arc<Doors>,
}

impl Listener {
    /// Opens the endpoint; nobody is let in before [`Self::serve`].
    ///
    /// # Errors
    /// If the address cannot be taken.
    pub(crate) fn open(
        address: SocketAddr,
        server: ServerConfig,
        reset_key: &Secret,
        doors: Arc<Doors>,
        backing: Arc<Backing>,
    ) -> Result<Self, Error> {
        Ok(Self { endpoint: endpoint::open(address, server, reset_key)?, backing, doors })
    }

    /// The endpoint, to ask for its address and to give it a new certificate.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Serves until `stop` says so; then every session is ended in good order, those that take longer than `grace`
    /// without.
    pub(crate) async fn serve(self, mut stop: watch::Receiver<bool>, grace: Duration) {
        let mut connections = JoinSet::new();
        let mut limit_logged = None;
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.knock(incoming, &mut connections, &mut limit_logged),
                    None => break,
                },
                Some(_) = connections.join_next() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        // New ones are refused from here on.
        self.endpoint.set_server_config(None);
        self.backing.registry.drain();
        let deadline = Instant::now() + grace;
        while let Ok(Some(_)) = timeout_at(deadline, connections.join_next()).await {}
        self.endpoint.close(VarInt::from_u32(1), b"the hub is stopping");
        let _ = timeout(CLOSE_TIMEOUT, self.endpoint.wait_idle()).await;
    }

    fn knock(&self, incoming: Incoming, connections: &mut JoinSet<()>, limit_logged: &mut Option<Instant>) {
        let address = incoming.remote_address();
        match self.doors.knock(address.ip(), incoming.remote_address_validated()) {
            Answer::Enter(place) => {
                connections.spawn(connection(incoming, place, address, Arc::clone(&self.backing)));
            }
            Answer::Prove => {
                // Fails only for one who has proven its address, and is then dropped, which refuses it.
                let _ = incoming.retry();
                self.backing.metrics.address_proofs.inc();
            }
            Answer::Refuse(reason) => {
                incoming.refuse();
                self.backing.metrics.refuse(reason);
                if limit_logged.is_none_or(|at: Instant| at.elapsed() >= LIMIT_LOG_INTERVAL) {
                    *limit_logged = Some(Instant::now());
                    warn!(%address, reason = reason.name(), "refused a connection; more in the next minute only count");
                }
            }
        }
    }
}

async fn connection(incoming: Incoming, mut place: Place, address: SocketAddr, backing: Arc<Backing>) {
    let _counted = Held::new(&backing.metrics.connections, 1);
    match handshake(incoming).await {
        Ok(connection) => {
            place.settled();
            agent(connection, address, backing).await;
        }
        Err(refused) => {
            backing.metrics.refuse(refused.reason);
            // Anybody who reaches the port can fail a handshake, as often as he likes.
            if !backing.handshakes_logged.may_log() {
                return;
            }
            warn!(%address, reason = refused.reason.name(), error = refused.error, "refused a connection");
        }
    }
}

struct Handshake {
    reason: Reason,
    error: String,
}

async fn handshake(incoming: Incoming) -> Result<Connection, Handshake> {
    let refused = |error: ConnectionError| Handshake { reason: reason(&error), error: error.to_string() };
    // Awaited to its end: data sent early is never looked at, and the peer's certificate has been checked after it.
    match timeout(HANDSHAKE_TIMEOUT, incoming.accept().map_err(refused)?).await {
        Ok(connected) => connected.map_err(refused),
        Err(_) => Err(Handshake { reason: Reason::Handshake, error: "it took too long".to_owned() }),
    }
}

fn reason(error: &ConnectionError) -> Reason {
    let ConnectionError::TransportError(error) = error else { return Reason::Handshake };
    match error.code {
        code if code == TransportErrorCode::crypto(NO_CERTIFICATE) => Reason::NoCertificate,
        code if UNTRUSTED.iter().any(|alert| code == TransportErrorCode::crypto(*alert)) => {
            Reason::UntrustedCertificate
        }
        _ => Reason::Handshake,
    }
}

async fn agent(connection: Connection, address: SocketAddr, backing: Arc<Backing>) {
    let shown = connection.peer_identity().and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok());
    match entrance::identify(shown.as_deref().map_or(&[], Vec::as_slice), address, &backing).await {
        Ok(peer) => entrance::serve(connection, peer, address, &backing).await,
        Err(ending) => {
            let (code, word) = ending.close();
            connection.close(VarInt::from_u32(code), word.as_bytes());
            entrance::tell(None, address, &ending, &backing);
        }
    }
}
