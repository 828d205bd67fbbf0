//! The keys that agents seal batches to.
//!
//! ```text
//! keys/sealing-N.key  seed (32 bytes) of key number N, 1 and up; the highest is what agents seal to from now on
//! ```
//! Always true: a key is on disk before anyone is told of it, and none is ever removed here: what was sealed to an old one
//! may still lie in a journal, or on a stick, for as long as a plant is without a line.

use super::{Error, Secret, files, secret};
use sitewarden_certs::secret_file;
use sitewarden_protocol::{sealing::OpeningKey, snapshot::SealingKey};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// The most keys of a hub. One a week for ninety years; it bounds what is read at a start.
pub const MAX_KEYS: usize = 4_680;

/// All sealing keys of a hub. Does not print them.
pub struct SealingKeys {
    folder: PathBuf,
    /// By number; never empty.
    keys: RwLock<Arc<[OpeningKey]>>,
    /// Held while a key is made.
    making: Mutex<()>,
    /// Whether the first one was made just now: nobody has been told of it.
    pub(crate) is_new: bool,
}

impl SealingKeys {
    /// Reads them; makes the first if there is none, as in the folder of a hub of an earlier version.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Length`], [`Error::Random`] or [`Error::TooManyKeys`].
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let mut numbers = files::numbers(folder, "sealing", ".key")?;
        let is_new = numbers.is_empty();
        if is_new {
            make(folder, 1)?;
            numbers.push(1);
        }
        Ok(Self {
            folder: folder.to_owned(),
            keys: RwLock::new(read(folder, &numbers)?),
            making: Mutex::default(),
            is_new,
        })
    }

    /// Makes the next one, which is the one that agents seal to when this returns. The old ones go on opening. Waits for
    /// the disk.
    ///
    /// # Errors
    /// As [`SealingKeys::load`]; nothing has changed then.
    pub fn rotate(&self) -> Result<SealingKey, Error> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let mut numbers: Vec<u32> = self.all().iter().map(OpeningKey::id).collect();
        if numbers.len() >= MAX_KEYS {
            return Err(Error::TooManyKeys);
        }
        let next = numbers.last().map_or(1, |last| last.saturating_add(1));
        make(&self.folder, next)?;
        numbers.push(next);
        let keys = read(&self.folder, &numbers)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(self.newest())
    }

    /// What agents seal to.
    pub fn newest(&self) -> SealingKey {
        // Never empty; a key of zeros, which nothing can be sealed to, stands for what cannot be.
        self.all().last().map_or(SealingKey { id: 0, public: [0; 32] }, OpeningKey::public)
    }

    /// All of them, by number.
    pub fn all(&self) -> Arc<[OpeningKey]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealingKeys(newest {})", self.newest().id)
    }
}

fn name(number: u32) -> String {
    format!("sealing-{number}.key")
}

fn make(folder: &Path, number: u32) -> Result<(), Error> {
    let mut seed = Secret::default();
    getrandom::fill(seed.as_mut_slice())?;
    Ok(secret_file::write(&folder.join(name(number)), seed.as_slice())?)
}

fn read(folder: &Path, numbers: &[u32]) -> Result<Arc<[OpeningKey]>, Error> {
    let key = |number: &u32| Ok(OpeningKey::from_seed(*number, &*secret(folder, &name(*number))?));
    numbers.iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sitewarden_protocol::{id::AgentId, sealing};
    use std::fs;

    const PLACE: sealing::Place = sealing::Place { agent: AgentId::from_bytes([7; 16]), epoch: 1, first: 1, last: 2 };

    #[test]
    fn a_new_key_is_sealed_to_and_the_old_ones_still_open_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let keys = SealingKeys::load(folder.path()).unwrap();
        assert!(keys.is_new);
        let old = sealing::seal(&keys.newest(), &PLACE, b"before", [1; 32]).unwrap();
        let first = keys.newest();
        let second = keys.rotate().unwrap();
        assert_eq!((first.id, second.id, keys.newest()), (1, 2, second));
        drop(keys);
        let keys = SealingKeys::load(folder.path()).unwrap();
        assert!(!keys.is_new);
        assert_eq!(keys.newest(), second);
        assert_eq!(keys.all()[0].open(&PLACE, &old).unwrap(), b"before");
    }

    #[test]
    fn what_else_lies_in_the_folder_is_no_key_and_a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        drop(SealingKeys::load(folder.path()).unwrap());
        for stray in ["sealing-2.key.bak", "sealing-.key", "sealing-02.key", "sealing-x.key", "sealing-0.key"] {
            fs::write(folder.path().join(stray), "x").unwrap();
        }
        assert_eq!(SealingKeys::load(folder.path()).unwrap().newest().id, 1);
        fs::set_permissions(folder.path().join("sealing-1.key"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(SealingKeys::load(folder.path()).unwrap_err().to_string().contains("chmod 600"));
    }
}
