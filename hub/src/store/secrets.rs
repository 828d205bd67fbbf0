//! What must be read back from the database, and must not be readable in its file.
//!
//! Licence keys and webhooks' secrets are encrypted (ChaCha20-Poly1305, a random nonce each, bound to what they are of);
//! licence keys are looked up by a keyed hash. All keys are derived from one secret that is kept outside the database.

use super::error::Error;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sitewarden_protocol::id::LicenseId;
use std::fmt;
use zeroize::Zeroizing;

/// What keys are derived for.
const LICENSE_KEYS: &str = "sitewarden hub license key encryption 1";
const WEBHOOK_SECRETS: &str = "sitewarden hub webhook secret encryption 1";
const ANSWERS: &str = "sitewarden hub idempotent answer encryption 1";

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
    /// A licence's key, encrypted.
    pub(super) fn seal(&self, license: LicenseId, key: &str) -> Result<Vec<u8>, Error> {
        self.encrypt(LICENSE_KEYS, license.as_bytes(), key)
    }

    /// The key again, if it was sealed for this licence with this secret.
    pub(super) fn open(&self, license: LicenseId, sealed: &[u8]) -> Result<String, Error> {
        let text = self.decrypt(LICENSE_KEYS, license.as_bytes(), sealed);
        text.map(|text| text.to_string()).ok_or(Error::Damaged { what: "license key" })
    }

    /// What a webhook is signed with, encrypted.
    pub(super) fn seal_webhook(&self, webhook: i64, secret: &str) -> Result<Vec<u8>, Error> {
        self.encrypt(WEBHOOK_SECRETS, &webhook.to_be_bytes(), secret)
    }

    /// The secret again, if it was sealed for this webhook.
    pub(super) fn open_webhook(&self, webhook: i64, sealed: &[u8]) -> Result<Zeroizing<String>, Error> {
        let text = self.decrypt(WEBHOOK_SECRETS, &webhook.to_be_bytes(), sealed);
        text.ok_or(Error::Damaged { what: "webhook secret" })
    }

    /// An answer that may hold a key, encrypted for the digest of the request's own key.
    pub(super) fn seal_answer(&self, key: &[u8; 32], answer: &str) -> Result<Vec<u8>, Error> {
        self.encrypt(ANSWERS, key, answer)
    }

    /// The answer again.
    pub(super) fn open_answer(&self, key: &[u8; 32], sealed: &[u8]) -> Result<Zeroizing<String>, Error> {
        self.decrypt(ANSWERS, key, sealed).ok_or(Error::Damaged { what: "idempotent answer" })
    }

    /// By what a key is found; white space around it does not count.
    pub(super) fn lookup(&self, key: &str) -> [u8; 32] {
        let derived = blake3::derive_key("sitewarden hub license key lookup 1", self.license_key.as_slice());
        *blake3::keyed_hash(&derived, key.trim().as_bytes()).as_bytes()
    }

    /// Nonce, ciphertext and tag.
    fn encrypt(&self, purpose: &'static str, of: &[u8], text: &str) -> Result<Vec<u8>, Error> {
        let nonce = random::<NONCE_LEN>()?;
        let mut text = text.as_bytes().to_vec();
        let unusable = || Error::Damaged { what: "store key" };
        let tag = self
            .cipher(purpose)
            .ok_or_else(unusable)?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(of), &mut text)
            .map_err(|_| unusable())?;
        Ok([nonce.as_slice(), &text, tag.as_ref()].concat())
    }

    fn decrypt(&self, purpose: &'static str, of: &[u8], sealed: &[u8]) -> Option<Zeroizing<String>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let text = self.cipher(purpose)?.open_in_place(nonce, Aad::from(of), &mut rest).ok()?;
        str::from_utf8(text).ok().map(|text| Zeroizing::new(text.to_owned()))
    }

    fn cipher(&self, purpose: &'static str) -> Option<LessSafeKey> {
        let derived = Zeroizing::new(blake3::derive_key(purpose, self.license_key.as_slice()));
        UnboundKey::new(&CHACHA20_POLY1305, derived.as_slice()).ok().map(LessSafeKey::new)
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

    #[test]
    fn a_sealed_secret_opens_for_its_webhook_only_and_is_no_key() {
        let secrets = StoreSecrets { license_key: Zeroizing::new([1; 32]) };
        let sealed = secrets.seal_webhook(1, "whsec_x").unwrap();
        assert_eq!(*secrets.open_webhook(1, &sealed).unwrap(), "whsec_x");
        assert!(secrets.open_webhook(2, &sealed).is_err());
        assert!(secrets.open(LicenseId::from_bytes([0; 16]), &sealed).is_err());
    }
}
