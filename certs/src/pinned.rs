//! Believing a hub for the first time: by the fingerprint of its authority, which the token carries.
//!
//! Always true: a hub is accepted only if it shows the very authority that was pinned, its own certificate is signed by
//! that authority directly, is a server's and in date, and names [`HUB_NAME`] or the address that was dialled. The
//! system's own trust store plays no part.

use crate::{HUB_NAME, fingerprint::Fingerprint, peer};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::{error::Error as StdError, io, sync::Arc};

/// How far [`is_wrong_ca`] follows an error's sources; no library nests them deeper.
const MAX_SOURCES: usize = 32;

/// Why a hub was not believed, where TLS has no word of its own for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Among the certificates shown is not the authority that the token names.
    #[error("the server is not the hub of this token: its authority is not the one with fingerprint {pinned}")]
    WrongCa {
        /// The authority that was expected.
        pinned: Fingerprint,
    },
    /// The certificate that was pinned may not sign others.
    #[error("the certificate that this token names is not that of an authority")]
    NotAnAuthority,
}

/// Whether an error, or any that it came from, says that the server has another authority than the one pinned.
///
/// Looks through `io::Error` and `rustls::Error`, which do not tell their inner error as a source.
pub fn is_wrong_ca(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    for _ in 0..MAX_SOURCES {
        let Some(error) = next else { return false };
        if let Some(found) = error.downcast_ref::<PinError>() {
            return matches!(found, PinError::WrongCa { .. });
        }
        next = inner(error);
    }
    false
}

fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    if let Some(Error::Other(OtherError(inner))) = error.downcast_ref::<Error>() {
        return Some(inner.as_ref());
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// Accepts servers of the one pinned authority.
#[derive(Debug)]
pub(crate) struct PinnedAuthority {
    pinned: Fingerprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedAuthority {
    pub(crate) fn new(pinned: Fingerprint, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { pinned, algorithms }
    }

    fn authority(&self, shown: &[CertificateDer<'_>]) -> Result<RootCertStore, Error> {
        let authority = shown
            .iter()
            .find(|certificate| Fingerprint::of(certificate) == self.pinned)
            .ok_or_else(|| other(PinError::WrongCa { pinned: self.pinned }))?;
        if !peer::certificate(authority).is_ok_and(|read| read.is_ca()) {
            return Err(other(PinError::NotAnAuthority));
        }
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        Ok(roots)
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let roots = self.authority(intermediates)?;
        let leaf = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &[], now, self.algorithms.all)?;
        let hub = ServerName::try_from(HUB_NAME).map_err(|_| CertificateError::NotValidForName)?;
        verify_server_name(&leaf, dialled).or_else(|_| verify_server_name(&leaf, &hub))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts any server: for what needs no secrecy and carries its own signatures.
#[derive(Debug)]
pub(crate) struct AnyServer {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyServer {
    pub(crate) const fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { algorithms }
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn other(error: PinError) -> Error {
    Error::Other(OtherError(Arc::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("a client library's error")]
    struct Wrapped(#[source] io::Error);

    #[test]
    fn a_wrong_authority_is_found_however_deep_a_library_wraps_it() {
        let wrong = || other(PinError::WrongCa { pinned: Fingerprint::of(b"ca") });
        assert!(is_wrong_ca(&wrong()));
        assert!(is_wrong_ca(&io::Error::other(wrong())));
        assert!(is_wrong_ca(&io::Error::other(Wrapped(io::Error::other(wrong())))));
    }

    #[test]
    fn other_faults_are_not_taken_for_it() {
        assert!(!is_wrong_ca(&other(PinError::NotAnAuthority)));
        assert!(!is_wrong_ca(&Error::InvalidCertificate(CertificateError::Expired)));
        assert!(!is_wrong_ca(&Wrapped(io::Error::from(io::ErrorKind::ConnectionRefused))));
    }
}
