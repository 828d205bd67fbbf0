//! The site's own secret: what keeps secrets on disk unreadable without it, and signs this agent's access tokens.
//!
//! On disk: `identity/local.key`, 32 random bytes, 0600; made when it is first needed, never sent anywhere. Each use has
//! a key of its own, derived from it.

use crate::folder::Folder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use std::fmt;
use zeroize::Zeroizing;

const LENGTH: usize = 32;

/// The site's own secret.
#[derive(Clone)]
pub struct LocalKey(Zeroizing<[u8; LENGTH]>);

/// A secret as it lies on disk: base64 of nonce and ciphertext (ChaCha20-Poly1305).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

/// The key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// It is no key.
    #[error("identity/local.key is damaged; move it away, and set the API key and the webhook's secret again")]
    Damaged,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// A sealed secret cannot be opened: it was sealed with another key, or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored secret does not fit identity/local.key; set it again")]
pub struct NotOurs;

impl LocalKey {
    /// Reads the key of an enrolled agent, or makes it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(folder: &Folder) -> Result<Self, Error> {
        let path = folder.identity().join("local.key");
        if path.exists() {
            let bytes = secret_file::read(&path)?;
            let bytes: [u8; LENGTH] = bytes.as_slice().try_into().map_err(|_| Error::Damaged)?;
            return Ok(Self(Zeroizing::new(bytes)));
        }
        let mut bytes = Zeroizing::new([0; LENGTH]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| Error::Random)?;
        secret_file::write(&path, bytes.as_slice())?;
        Ok(Self(bytes))
    }

    /// A key for one use; `context` is a constant text that no other use has.
    pub fn derive(&self, context: &str) -> Zeroizing<[u8; LENGTH]> {
        Zeroizing::new(blake3::derive_key(context, self.0.as_slice()))
    }

    /// Makes a secret unreadable for whoever has not this key. `what` says what it is, and has to be said again to open.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn seal(&self, what: &str, secret: &str) -> Result<Sealed, Error> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| Error::Random)?;
        let mut text = secret.as_bytes().to_vec();
        let aad = Aad::from(what.as_bytes());
        let key = self.aead().ok_or(Error::Damaged)?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).map_err(|_| Error::Random)?;
        Ok(Sealed(STANDARD.encode([nonce.as_slice(), &text].concat())))
    }

    /// Reads a sealed secret.
    ///
    /// # Errors
    /// [`NotOurs`].
    pub fn open_sealed(&self, what: &str, sealed: &Sealed) -> Result<Zeroizing<String>, NotOurs> {
        let bytes = STANDARD.decode(&sealed.0).map_err(|_| NotOurs)?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(NotOurs)?;
        let mut text = Zeroizing::new(text.to_vec());
        let aad = Aad::from(what.as_bytes());
        let key = self.aead().ok_or(NotOurs)?;
        let opened =
            key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, text.as_mut_slice()).map_err(|_| NotOurs)?;
        str::from_utf8(opened).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| NotOurs)
    }

    fn aead(&self) -> Option<LessSafeKey> {
        let key = self.derive("sitewarden agent secrets 1");
        UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).ok().map(LessSafeKey::new)
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKey(…)")
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let temporary = tempfile::TempDir::new().unwrap();
        let folder = Folder::at(temporary.path());
        secret_file::create_folder(&folder.identity()).unwrap();
        (temporary, folder)
    }

    #[test]
    fn a_sealed_secret_is_opened_after_a_restart_and_shows_nothing_of_itself() {
        let (_temporary, folder) = folder();
        let sealed = LocalKey::open(&folder).unwrap().seal("api key", "swk_secret").unwrap();
        assert!(!serde_json::to_string(&sealed).unwrap().contains("secret"));
        let key = LocalKey::open(&folder).unwrap();
        assert_eq!(key.open_sealed("api key", &sealed).unwrap().as_str(), "swk_secret");
        assert_ne!(key.seal("api key", "swk_secret").unwrap(), sealed, "no nonce twice");
    }

    #[test]
    fn another_key_another_use_and_a_changed_text_open_nothing() {
        let ((_one, ours), (_two, theirs)) = (folder(), folder());
        let (ours, theirs) = (LocalKey::open(&ours).unwrap(), LocalKey::open(&theirs).unwrap());
        let sealed = ours.seal("api key", "swk_secret").unwrap();
        assert_eq!(theirs.open_sealed("api key", &sealed), Err(NotOurs));
        assert_eq!(ours.open_sealed("webhook", &sealed), Err(NotOurs));
        let mut changed = STANDARD.decode(&sealed.0).unwrap();
        changed[20] ^= 1;
        for wrong in [STANDARD.encode(changed), String::new(), "!".to_owned()] {
            assert_eq!(ours.open_sealed("api key", &Sealed(wrong)), Err(NotOurs));
        }
        assert_ne!(ours.derive("a"), ours.derive("b"));
    }
}
