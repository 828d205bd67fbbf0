//! The hub's side of a certificate request: believe the public key, and nothing else in it.

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SubjectPublicKeyInfo};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use x509_parser::{
    certification_request::X509CertificationRequest, oid_registry::OID_SIG_ECDSA_WITH_SHA256, prelude::FromDer,
};

/// The most bytes a request may have. Ours have about 210.
pub const MAX_REQUEST: usize = 4096;

/// Why a certificate request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a PKCS #10 request, cut, followed by more, or longer than [`MAX_REQUEST`].
    #[error("not a certificate request")]
    Malformed,
    /// Another kind of key than ECDSA P-256 with SHA-256.
    #[error("the certificate request's key is not an ECDSA P-256 key")]
    UnsupportedKey,
    /// The request is not signed with the key it asks a certificate for.
    #[error("the certificate request is not signed with its own key")]
    BadSignature,
}

/// The public key of a request whose signature shows that the sender holds its private half.
pub(crate) fn proven_key(csr_der: &[u8]) -> Result<SubjectPublicKeyInfo, Error> {
    if csr_der.len() > MAX_REQUEST {
        return Err(Error::Malformed);
    }
    let (rest, request) = X509CertificationRequest::from_der(csr_der).map_err(|_| Error::Malformed)?;
    if !rest.is_empty() {
        return Err(Error::Malformed);
    }
    let info = &request.certification_request_info;
    let key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw).map_err(|_| Error::UnsupportedKey)?;
    if key.algorithm() != &PKCS_ECDSA_P256_SHA256 || request.signature_algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256
    {
        return Err(Error::UnsupportedKey);
    }
    // Ring also checks here that the point is on the curve.
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.der_bytes())
        .verify(info.raw, &request.signature_value.data)
        .map_err(|_| Error::BadSignature)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest, request::TlsKey};
    use rcgen::{CertificateParams, KeyPair};

    #[test]
    fn the_key_that_signed_is_the_key_that_is_read() {
        let key = TlsKey::generate().unwrap();
        let proven = proven_key(&key.csr_der().unwrap()).unwrap();
        assert_eq!(digest::sha256(&[&proven.subject_public_key_info()]), key.digest());
    }

    #[test]
    fn a_request_with_a_broken_signature_is_refused() {
        let mut csr = TlsKey::generate().unwrap().csr_der().unwrap();
        *csr.last_mut().unwrap() ^= 1;
        assert_eq!(proven_key(&csr).unwrap_err(), Error::BadSignature);
    }

    #[test]
    fn no_altered_byte_gets_another_key_or_an_unsigned_request_through() {
        let key = TlsKey::generate().unwrap();
        let csr = key.csr_der().unwrap();
        let signed = X509CertificationRequest::from_der(&csr).unwrap().1.certification_request_info.raw;
        let begins = csr.windows(signed.len()).position(|window| window == signed).unwrap();
        for at in 0..csr.len() {
            let mut altered = csr.clone();
            altered[at] ^= 1;
            // The parser is lenient about the frame around what is signed; nothing is taken from that.
            match proven_key(&altered) {
                Ok(proven) => {
                    assert!(!(begins..begins + signed.len()).contains(&at), "byte {at} is signed");
                    assert_eq!(digest::sha256(&[&proven.subject_public_key_info()]), key.digest(), "byte {at}");
                }
                Err(_) => continue,
            }
        }
    }

    #[test]
    fn what_is_cut_or_followed_by_more_or_of_another_kind_is_refused() {
        let csr = TlsKey::generate().unwrap().csr_der().unwrap();
        assert_eq!(proven_key(&csr[..csr.len() - 1]).unwrap_err(), Error::Malformed);
        assert_eq!(proven_key(&[csr.as_slice(), &[0]].concat()).unwrap_err(), Error::Malformed);
        assert_eq!(proven_key(&vec![0x30; MAX_REQUEST + 1]).unwrap_err(), Error::Malformed);

        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let csr = CertificateParams::default().serialize_request(&ed25519).unwrap();
        assert_eq!(proven_key(csr.der()).unwrap_err(), Error::UnsupportedKey);
    }
}
