//! The hub's secrets: made once by `init`, read at each start, wiped when dropped, never printed.
//!
//! ```text
//! keys/authority….pem     see `authorities`
//! keys/signing….key       see `signing`
//! keys/store.key          secret (32 bytes) that protects what the database must be able to read back
//! keys/quic-reset.key     secret (32 bytes) by which a restarted hub tells agents that their connection is gone
//! keys/quic-token.key     secret (32 bytes) by which the hub knows the addresses that it has already checked
//! keys/sealing-N.key      see `sealing`
//! ```
//! The two for QUIC are kept because quinn would make new ones at each start, and then a restart costs every agent a
//! whole idle time-out.

mod authorities;
mod files;
mod sealing;
mod signing;

pub use authorities::{Authorities, MAX_AUTHORITIES, Numbered as Authority, roots_pem};
pub use sealing::{MAX_KEYS, SealingKeys};
pub use signing::{MAX_SIGNING_KEYS, Numbered as SigningKey, SigningKeys};

use crate::store::StoreSecrets;
use sitewarden_certs::{authority, secret_file};
use sitewarden_protocol::time::UnixMillis;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

const STORE: &str = "store.key";
const QUIC_RESET: &str = "quic-reset.key";
const QUIC_TOKEN: &str = "quic-token.key";

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
    /// There are as many authorities as there may be.
    #[error("{MAX_AUTHORITIES} authorities are in force; retire the oldest first")]
    TooManyAuthorities,
    /// There are as many signing keys as there may be.
    #[error("{MAX_SIGNING_KEYS} signing keys are kept, or too many were announced; retire the oldest first")]
    TooManySigningKeys,
    /// What is to be retired is all there is.
    #[error("there is no other {0}; make the next one first")]
    LastOne(&'static str),
    /// A file does not hold what it should.
    #[error("{} is damaged; restore it from a backup", .0.display())]
    Damaged(PathBuf),
    /// The system's randomness failed.
    #[error("no random keys could be made")]
    Random(#[from] getrandom::Error),
}

/// All of a hub's secrets.
pub struct Keys {
    /// Issue certificates.
    pub authorities: Arc<Authorities>,
    /// Sign receipts and snapshots.
    pub signing: Arc<SigningKeys>,
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
        Authorities::create(folder, now)?;
        SigningKeys::create(folder)?;
        for name in [STORE, QUIC_RESET, QUIC_TOKEN] {
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
            authorities: Arc::new(Authorities::load(folder)?),
            signing: Arc::new(SigningKeys::load(folder)?),
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
            .field("authorities", &self.authorities)
            .field("signing", &self.signing)
            .finish_non_exhaustive()
    }
}

/// A file that must be there is not.
fn unusable(path: &Path) -> Error {
    let source = std::io::Error::from(std::io::ErrorKind::NotFound);
    secret_file::Error::Io { doing: "read", path: path.to_owned(), source }.into()
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
        assert_eq!(read.authorities.serving().fingerprint(), made.authorities.serving().fingerprint());
        assert_eq!((&read.store, &read.quic_reset), (&made.store, &made.quic_reset));
        assert_ne!(read.quic_reset, read.quic_token);
        assert!(!format!("{read:?}").contains("store"));
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        Keys::create(&keys, UnixMillis(1_769_846_400_000)).unwrap();
        secret_file::write(&keys.join("signing.key"), b"short").unwrap();
        assert!(Keys::load(&keys).unwrap_err().to_string().contains("signing.key must hold exactly 32 bytes"));
    }
}
