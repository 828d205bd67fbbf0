//! The hub's authorities: the one it shows itself with, and during a rollover the one that follows.
//!
//! ```text
//! keys/authority.pem      certificate of number 1 (public); of the later ones authority-N.pem
//! keys/authority.key.pem  its private key: whoever has it can make agents; of the later ones authority-N.key.pem
//! ```
//! Always true: the oldest that has its key is what the hub shows itself with, and what proofs of agents are vouched for by:
//! everybody who ever heard of this hub knows it. Agents' own certificates come from the newest from the moment it is
//! made. Both are in every trust bundle, until the oldest is retired: then its key is removed, its certificate stays.

use super::{Error, files, unusable};
use sitewarden_certs::{authority::Authority, peer::KeyId, secret_file};
use sitewarden_protocol::time::UnixMillis;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};
use tokio::sync::watch;

/// Authorities that may be in force at the same time: one that ends, one that begins, and one for an emergency meanwhile.
pub const MAX_AUTHORITIES: usize = 3;

/// What an authority calls itself in its certificate; the later ones have their number behind.
const NAME: &str = "Sitewarden hub authority";

/// One authority and its number, from 1.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// Which.
    pub number: u32,
    /// The authority.
    pub authority: Arc<Authority>,
}

/// The authorities in force.
pub struct Authorities {
    folder: PathBuf,
    /// By number.
    all: RwLock<InForce>,
    /// Held while one is made or retired.
    making: Mutex<()>,
    /// Grows with each change.
    changes: watch::Sender<u64>,
}

#[derive(Clone)]
struct InForce {
    oldest: Numbered,
    /// By number; empty but during a rollover.
    later: Vec<Numbered>,
}

impl InForce {
    fn newest(&self) -> &Numbered {
        self.later.last().unwrap_or(&self.oldest)
    }
}

impl Authorities {
    /// Makes the first one.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub(super) fn create(folder: &Path, now: UnixMillis) -> Result<(), Error> {
        make(folder, 1, now)
    }

    /// Reads those that have their key.
    ///
    /// # Errors
    /// If one cannot be read, or there is none.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            folder: folder.to_owned(),
            all: RwLock::new(read(folder)?),
            making: Mutex::default(),
            changes: watch::Sender::new(0),
        })
    }

    /// What the hub shows itself with, and what tokens and proofs rely on.
    pub fn serving(&self) -> Arc<Authority> {
        self.now().oldest.authority
    }

    /// What signs agents' certificates.
    pub fn issuing(&self) -> Arc<Authority> {
        Arc::clone(&self.now().newest().authority)
    }

    /// All in force, by number.
    pub fn all(&self) -> Vec<Numbered> {
        let InForce { oldest, later } = self.now();
        std::iter::once(oldest).chain(later).collect()
    }

    /// The certificates (DER) that agents are to trust, the newest first.
    pub fn roots(&self) -> Vec<Vec<u8>> {
        self.all().iter().rev().map(|one| one.authority.cert_der().to_vec()).collect()
    }

    /// The number of the authority that signs with this key.
    pub fn number_of(&self, issuer: KeyId) -> Option<u32> {
        self.all().iter().find(|one| one.authority.key_id() == Some(issuer)).map(|one| one.number)
    }

    /// Grows with each change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Makes the next one, which signs agents' certificates when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`Error::TooManyAuthorities`], or what making and writing it says; nothing has changed then.
    pub fn rotate(&self, now: UnixMillis) -> Result<Numbered, Error> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.all().len() >= MAX_AUTHORITIES {
            return Err(Error::TooManyAuthorities);
        }
        make(&self.folder, next(&self.folder)?, now)?;
        self.reread()?;
        Ok(self.now().newest().clone())
    }

    /// Removes the key of the oldest: the hub shows itself with the next from now on. Waits for the disk.
    ///
    /// # Errors
    /// [`Error::LastOne`] if there is no other, or what the disk says; nothing has changed then.
    pub fn retire(&self) -> Result<Numbered, Error> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let InForce { oldest, later } = self.now();
        if later.is_empty() {
            return Err(Error::LastOne("authority"));
        }
        files::remove(&self.folder, &key_name(oldest.number))?;
        self.reread()?;
        Ok(oldest)
    }

    fn reread(&self) -> Result<(), Error> {
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = read(&self.folder)?;
        self.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    fn now(&self) -> InForce {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

/// The certificates (PEM) of all authorities in force, the oldest first: what apps and programs are to trust.
///
/// # Errors
/// If the folder cannot be read, or holds none.
pub fn roots_pem(folder: &Path) -> Result<String, Error> {
    let InForce { oldest, later } = read(folder)?;
    Ok(std::iter::once(oldest).chain(later).map(|one| one.authority.cert_pem()).collect())
}

fn certificate_name(number: u32) -> String {
    if number == 1 { "authority.pem".to_owned() } else { format!("authority-{number}.pem") }
}

fn key_name(number: u32) -> String {
    if number == 1 { "authority.key.pem".to_owned() } else { format!("authority-{number}.key.pem") }
}

/// The key last: a certificate without one counts as retired.
fn make(folder: &Path, number: u32, now: UnixMillis) -> Result<(), Error> {
    let name = if number == 1 { NAME.to_owned() } else { format!("{NAME} {number}") };
    let authority = Authority::create(&name, now)?;
    secret_file::write_public(&folder.join(certificate_name(number)), authority.cert_pem().as_bytes())?;
    Ok(secret_file::write(&folder.join(key_name(number)), authority.key_pem().as_bytes())?)
}

/// Also past those that are retired.
fn next(folder: &Path) -> Result<u32, Error> {
    let last = files::numbers(folder, "authority", ".pem")?.last().copied();
    Ok(last.map_or(1, |last| last.saturating_add(1)))
}

fn read(folder: &Path) -> Result<InForce, Error> {
    let numbers = files::numbers(folder, "authority", ".key.pem")?;
    let mut all = numbers.into_iter().map(|number| {
        let authority = Arc::new(one(&folder.join(certificate_name(number)), &folder.join(key_name(number)))?);
        Ok::<_, Error>(Numbered { number, authority })
    });
    let oldest = match all.next() {
        Some(oldest) => oldest?,
        None => return Err(unusable(&folder.join(key_name(1)))),
    };
    Ok(InForce { oldest, later: all.collect::<Result<_, _>>()? })
}

fn one(certificate: &Path, key: &Path) -> Result<Authority, Error> {
    let certificate_pem = fs::read_to_string(certificate).map_err(|source| secret_file::Error::Io {
        doing: "read",
        path: certificate.to_owned(),
        source,
    })?;
    let key_pem = secret_file::read(key)?;
    let key_pem = std::str::from_utf8(&key_pem).map_err(|_| Error::Text(key.to_owned()))?;
    Ok(Authority::from_pem(&certificate_pem, key_pem)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_769_846_400_000);

    #[test]
    fn a_rollover_overlaps_until_the_old_one_is_retired_also_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        Authorities::create(folder.path(), NOW).unwrap();
        let authorities = Authorities::load(folder.path()).unwrap();
        let first = authorities.serving().fingerprint();
        assert!(matches!(authorities.retire(), Err(Error::LastOne(_))));

        let second = authorities.rotate(NOW).unwrap();
        let authorities = Authorities::load(folder.path()).unwrap();
        assert_eq!((second.number, authorities.serving().fingerprint()), (2, first));
        assert_eq!(authorities.issuing().fingerprint(), second.authority.fingerprint());
        assert_eq!(authorities.roots()[0], second.authority.cert_der().to_vec());
        assert_eq!(authorities.number_of(second.authority.key_id().unwrap()), Some(2));
        assert_eq!(roots_pem(folder.path()).unwrap().matches("BEGIN CERTIFICATE").count(), 2);

        assert_eq!(authorities.retire().unwrap().number, 1);
        let authorities = Authorities::load(folder.path()).unwrap();
        assert_eq!(authorities.serving().fingerprint(), second.authority.fingerprint());
        assert_eq!(authorities.roots().len(), 1);
        assert_eq!(authorities.rotate(NOW).unwrap().number, 3);
    }

    #[test]
    fn no_more_than_three_are_in_force() {
        let folder = tempfile::tempdir().unwrap();
        Authorities::create(folder.path(), NOW).unwrap();
        let authorities = Authorities::load(folder.path()).unwrap();
        let mut changes = authorities.watch();
        authorities.rotate(NOW).unwrap();
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        authorities.rotate(NOW).unwrap();
        assert!(matches!(authorities.rotate(NOW), Err(Error::TooManyAuthorities)));
    }
}
