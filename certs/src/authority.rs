//! The hub's own certificate authority: it makes every certificate in a fleet, and only those.
//!
//! Always true: the authority signs leaves and nothing else (path length 0); a leaf is good for one role, server,
//! client or token signer, and never outlasts the authority; an agent's leaf holds the name that the hub chose, never one it was asked
//! for. Revocation is the hub's standing list of key digests, not a CRL.

use crate::{
    HUB_NAME, csr, digest,
    fingerprint::Fingerprint,
    peer,
    request::{self, TlsKey},
    validity::{DAY, Validity},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::{CertificateDer, DnsName, pem::PemObject};
use sitewarden_protocol::{id::AgentId, time::UnixMillis};
use std::{fmt, net::IpAddr, time::Duration};
use zeroize::Zeroizing;

mod signing;

pub use crate::csr::{Error as RequestError, MAX_REQUEST};
pub use signing::{SITE_URI, TOKEN_SIGNING};

/// How long an authority lives: 20 years, longer than any plant is expected to stay offline.
pub const AUTHORITY_LIFE: Duration = DAY.saturating_mul(20 * 365 + 5);

/// How long a hub's certificate lives: 397 days, the most that browsers take from a server. The hub renews it itself.
pub const HUB_LIFE: Duration = DAY.saturating_mul(397);

/// How long an agent's certificate lives where the hub is not set otherwise: 90 days. The agent renews it itself, also
/// after its end; whether it may come in is decided by its standing at the hub, for every session and batch.
pub const AGENT_LIFE: Duration = DAY.saturating_mul(90);

/// How long the certificate of a signing key lives: ten years. It comes with each snapshot, and has to outlast the longest
/// time that a plant is without a line.
pub const SIGNING_LIFE: Duration = DAY.saturating_mul(3_652);

/// The most characters in an authority's name (X.520, upper bound of a common name).
pub const MAX_NAME: usize = 64;

/// Why an authority could not be made or read, or would not issue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An authority's name is empty, over [`MAX_NAME`] characters, or holds control characters.
    #[error("the authority's name must have 1 to {MAX_NAME} printable characters")]
    Name,
    /// The text holds no certificate in PEM.
    #[error("not a certificate in PEM")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// The certificate cannot be read, or is not one that may sign others.
    #[error("the certificate is not that of an authority")]
    NotAnAuthority,
    /// Certificate and key do not belong together.
    #[error("the authority's key is not the one in its certificate")]
    KeyMismatch,
    /// The authority's own key, or the hub's, could not be made or read.
    #[error("the key cannot be used")]
    Key(#[from] request::Error),
    /// Neither a DNS name nor an IP address.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    Hostname(String),
    /// The agent's request was not taken.
    #[error("the certificate request was refused")]
    Request(#[from] csr::Error),
    /// The authority is at its end, or the clock is outside the years 1970 to 9999.
    #[error("no certificate can be valid now: the authority has expired, or the clock is wrong")]
    Time,
    /// The system's randomness failed.
    #[error("no random serial number could be made")]
    Random,
    /// The certificate could not be encoded or signed.
    #[error("the certificate could not be made")]
    Sign(#[from] rcgen::Error),
}

/// A hub's private certificate authority, with its key.
pub struct Authority {
    certificate: CertificateDer<'static>,
    key: TlsKey,
    expires: UnixMillis,
}

/// What a hub serves TLS with.
pub struct IssuedHub {
    /// The hub's certificate, then the authority's, in PEM.
    pub chain_pem: String,
    /// The private key in PEM (PKCS #8); a secret.
    pub key_pem: Zeroizing<String>,
    /// From when it holds.
    pub not_before: UnixMillis,
    /// Until when it holds.
    pub not_after: UnixMillis,
}

/// What an agent gets for its request. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedAgent {
    /// The agent's certificate.
    pub cert_der: Vec<u8>,
    /// From when it holds; a day before its making.
    pub not_before: UnixMillis,
    /// Until when it holds.
    pub not_after: UnixMillis,
    /// SHA-256 of its SubjectPublicKeyInfo: the key of the hub's standing list.
    pub key_digest: [u8; 32],
}

impl Authority {
    /// A new authority with a new ECDSA P-256 key, good for [`AUTHORITY_LIFE`].
    ///
    /// # Errors
    /// [`Error::Name`] for an unusable name, [`Error::Time`] for an impossible clock, otherwise failing randomness.
    pub fn create(name: &str, now: UnixMillis) -> Result<Self, Error> {
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(Error::Name);
        }
        let validity = Validity::starting(now, AUTHORITY_LIFE).ok_or(Error::Time)?;
        let key = TlsKey::generate()?;
        let mut params = blank(name, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(key.pair())?.into();
        Ok(Self { certificate, key, expires: validity.not_after() })
    }

    /// The authority that [`Self::cert_pem`] and [`Self::key_pem`] wrote.
    ///
    /// # Errors
    /// If either text cannot be read, the certificate may not sign others, or the key is not its own.
    pub fn from_pem(cert_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let certificate = CertificateDer::from_pem_slice(cert_pem.as_bytes())?;
        let key = TlsKey::from_pem(key_pem)?;
        let read = peer::certificate(&certificate).map_err(|_| Error::NotAnAuthority)?;
        if !read.is_ca() {
            return Err(Error::NotAnAuthority);
        }
        if read.public_key().raw != key.pair().subject_public_key_info() {
            return Err(Error::KeyMismatch);
        }
        let expires = peer::not_after(&read);
        Ok(Self { certificate, key, expires })
    }

    /// The authority's certificate in PEM; public.
    pub fn cert_pem(&self) -> String {
        pem(&self.certificate)
    }

    /// The authority's private key in PEM (PKCS #8); the greatest secret of a fleet.
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.key.pem()
    }

    /// The authority's certificate; public.
    pub fn cert_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What enrolment tokens name the authority by.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// By what the certificates that it signs name it.
    pub fn key_id(&self) -> Option<peer::KeyId> {
        peer::key_id(&peer::certificate(&self.certificate).ok()?)
    }

    /// Until when the authority holds.
    pub const fn expires(&self) -> UnixMillis {
        self.expires
    }

    /// A server certificate with a new key, for these DNS names and IP addresses and always for [`HUB_NAME`],
    /// `localhost`, `127.0.0.1` and `::1`. Good for [`HUB_LIFE`].
    ///
    /// # Errors
    /// [`Error::Hostname`] for what is neither (wildcards are not), [`Error::Time`] past the authority's end.
    pub fn issue_hub(&self, hostnames: &[String], now: UnixMillis) -> Result<IssuedHub, Error> {
        let validity = self.validity(HUB_LIFE, now)?;
        let key = TlsKey::generate()?;
        let mut params = leaf(HUB_NAME, ExtendedKeyUsagePurpose::ServerAuth, validity)?;
        let always = [HUB_NAME, "localhost", "127.0.0.1", "::1"];
        for hostname in always.into_iter().chain(hostnames.iter().map(String::as_str)) {
            let name = subject_name(hostname)?;
            if !params.subject_alt_names.contains(&name) {
                params.subject_alt_names.push(name);
            }
        }
        let certificate = params.signed_by(key.pair(), &self.issuer()?)?;
        Ok(IssuedHub {
            chain_pem: certificate.pem() + &self.cert_pem(),
            key_pem: key.pem(),
            not_before: validity.not_before(),
            not_after: validity.not_after(),
        })
    }

    /// A client certificate for `agent`, with the public key of its request, good for `life` from `now` on.
    ///
    /// Only the key is taken from the request, once its signature has shown that the sender holds the private half.
    /// The name is `urn:sitewarden:agent:<uuid>`.
    ///
    /// # Errors
    /// [`Error::Request`] for a request that is malformed, of another kind of key or not signed with its own key;
    /// [`Error::Time`] past the authority's end.
    pub fn issue_agent(
        &self,
        csr_der: &[u8],
        agent: AgentId,
        life: Duration,
        now: UnixMillis,
    ) -> Result<IssuedAgent, Error> {
        let key = csr::proven_key(csr_der)?;
        let validity = self.validity(life, now)?;
        let mut params = leaf(&agent.to_string(), ExtendedKeyUsagePurpose::ClientAuth, validity)?;
        params.subject_alt_names.push(SanType::URI(peer::uri(agent).try_into()?));
        let certificate = params.signed_by(&key, &self.issuer()?)?;
        Ok(IssuedAgent {
            cert_der: certificate.der().to_vec(),
            not_before: validity.not_before(),
            not_after: validity.not_after(),
            key_digest: digest::sha256(&[&key.subject_public_key_info()]),
        })
    }

    fn validity(&self, life: Duration, now: UnixMillis) -> Result<Validity, Error> {
        Validity::starting(now, life).and_then(|validity| validity.ending_by(self.expires)).ok_or(Error::Time)
    }

    fn issuer(&self) -> Result<Issuer<'static, &rcgen::KeyPair>, Error> {
        Ok(Issuer::from_ca_cert_der(&self.certificate, self.key.pair())?)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl fmt::Debug for IssuedHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedHub").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// A certificate in PEM.
fn pem(certificate: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (at, character) in STANDARD.encode(certificate).chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + "\n-----END CERTIFICATE-----\n"
}

fn blank(common_name: &str, validity: Validity) -> Result<CertificateParams, Error> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| Error::Random)?;
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    validity.apply(&mut params);
    Ok(params)
}

fn leaf(common_name: &str, role: ExtendedKeyUsagePurpose, validity: Validity) -> Result<CertificateParams, Error> {
    let mut params = blank(common_name, validity)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![role];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn subject_name(hostname: &str) -> Result<SanType, Error> {
    if let Ok(address) = hostname.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let name = DnsName::try_from(hostname).map_err(|_| Error::Hostname(hostname.chars().take(64).collect()))?;
    Ok(SanType::DnsName(name.as_ref().to_ascii_lowercase().try_into()?))
}

#[cfg(test)]
mod tests;
