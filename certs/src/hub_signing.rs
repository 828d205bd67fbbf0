//! How a machine without a line comes to believe a hub: the authority that its token names says, in a certificate, which
//! key the hub signs with. Over a line the connection itself shows that.
//!
//! Always true: such a certificate names one extended key usage, [`TOKEN_SIGNING`], and one URI, [`HUB_URI`], which no
//! agent's certificate has.

use crate::{
    authority::{Authority, Error, TOKEN_SIGNING},
    fingerprint::Fingerprint,
    peer,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use sitewarden_protocol::{signing::PublicKey, time::UnixMillis};
use x509_parser::prelude::{GeneralName, X509Certificate};

/// The name in the certificate of a hub's signing key.
pub const HUB_URI: &str = "urn:sitewarden:hub-signing";

/// The object identifier of Ed25519 (RFC 8410).
const ED25519: &str = "1.3.101.112";

/// Whatever made the answer, it was not the hub that made the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the authority that this token names does not vouch for the key that signed the answer")]
pub struct NotTheHub;

impl Authority {
    /// A certificate (DER) that `key` is what the hub of this authority signs with.
    ///
    /// # Errors
    /// [`Error::Time`] past the authority's end or with an impossible clock, otherwise failing randomness.
    pub fn issue_hub_signing(&self, key: &PublicKey, now: UnixMillis) -> Result<Vec<u8>, Error> {
        self.issue_for_signer(key, "Sitewarden hub signing key", HUB_URI, crate::authority::HUB_LIFE, now)
    }
}

/// The key that the hub signs with, if an authority with the pinned fingerprint says so. When it said so does not matter:
/// the token that names the authority is good for days only.
///
/// # Errors
/// [`NotTheHub`], with no hint at what was wrong.
pub fn hub_signing_key(certificate: &[u8], authority: &[u8], pinned: Fingerprint) -> Result<PublicKey, NotTheHub> {
    if Fingerprint::of(authority) != pinned {
        return Err(NotTheHub);
    }
    let authority = peer::certificate(authority).map_err(|_| NotTheHub)?;
    let certificate = peer::certificate(certificate).map_err(|_| NotTheHub)?;
    let signer = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &authority.public_key().subject_public_key.data);
    signer.verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data).map_err(|_| NotTheHub)?;
    if !names_a_hub(&certificate) {
        return Err(NotTheHub);
    }
    let key = certificate.public_key();
    if key.algorithm.algorithm.to_id_string() != ED25519 {
        return Err(NotTheHub);
    }
    let bytes = key.subject_public_key.data.as_ref().try_into().map_err(|_| NotTheHub)?;
    PublicKey::from_bytes(bytes).map_err(|_| NotTheHub)
}

fn names_a_hub(certificate: &X509Certificate<'_>) -> bool {
    let names = certificate.subject_alternative_name().ok().flatten();
    let named = names.is_some_and(|names| names.value.general_names.as_slice() == [GeneralName::URI(HUB_URI)]);
    let usage = certificate.extended_key_usage().ok().flatten();
    let wanted = TOKEN_SIGNING.map(|arc| arc.to_string()).join(".");
    let for_tokens = usage.is_some_and(|usage| usage.value.other.iter().any(|use_of| use_of.to_id_string() == wanted));
    named && for_tokens && !certificate.is_ca()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sitewarden_protocol::id::{AgentId, SiteId};
    use sitewarden_protocol::signing::PrivateKey;

    const NOW: UnixMillis = UnixMillis(1_769_846_400_000);

    fn authority() -> Authority {
        Authority::create("Test authority", NOW).unwrap()
    }

    #[test]
    fn the_pinned_authority_vouches_for_the_hubs_key_and_no_other_does() {
        let (hub, other) = (authority(), authority());
        let key = PrivateKey::from_seed(&[1; 32]).public();
        let certificate = hub.issue_hub_signing(&key, NOW).unwrap();
        assert_eq!(hub_signing_key(&certificate, hub.cert_der(), hub.fingerprint()), Ok(key));
        assert_eq!(hub_signing_key(&certificate, hub.cert_der(), other.fingerprint()), Err(NotTheHub));
        assert_eq!(hub_signing_key(&certificate, other.cert_der(), other.fingerprint()), Err(NotTheHub));
        let forged = other.issue_hub_signing(&key, NOW).unwrap();
        assert_eq!(hub_signing_key(&forged, hub.cert_der(), hub.fingerprint()), Err(NotTheHub));
    }

    #[test]
    fn an_agents_certificate_does_not_make_it_a_hub() {
        let hub = authority();
        let key = PrivateKey::from_seed(&[1; 32]).public();
        let (agent, site) = (AgentId::from_bytes([7; 16]), SiteId::from_bytes([8; 16]));
        let certificate = hub.issue_signing(&key, agent, site, NOW).unwrap();
        assert_eq!(hub_signing_key(&certificate, hub.cert_der(), hub.fingerprint()), Err(NotTheHub));
    }

    #[test]
    fn no_flipped_bit_and_no_cut_passes() {
        let hub = authority();
        let key = PrivateKey::from_seed(&[1; 32]).public();
        let certificate = hub.issue_hub_signing(&key, NOW).unwrap();
        for bit in 0..certificate.len() * 8 {
            let mut bad = certificate.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let believed = hub_signing_key(&bad, hub.cert_der(), hub.fingerprint());
            // ASN.1 around the signed part has more than one form for the same thing.
            assert!(believed.is_err() || believed == Ok(key), "bit {bit}");
        }
        for length in 0..certificate.len() {
            assert!(hub_signing_key(&certificate[..length], hub.cert_der(), hub.fingerprint()).is_err());
        }
    }
}
