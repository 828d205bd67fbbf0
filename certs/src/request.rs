//! The agent's side of getting a certificate: a key that never leaves it, and a request signed with that key.

use crate::digest;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use std::fmt;
use zeroize::Zeroizing;

/// Why a key could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text holds no private key in PEM.
    #[error("not a private key in PEM (PKCS #8)")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// The key is damaged, or not one on the P-256 curve.
    #[error("not a usable ECDSA P-256 private key")]
    Key(#[source] rcgen::Error),
    /// The system's randomness failed while a key was made.
    #[error("the key could not be made")]
    Generate(#[source] rcgen::Error),
    /// The request could not be signed.
    #[error("the certificate request could not be signed")]
    Sign(#[source] rcgen::Error),
}

/// An ECDSA P-256 key for TLS. Its own copy of the private key is wiped when dropped, and `Debug` does not show it.
pub struct TlsKey(Zeroizing<KeyPair>);

impl TlsKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`Error::Generate`] if the system gives no randomness.
    pub fn generate() -> Result<Self, Error> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self::holding).map_err(Error::Generate)
    }

    /// Reads a key as [`Self::pem`] writes it.
    ///
    /// # Errors
    /// [`Error::Pem`] if there is no PKCS #8 key in the text, [`Error::Key`] if it is not a P-256 key.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let der = Zeroizing::new(PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())?);
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).map(Self::holding).map_err(Error::Key)
    }

    /// The private key in PEM (PKCS #8), to be kept in a secret file.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// A PKCS #10 request in DER, signed with the key.
    ///
    /// It names nobody: the hub takes only the public key out of it, and decides the name itself.
    ///
    /// # Errors
    /// [`Error::Sign`] if the system gives no randomness.
    pub fn csr_der(&self) -> Result<Vec<u8>, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(self.pair()).map_err(Error::Sign)?;
        Ok(request.der().to_vec())
    }

    /// SHA-256 of the public key's SubjectPublicKeyInfo: the name of this key in the hub's standing list.
    pub fn digest(&self) -> [u8; 32] {
        digest::sha256(&[&self.pair().subject_public_key_info()])
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }

    fn holding(pair: KeyPair) -> Self {
        Self(Zeroizing::new(pair))
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_file_as_the_same_key() {
        let key = TlsKey::generate().unwrap();
        let again = TlsKey::from_pem(&key.pem()).unwrap();
        assert_eq!(key.digest(), again.digest());
        assert_ne!(key.digest(), TlsKey::generate().unwrap().digest());
    }

    #[test]
    fn another_kind_of_key_is_refused() {
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert!(matches!(TlsKey::from_pem(&ed25519.serialize_pem()), Err(Error::Key(_))));
        assert!(matches!(TlsKey::from_pem("nonsense"), Err(Error::Pem(_))));
    }

    #[test]
    fn debug_does_not_show_the_key() {
        assert_eq!(format!("{:?}", TlsKey::generate().unwrap()), "TlsKey(hidden)");
    }
}
