//! What must be read back from the database, and must not be readable in its file.
//!
//! Licence keys are encrypted (ChaCha20-Poly1305, a random nonce each, bound to their licence) and looked up by a keyed
//! hash. Both keys are derived from one secret that is kept outside the database.

use super::error::Error;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sitewarden_protocol::id::LicenseId;
use std::fmt;
use zeroize::Zeroizing;

/// Secrets that are kept outside the database. Does not print; wiped when dropped.
#[derive(Clone)]
pub struct StoreSecrets {
    /// Protects licence keys: 32 random bytes.
    pub license_key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for StoreSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreSecrets(…)")
    }
}

impl StoreSecrets {
    /// Nonce, ciphertext and tag.
    pub(super) fn seal(&self, license: LicenseId, key: &str) -> Result<Vec<u8>, Error> {
        let nonce = random::<NONCE_LEN>()?;
        let mut text = key.as_bytes().to_vec();
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(license.as_bytes()), &mut text)
            .map_err(|_| Error::Damaged { what: "store key" })?;
        Ok([nonce.as_slice(), &text, tag.as_ref()].concat())
    }

    /// The key again, if it was sealed for this licence with this secret.
    pub(super) fn open(&self, license: LicenseId, sealed: &[u8]) -> Result<String, Error> {
        let damaged = || Error::Damaged { what: "license key" };
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let cipher = self.cipher()?;
        let text = cipher.open_in_place(nonce, Aad::from(license.as_bytes()), &mut rest).map_err(|_| damaged())?;
        String::from_utf8(text.to_vec()).map_err(|_| damaged())
    }

    /// By what a key is found; white space around it does not count.
    pub(super) fn lookup(&self, key: &str) -> [u8; 32] {
        let derived = blake3::derive_key("sitewarden hub license key lookup 1", self.license_key.as_slice());
        *blake3::keyed_hash(&derived, key.trim().as_bytes()).as_bytes()
    }

    fn cipher(&self) -> Result<LessSafeKey, Error> {
        let derived = blake3::derive_key("sitewarden hub license key encryption 1", self.license_key.as_slice());
        let key = UnboundKey::new(&CHACHA20_POLY1305, &derived).map_err(|_| Error::Damaged { what: "store key" })?;
        Ok(LessSafeKey::new(key))
    }
}

/// Random bytes from the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_for_its_license_and_secret_only() {
        let secrets = StoreSecrets { license_key: Zeroizing::new([1; 32]) };
        let (one, two) = (LicenseId::from_bytes([1; 16]), LicenseId::from_bytes([2; 16]));
        let sealed = secrets.seal(one, "KEY").unwrap();
        assert_eq!(secrets.open(one, &sealed).unwrap(), "KEY");
        assert!(secrets.open(two, &sealed).is_err());
        let other = StoreSecrets { license_key: Zeroizing::new([2; 32]) };
        assert!(other.open(one, &sealed).is_err());
        assert_ne!(other.lookup("KEY"), secrets.lookup("KEY"));
        assert_eq!(secrets.lookup(" KEY\n"), secrets.lookup("KEY"));
    }
}
