//! Certificates for agents' signing keys: with them an app can tell a genuine agent's proof from a false one's, without
//! asking the hub.
//!
//! Always true: such a certificate is good for signed tokens and nothing else. It names one extended key usage,
//! [`TOKEN_SIGNING`], which no TLS stack takes for a client's or a server's; with none at all it would be taken for both.
//! Its one URI is the site's, so that it cannot be read as an agent's TLS certificate either.

use super::{Authority, Error, SIGNING_LIFE, leaf};
use rcgen::{ExtendedKeyUsagePurpose, SanType, SubjectPublicKeyInfo};
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    signing::PublicKey,
    time::UnixMillis,
};
use std::time::Duration;

/// id-kp-jwt (RFC 9509): the key verifies signatures of JSON web tokens.
pub const TOKEN_SIGNING: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 37];

/// What the site's name begins with, in the one URI of such a certificate.
pub const SITE_URI: &str = "urn:sitewarden:site:";

/// How a SubjectPublicKeyInfo of Ed25519 begins (RFC 8410); the 32 bytes of the key follow.
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl Authority {
    /// A certificate (DER) that `key` is the signing key of `agent` at `site`, good for [`SIGNING_LIFE`]. That the agent holds
    /// the private half is for the caller to know; enrolment proves it.
    ///
    /// # Errors
    /// [`Error::Time`] past the authority's end or with an impossible clock, otherwise failing randomness.
    pub fn issue_signing(
        &self,
        key: &PublicKey,
        agent: AgentId,
        site: SiteId,
        now: UnixMillis,
    ) -> Result<Vec<u8>, Error> {
        self.issue_for_signer(key, &agent.to_string(), &format!("{SITE_URI}{site}"), SIGNING_LIFE, now)
    }

    /// A certificate for a key that signs, with one name and one URI.
    pub(crate) fn issue_for_signer(
        &self,
        key: &PublicKey,
        name: &str,
        uri: &str,
        life: Duration,
        now: UnixMillis,
    ) -> Result<Vec<u8>, Error> {
        let key = SubjectPublicKeyInfo::from_der(&[&ED25519[..], key.as_bytes()].concat())?;
        let validity = self.validity(life, now)?;
        let mut params = leaf(name, ExtendedKeyUsagePurpose::Other(TOKEN_SIGNING.to_vec()), validity)?;
        params.subject_alt_names.push(SanType::URI(uri.to_owned().try_into()?));
        Ok(params.signed_by(&key, &self.issuer()?)?.der().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer;
    use rustls_pki_types::CertificateDer;
    use sitewarden_protocol::signing::PrivateKey;
    use x509_parser::prelude::GeneralName;

    const NOW: UnixMillis = UnixMillis(1_769_846_400_000);
    const AGENT: AgentId = AgentId::from_bytes([7; 16]);
    const SITE: SiteId = SiteId::from_bytes([8; 16]);

    #[test]
    fn it_names_agent_site_and_key_and_is_for_tokens_only() {
        let authority = Authority::create("Test authority", NOW).unwrap();
        let key = PrivateKey::from_seed(&[1; 32]).public();
        let certificate = authority.issue_signing(&key, AGENT, SITE, NOW).unwrap();
        let read = peer::certificate(&certificate).unwrap();
        assert_eq!(read.subject().to_string(), format!("CN={AGENT}"));
        assert_eq!(read.public_key().subject_public_key.data.as_ref(), key.as_bytes());
        let names = &read.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(names.as_slice(), [GeneralName::URI(&format!("{SITE_URI}{SITE}"))]);
        let usage = read.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && !usage.key_cert_sign() && !read.is_ca());
        let role = read.extended_key_usage().unwrap().unwrap().value;
        assert!(!role.any && !role.server_auth && !role.client_auth);
        assert_eq!(role.other.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1.3.6.1.5.5.7.3.37"]);
        assert_eq!(peer::not_after(&read), NOW.after(SIGNING_LIFE));
        assert_eq!(peer::peer_agent(&[CertificateDer::from(certificate)]), Err(peer::Error::NotAnAgent));
    }

    #[test]
    fn it_does_not_outlast_its_authority() {
        let authority = Authority::create("Test authority", NOW).unwrap();
        let key = PrivateKey::from_seed(&[1; 32]).public();
        let late = authority.issue_signing(&key, AGENT, SITE, authority.expires());
        assert!(matches!(late, Err(Error::Time)));
    }
}
