//! How an agent comes in, whatever carries it: who it is by the certificate that it showed, and its session.

use super::Backing;
use super::carrier::Carrier;
use super::ending::Ending;
use super::session::{self, Peer};
use crate::metrics::Held;
use rustls_pki_types::CertificateDer;
use sitewarden_certs::{peer, tls};
use sitewarden_protocol::id::AgentId;
use std::{error::Error, net::SocketAddr, sync::Arc};
use tracing::{info, warn};

/// Who showed these certificates; TLS has checked them. One who is not, or not any more, one of this hub's agents is an
/// ending.
pub(super) async fn identify(
    shown: &[CertificateDer<'_>],
    address: SocketAddr,
    backing: &Backing,
) -> Result<Peer, Ending> {
    if shown.is_empty() {
        return Err(peer::Error::NoCertificate.into());
    }
    let identity = tls::peer_agent(shown)?;
    let standing = backing.standing(identity.agent).await?;
    if standing.key_digest != identity.key_digest {
        return Err(Ending::OldKey);
    }
    Ok(Peer {
        agent: identity.agent,
        site: standing.site,
        signing_key: standing.signing_key,
        key_digest: identity.key_digest,
        issuer: identity.issuer,
        address: Some(address.ip()),
    })
}

/// Runs an agent's session to its end.
pub(super) async fn serve<C: Carrier>(carrier: C, peer: Peer, address: SocketAddr, backing: &Arc<Backing>) {
    let _counted = Held::new(&backing.metrics.sessions, 1);
    let (_membership, word) = backing.registry.join(peer.agent, peer.site);
    let ending = session::run(carrier, peer, Arc::clone(backing), word).await;
    tell(Some(peer.agent), address, &ending, backing);
}

/// Counts and logs how it ended.
pub(super) fn tell(agent: Option<AgentId>, address: SocketAddr, ending: &Ending, backing: &Backing) {
    let agent = agent.map(tracing::field::display);
    let error: &dyn Error = ending;
    match ending.reason() {
        Some(reason) => {
            backing.metrics.refuse(reason);
            warn!(agent, %address, reason = reason.name(), error, "refused a session");
        }
        None => info!(agent, %address, error, "a session ended"),
    }
}
