//! The hub's secrets: made once by `init`, read at each start, wiped when dropped, never printed.
//!
//! ```text
//! keys/authority.pem      certificate of the hub's own authority (public)
//! keys/authority.key.pem  its private key: whoever has it can make agents
//! keys/signing.key        seed (32 bytes) of the Ed25519 key that signs receipts and snapshots
//! keys/store.key          secret (32 bytes) that protects what the database must be able to read back
//! keys/quic-reset.key     secret (32 bytes) by which a restarted hub tells agents that their connection is gone
//! keys/quic-token.key     secret (32 bytes) by which the hub knows the addresses that it has already checked
//! keys/sealing-N.key      see `sealing`
//! ```
//! The two for QUIC are kept because quinn would make new ones at each start, and then a restart costs every agent a
//! whole idle time-out.

mod sealing;

pub use sealing::{MAX_KEYS, SealingKeys};

use crate::store::StoreSecrets;
use sitewarden_certs::{
    authority::{self, Authority},
    secret_file,
};
use sitewarden_protocol::{signing::PrivateKey, time::UnixMillis};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

/// The file of the authority's certificate, PEM.
pub(crate) const AUTHORITY: &str = "authority.pem";
const AUTHORITY_KEY: &str = "authority.key.pem";
const SIGNING: &str = "signing.key";
const STORE: &str = "store.key";
const QUIC_RESET: &str = "quic-reset.key";
const QUIC_TOKEN: &str = "quic-token.key";

/// What the authority calls itself in its certificate.
const AUTHORITY_NAME: &str = "Sitewarden hub authority";

/// Thirty-two secret bytes; wiped when dropped.
pub type Secret = Zeroizing<[u8; 32]>;

/// Why the keys could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// A file does not hold what it should.
    #[error("{} must hold exactly 32 bytes; restore it from a backup", .0.display())]
    Length(PathBuf),
    /// The authority's files are not text.
    #[error("{} is not text; restore it from a backup", .0.display())]
    Text(PathBuf),
    /// The authority cannot be made or used.
    #[error("the hub's authority cannot be used")]
    Authority(#[from] authority::Error),
    /// There are as many sealing keys as there may be.
    #[error("there are {MAX_KEYS} sealing keys; remove the oldest from the folder of keys before making another")]
    TooManyKeys,
    /// The system's randomness failed.
    #[error("no random keys could be made")]
    Random(#[from] getrandom::Error),
}

/// All of a hub's secrets.
pub struct Keys {
    /// Issues certificates.
    pub authority: Authority,
    /// Signs receipts and snapshots.
    pub signing: PrivateKey,
    /// Protects what the database must be able to read back.
    pub store: Secret,
    /// Lets a restarted hub reset its old connections.
    pub quic_reset: Secret,
    /// Lets a restarted hub know the addresses it has checked.
    pub quic_token: Secret,
    /// Opens what agents sealed.
    pub sealing: Arc<SealingKeys>,
}

impl Keys {
    /// Makes new keys in an empty folder, on disk when this returns.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn create(folder: &Path, now: UnixMillis) -> Result<Self, Error> {
        secret_file::create_folder(folder)?;
        let authority = Authority::create(AUTHORITY_NAME, now)?;
        secret_file::write_public(&folder.join(AUTHORITY), authority.cert_pem().as_bytes())?;
        secret_file::write(&folder.join(AUTHORITY_KEY), authority.key_pem().as_bytes())?;
        for name in [SIGNING, STORE, QUIC_RESET, QUIC_TOKEN] {
            let mut secret = Secret::default();
            getrandom::fill(secret.as_mut_slice())?;
            secret_file::write(&folder.join(name), secret.as_slice())?;
        }
        Self::load(folder)
    }

    /// Reads the keys. A hub of an earlier version gets its first sealing key here.
    ///
    /// # Errors
    /// Any of [`Error`]; a file that others may read is refused.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            authority: authority(folder)?,
            signing: PrivateKey::from_seed(&*secret(folder, SIGNING)?),
            store: secret(folder, STORE)?,
            quic_reset: secret(folder, QUIC_RESET)?,
            quic_token: secret(folder, QUIC_TOKEN)?,
            sealing: Arc::new(SealingKeys::load(folder)?),
        })
    }
}

impl Keys {
    /// The store's part.
    pub(crate) fn store_secrets(&self) -> StoreSecrets {
        StoreSecrets { license_key: self.store.clone() }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("authority", &self.authority)
            .field("signing", &self.signing)
            .finish_non_exhaustive()
    }
}

fn authority(folder: &Path) -> Result<Authority, Error> {
    let (certificate, key) = (folder.join(AUTHORITY), folder.join(AUTHORITY_KEY));
    let certificate_pem = std::fs::read_to_string(&certificate).map_err(|source| secret_file::Error::Io {
        doing: "read",
        path: certificate,
        source,
    })?;
    let key_pem = secret_file::read(&key)?;
    let key_pem = std::str::from_utf8(&key_pem).map_err(|_| Error::Text(key))?;
    Ok(Authority::from_pem(&certificate_pem, key_pem)?)
}

fn secret(folder: &Path, name: &str) -> Result<Secret, Error> {
    let path = folder.join(name);
    let bytes = secret_file::read(&path)?;
    let mut secret = Secret::default();
    if bytes.len() != secret.len() {
        return Err(Error::Length(path));
    }
    secret.copy_from_slice(&bytes);
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_as_the_same_and_do_not_print() {
        let folder = tempfile::tempdir().unwrap();
        let made = Keys::create(&folder.path().join("keys"), UnixMillis(1_769_846_400_000)).unwrap();
        let read = Keys::load(&folder.path().join("keys")).unwrap();
        assert_eq!(read.signing.public(), made.signing.public());
        assert_eq!(read.authority.fingerprint(), made.authority.fingerprint());
        assert_eq!((&read.store, &read.quic_reset), (&made.store, &made.quic_reset));
        assert_ne!(read.quic_reset, read.quic_token);
        assert!(!format!("{read:?}").contains("store"));
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        Keys::create(&keys, UnixMillis(1_769_846_400_000)).unwrap();
        secret_file::write(&keys.join(SIGNING), b"short").unwrap();
        assert!(Keys::load(&keys).unwrap_err().to_string().contains("signing.key must hold exactly 32 bytes"));
    }
}
