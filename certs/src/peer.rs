//! Who the other end of a connection is, once the handshake has verified its certificate.

use crate::digest;
use rustls_pki_types::CertificateDer;
use sitewarden_protocol::{id::AgentId, time::UnixMillis};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    parse_x509_certificate,
};

/// What an agent's name begins with, in the one URI of its certificate.
const AGENT_URI: &str = "urn:sitewarden:agent:";

/// Why a verified certificate names no agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The peer showed none.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// It cannot be read.
    #[error("the peer's certificate cannot be read")]
    Malformed,
    /// It holds not exactly one URI, or one that is not an agent's in its only spelling.
    #[error("the peer's certificate does not name an agent")]
    NotAnAgent,
}

/// Who an agent is by its certificate. Whether it may still speak is for the hub's standing list to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The agent's name.
    pub agent: AgentId,
    /// SHA-256 of its SubjectPublicKeyInfo: the key of the standing list.
    pub key_digest: [u8; 32],
    /// Until when the certificate holds. A connection may outlive it: standing is looked at for every batch.
    pub not_after: UnixMillis,
    /// The key that signed it; `None` if it does not say.
    pub issuer: Option<KeyId>,
}

/// How a certificate names the key of the authority that signed it.
pub type KeyId = [u8; 20];

/// Reads the agent out of the chain that a handshake has accepted; the first certificate is the agent's own.
///
/// It verifies nothing: call it with the certificates of a connection made with [`crate::tls::sync_server`].
///
/// # Errors
/// If there is no certificate, or it names no agent.
pub fn peer_agent(certs: &[CertificateDer<'_>]) -> Result<PeerIdentity, Error> {
    let read = certificate(certs.first().ok_or(Error::NoCertificate)?)?;
    let names = read.subject_alternative_name().map_err(|_| Error::Malformed)?.ok_or(Error::NotAnAgent)?;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
        return Err(Error::NotAnAgent);
    };
    let agent: AgentId = uri.strip_prefix(AGENT_URI).and_then(|id| id.parse().ok()).ok_or(Error::NotAnAgent)?;
    if *uri != self::uri(agent) {
        return Err(Error::NotAnAgent);
    }
    Ok(PeerIdentity { agent, key_digest: key_digest(&read), not_after: not_after(&read), issuer: issuer_id(&read) })
}

/// The name of an agent as its certificate holds it.
pub(crate) fn uri(agent: AgentId) -> String {
    format!("{AGENT_URI}{agent}")
}

/// Reads a certificate that nothing may follow.
pub(crate) fn certificate(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    match parse_x509_certificate(der) {
        Ok(([], read)) => Ok(read),
        _ => Err(Error::Malformed),
    }
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo.
pub(crate) fn key_digest(read: &X509Certificate<'_>) -> [u8; 32] {
    digest::sha256(&[read.public_key().raw])
}

/// Which key signed a certificate.
pub(crate) fn issuer_id(read: &X509Certificate<'_>) -> Option<KeyId> {
    read.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(issuer) => issuer.key_identifier.as_ref()?.0.try_into().ok(),
        _ => None,
    })
}

/// By what the certificates that an authority signs name its key.
pub(crate) fn key_id(read: &X509Certificate<'_>) -> Option<KeyId> {
    read.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(own) => own.0.try_into().ok(),
        _ => None,
    })
}

/// Until when a certificate holds.
pub(crate) fn not_after(read: &X509Certificate<'_>) -> UnixMillis {
    UnixMillis(read.validity().not_after.timestamp().saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authority::{AGENT_LIFE, Authority},
        request::TlsKey,
    };
    use rcgen::{CertificateParams, SanType};
    use rustls_pki_types::pem::PemObject;

    const NOW: UnixMillis = UnixMillis(1_769_846_400_000);
    const AGENT: AgentId = AgentId::from_bytes([0xab; 16]);

    fn with_uris(uris: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.self_signed(TlsKey::generate().unwrap().pair()).unwrap().into()
    }

    #[test]
    fn an_agent_is_read_from_the_certificate_it_was_issued() {
        let key = TlsKey::generate().unwrap();
        let authority = Authority::create("Test authority", NOW).unwrap();
        let issued = authority.issue_agent(&key.csr_der().unwrap(), AGENT, AGENT_LIFE, NOW).unwrap();
        let expected = PeerIdentity {
            agent: AGENT,
            key_digest: key.digest(),
            not_after: issued.not_after,
            issuer: authority.key_id(),
        };
        assert!(expected.issuer.is_some());
        assert_eq!(peer_agent(&[issued.cert_der.into()]), Ok(expected));
    }

    #[test]
    fn a_hub_a_stranger_and_nobody_are_not_agents() {
        let hub = Authority::create("Test authority", NOW).unwrap().issue_hub(&[], NOW).unwrap();
        let hub = CertificateDer::from_pem_slice(hub.chain_pem.as_bytes()).unwrap();
        assert_eq!(peer_agent(&[hub]), Err(Error::NotAnAgent));
        assert_eq!(peer_agent(&[with_uris(&["urn:other:1"])]), Err(Error::NotAnAgent));
        assert_eq!(peer_agent(&[with_uris(&[])]), Err(Error::NotAnAgent));
        assert_eq!(peer_agent(&[]), Err(Error::NoCertificate));
        assert_eq!(peer_agent(&[CertificateDer::from(vec![0x30, 0x00])]), Err(Error::Malformed));
    }

    #[test]
    fn a_certificate_with_two_names_or_another_spelling_is_refused() {
        let name = uri(AGENT);
        assert!(peer_agent(&[with_uris(&[&name])]).is_ok());
        assert_eq!(peer_agent(&[with_uris(&[&name, &name])]), Err(Error::NotAnAgent));
        let upper = format!("{AGENT_URI}{}", AGENT.to_string().to_uppercase());
        let bare = format!("{AGENT_URI}{}", AGENT.to_string().replace('-', ""));
        assert_eq!(peer_agent(&[with_uris(&[&upper])]), Err(Error::NotAnAgent));
        assert_eq!(peer_agent(&[with_uris(&[&bare])]), Err(Error::NotAnAgent));
    }
}
