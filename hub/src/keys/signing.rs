//! The keys that the hub signs receipts and snapshots with.
//!
//! ```text
//! keys/signing.key          seed (32 bytes) of number 1; of the later ones signing-N.key
//! keys/signing-N.announced  key N, signed by key N-1 (public); never removed, so that the chain stays whole
//! ```
//! Always true: the newest signs, and agents hear of it under the key before, in front of anything that it signed. Agents of
//! before announcements cannot follow, so for them the oldest that is kept goes on signing. Retiring removes the oldest.

use super::{Error, Secret, files, secret, unusable};
use sitewarden_certs::secret_file;
use sitewarden_protocol::{
    announcement::{self, MAX_CHAIN},
    codec,
    message::RENEWAL_SINCE,
    signing::{PrivateKey, PublicKey},
    time::UnixMillis,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// Signing keys that are kept at the same time.
pub const MAX_SIGNING_KEYS: usize = 8;

/// One key and its number, from 1.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// Which.
    pub number: u32,
    /// The key.
    pub key: Arc<PrivateKey>,
}

/// The signing keys that are kept, and how they follow each other.
pub struct SigningKeys {
    folder: PathBuf,
    kept: RwLock<Kept>,
    /// Held while one is made or retired.
    making: Mutex<()>,
}

#[derive(Clone)]
struct Kept {
    oldest: Numbered,
    /// By number.
    later: Vec<Numbered>,
    /// By number, those of retired keys included.
    chain: Arc<[announcement::Signed]>,
}

impl SigningKeys {
    /// Makes the first one.
    ///
    /// # Errors
    /// If there is no randomness or it cannot be written.
    pub(super) fn create(folder: &Path) -> Result<(), Error> {
        make(folder, 1).map(drop)
    }

    /// Reads those that are kept.
    ///
    /// # Errors
    /// If one cannot be read, or there is none.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        Ok(Self { folder: folder.to_owned(), kept: RwLock::new(read(folder)?), making: Mutex::default() })
    }

    /// What signs from now on.
    pub fn newest(&self) -> Numbered {
        let Kept { oldest, later, .. } = self.now();
        later.into_iter().next_back().unwrap_or(oldest)
    }

    /// The public half of what signs from now on.
    pub fn public(&self) -> PublicKey {
        self.newest().key.public()
    }

    /// What signs for an agent that speaks this protocol version.
    pub fn for_version(&self, version: u16) -> Numbered {
        if version >= RENEWAL_SINCE { self.newest() } else { self.now().oldest }
    }

    /// All that are kept, by number.
    pub fn all(&self) -> Vec<Numbered> {
        let Kept { oldest, later, .. } = self.now();
        std::iter::once(oldest).chain(later).collect()
    }

    /// The public halves of those that are kept, the newest first.
    pub fn trusted(&self) -> Vec<PublicKey> {
        self.all().iter().rev().map(|one| one.key.public()).collect()
    }

    /// How the keys follow each other, from the first on.
    pub fn chain(&self) -> Arc<[announcement::Signed]> {
        self.now().chain
    }

    /// Makes the next one and announces it under the one before; it signs when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`Error::TooManySigningKeys`], or what making and writing it says; nothing has changed then.
    pub fn rotate(&self, now: UnixMillis) -> Result<Numbered, Error> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.newest();
        if self.all().len() >= MAX_SIGNING_KEYS || self.chain().len() >= MAX_CHAIN {
            return Err(Error::TooManySigningKeys);
        }
        let number = last.number.saturating_add(1);
        let seed = random()?;
        let announced = announcement::Signed::make(number, PrivateKey::from_seed(&seed).public(), now, &last.key);
        // The key last: an announcement of a key that is not there is passed over, and written anew.
        secret_file::write_public(&self.folder.join(announced_name(number)), &codec::encode(&announced))?;
        secret_file::write(&self.folder.join(key_name(number)), seed.as_slice())?;
        self.reread()?;
        Ok(self.newest())
    }

    /// Removes the oldest. Waits for the disk.
    ///
    /// # Errors
    /// [`Error::LastOne`] if there is no other, or what the disk says; nothing has changed then.
    pub fn retire(&self) -> Result<Numbered, Error> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { oldest, later, .. } = self.now();
        if later.is_empty() {
            return Err(Error::LastOne("signing key"));
        }
        files::remove(&self.folder, &key_name(oldest.number))?;
        self.reread()?;
        Ok(oldest)
    }

    fn reread(&self) -> Result<(), Error> {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = read(&self.folder)?;
        Ok(())
    }

    fn now(&self) -> Kept {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

pub(super) fn key_name(number: u32) -> String {
    if number == 1 { "signing.key".to_owned() } else { format!("signing-{number}.key") }
}

fn announced_name(number: u32) -> String {
    format!("signing-{number}.announced")
}

fn random() -> Result<Secret, Error> {
    let mut seed = Secret::default();
    getrandom::fill(seed.as_mut_slice())?;
    Ok(seed)
}

fn make(folder: &Path, number: u32) -> Result<(), Error> {
    Ok(secret_file::write(&folder.join(key_name(number)), random()?.as_slice())?)
}

fn read(folder: &Path) -> Result<Kept, Error> {
    let numbers = files::numbers(folder, "signing", ".key")?;
    let newest = numbers.last().copied().unwrap_or_default();
    let mut all = numbers.into_iter().map(|number| {
        let key = Arc::new(PrivateKey::from_seed(&*secret(folder, &key_name(number))?));
        Ok::<_, Error>(Numbered { number, key })
    });
    let oldest = match all.next() {
        Some(oldest) => oldest?,
        None => return Err(unusable(&folder.join(key_name(1)))),
    };
    let later = all.collect::<Result<_, _>>()?;
    let chain = (2..=newest).map(|number| announced(&folder.join(announced_name(number)))).collect::<Result<_, _>>()?;
    Ok(Kept { oldest, later, chain })
}

fn announced(path: &Path) -> Result<announcement::Signed, Error> {
    let bytes = std::fs::read(path).map_err(|source| secret_file::Error::Io {
        doing: "read",
        path: path.to_owned(),
        source,
    })?;
    codec::decode(&bytes).map_err(|_| Error::Damaged(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_769_846_400_000);

    #[test]
    fn the_chain_leads_from_any_key_to_the_newest_also_after_retirements_and_restarts() {
        let folder = tempfile::tempdir().unwrap();
        SigningKeys::create(folder.path()).unwrap();
        let keys = SigningKeys::load(folder.path()).unwrap();
        let first = keys.public();
        assert!(matches!(keys.retire(), Err(Error::LastOne(_))));
        let second = keys.rotate(NOW).unwrap();
        let third = keys.rotate(NOW).unwrap();
        assert_eq!((second.number, third.number, keys.public()), (2, 3, third.key.public()));
        assert_eq!(keys.for_version(2).key.public(), first);
        assert_eq!(keys.retire().unwrap().number, 1);

        let keys = SigningKeys::load(folder.path()).unwrap();
        assert_eq!(keys.trusted(), [third.key.public(), second.key.public()]);
        assert_eq!(keys.for_version(2).number, 2);
        let mut known = vec![first];
        assert!(announcement::follow(&mut known, &keys.chain()));
        assert_eq!(known[0], third.key.public());
    }

    #[test]
    fn an_announcement_whose_key_was_never_written_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        SigningKeys::create(folder.path()).unwrap();
        let keys = SigningKeys::load(folder.path()).unwrap();
        keys.rotate(NOW).unwrap();
        std::fs::remove_file(folder.path().join("signing-2.key")).unwrap();
        let keys = SigningKeys::load(folder.path()).unwrap();
        assert_eq!((keys.newest().number, keys.chain().len()), (1, 0));
        let again = keys.rotate(NOW).unwrap();
        assert!(announcement::follow(&mut vec![keys.all()[0].key.public()], &keys.chain()));
        assert_eq!(again.number, 2);
    }
}
