//! The TLS configurations of hubs and agents.
//!
//! Always true: ring does the cryptography, named here and not taken from the process; nothing is resumed and no data
//! is sent early where clients are known by certificate, because a resumed session skips the certificate check.

use crate::{
    fingerprint::Fingerprint,
    pinned::{AnyServer, PinnedAuthority},
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::Resumption,
    crypto::CryptoProvider,
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::sync::Arc;

pub use crate::peer::{PeerIdentity, peer_agent};
pub use crate::pinned::{PinError, is_wrong_ca};

/// What agent and hub agree on in the handshake of the sync protocol (ALPN).
pub const SYNC_ALPN: &[u8] = b"sitewarden/1";

/// What an agent asks to upgrade to on the HTTPS carrier (the `Upgrade` field of HTTP/1.1).
pub const SYNC_UPGRADE: &str = "sitewarden/1";

/// What browsers, API clients and the HTTPS carrier speak (ALPN).
const HTTP_ALPN: &[u8] = b"http/1.1";

const SYNC_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13];
const HTTPS_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Why a configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate or a key is not PEM.
    #[error("a certificate or key is not in PEM")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// A text holds no certificate, or no authority was given to check the other side with.
    #[error("no certificate was given")]
    NoCertificate,
    /// Certificate and key do not belong together, or cannot be used.
    #[error("the certificates and the key cannot be used for TLS")]
    Tls(#[from] rustls::Error),
    /// The authorities cannot be used to check clients with.
    #[error("the authorities cannot be used to check clients")]
    Verifier(#[from] VerifierBuilderError),
}

/// For the hub's sync port: TLS 1.3, and every client shows a certificate from one of `client_roots` (DER).
///
/// Hand it to quinn as it is, through its `QuicServerConfig::try_from`.
///
/// # Errors
/// If the texts cannot be read, key and certificate do not match, or there is no usable root.
pub fn sync_server(chain_pem: &str, key_pem: &str, client_roots: &[impl AsRef<[u8]>]) -> Result<ServerConfig, Error> {
    let clients = WebPkiClientVerifier::builder_with_provider(root_store(client_roots)?.into(), provider()).build()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(SYNC_VERSIONS)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain(chain_pem)?, key(key_pem)?)?;
    config.alpn_protocols = vec![SYNC_ALPN.to_vec()];
    resume_nothing(&mut config);
    Ok(config)
}

/// For the hub's HTTPS port: TLS 1.2 and 1.3, HTTP/1.1. Anyone may connect; a client that shows a certificate must show
/// one from one of `client_roots` (DER), as agents on the HTTPS carrier do.
///
/// Nothing is resumed for browsers either: a resumed session would bring a certificate along that was checked long ago.
///
/// # Errors
/// If the texts cannot be read, key and certificate do not match, or there is no usable root.
pub fn https_server(chain_pem: &str, key_pem: &str, client_roots: &[impl AsRef<[u8]>]) -> Result<ServerConfig, Error> {
    let agents = WebPkiClientVerifier::builder_with_provider(root_store(client_roots)?.into(), provider())
        .allow_unauthenticated()
        .build()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(HTTPS_VERSIONS)?
        .with_client_cert_verifier(agents)
        .with_single_cert(chain(chain_pem)?, key(key_pem)?)?;
    config.alpn_protocols = vec![HTTP_ALPN.to_vec()];
    resume_nothing(&mut config);
    Ok(config)
}

fn resume_nothing(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
}

/// For an enrolled agent: TLS 1.3 with its own certificate; the hub's must be from one of `roots` (DER).
///
/// Connect to the name [`crate::HUB_NAME`], whatever the address.
///
/// # Errors
/// If the key cannot be read or does not match the certificate, or there is no usable root.
pub fn sync_client(roots: &[impl AsRef<[u8]>], cert_der: &[u8], key_pem: &str) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(SYNC_VERSIONS)?
        .with_root_certificates(root_store(roots)?)
        .with_client_auth_cert(vec![CertificateDer::from(cert_der.to_vec())], key(key_pem)?)?;
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![SYNC_ALPN.to_vec()];
    Ok(config)
}

/// The same for the HTTPS carrier.
///
/// # Errors
/// As [`sync_client`].
pub fn https_client(roots: &[impl AsRef<[u8]>], cert_der: &[u8], key_pem: &str) -> Result<ClientConfig, Error> {
    let mut config = sync_client(roots, cert_der, key_pem)?;
    config.alpn_protocols = vec![HTTP_ALPN.to_vec()];
    Ok(config)
}

/// For an agent that knows of its hub only what the token says: TLS 1.3, and the hub must show the authority with this
/// fingerprint. Whether that was the fault is told by [`is_wrong_ca`].
///
/// No ALPN is set: HTTP client libraries set their own, and some panic if there is one.
///
/// # Errors
/// Only if rustls and its provider do not fit together.
pub fn enrolment_client(ca: Fingerprint) -> Result<ClientConfig, Error> {
    let provider = provider();
    let pinned = PinnedAuthority::new(ca, provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(SYNC_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// For an agent whose certificate is over, or whose hub came to another authority meanwhile: TLS 1.3 with whoever answers.
///
/// Only for what is signed by itself in both directions and secret in neither: renewal.
///
/// # Errors
/// Only if rustls and its provider do not fit together.
pub fn renewal_client() -> Result<ClientConfig, Error> {
    let provider = provider();
    let anybody = AnyServer::new(provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(SYNC_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anybody))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() { Err(Error::NoCertificate) } else { Ok(chain) }
}

fn key(pem: &str) -> Result<PrivateKeyDer<'static>, Error> {
    Ok(PrivateKeyDer::from_pem_slice(pem.as_bytes())?)
}

fn root_store(roots: &[impl AsRef<[u8]>]) -> Result<RootCertStore, Error> {
    if roots.is_empty() {
        return Err(Error::NoCertificate);
    }
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(CertificateDer::from(root.as_ref().to_vec()))?;
    }
    Ok(store)
}
