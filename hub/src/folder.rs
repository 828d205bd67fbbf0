//! The data folder: what lies where, who may use it, and that only one process does.
//!
//! ```text
//! D/hub.toml        settings
//! D/hub.sqlite      database (and its -wal and -shm)
//! D/keys/           see `keys`
//! D/lock            held by the process that uses the folder
//! D/run/            addresses and the administration socket of the running hub
//! ```

use rustix::process::geteuid;
use sitewarden_certs::secret_file;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The file with the settings. It is also what tells a hub's folder from any other.
pub const CONFIGURATION: &str = "hub.toml";
const DATABASE: &str = "hub.sqlite";
pub(crate) const KEYS: &str = "keys";
const LOCK: &str = "lock";
const RUN: &str = "run";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no hub in it.
    #[error("{0} holds no hub: run `sitewarden-hub init --data-dir {0} --admin-password-file FILE`")]
    NotInitialised(String),
    /// Another process has it.
    #[error("{0} is in use by another process")]
    InUse(String),
    /// It belongs to another user.
    #[error(
        "{path} belongs to user {owner}, and this process runs as user {me}: run it as the owner, or `chown -R {me} {path}`"
    )]
    Owner {
        /// The folder.
        path: String,
        /// Its owner's number.
        owner: u32,
        /// This process's user number.
        me: u32,
    },
    /// It cannot even be looked into.
    #[error("cannot look into {path}; run this as the folder's owner")]
    Closed {
        /// The folder.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nothing can be written into it.
    #[error("{path} cannot be written to; the hub needs a folder that it can write")]
    Unwritable {
        /// The folder.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder or file in it is open to others, or of the wrong kind.
    #[error(transparent)]
    Access(#[from] secret_file::Error),
}

/// A data folder that this process holds: nobody else can, until it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The kernel gives up the lock when this is closed, however the process ends.
    lock: File,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing alone is not enough: a child process that is just being started holds a copy until it runs its program.
        let _ = self.lock.unlock();
    }
}

impl Folder {
    /// Takes the folder of an initialised hub.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !is_hub(path)? {
            return Err(Error::NotInitialised(path.display().to_string()));
        }
        secret_file::check_folder(path)?;
        secret_file::check_folder(&path.join(KEYS))?;
        let owner = fs::metadata(path).map_err(|source| unwritable(path, source))?.uid();
        let me = geteuid().as_raw();
        if owner != me {
            return Err(Error::Owner { path: path.display().to_string(), owner, me });
        }
        let folder = Self::lock(path)?;
        secret_file::create_folder(&path.join(RUN))?;
        Ok(folder)
    }

    /// Takes a folder that holds no hub yet, or not all of one.
    ///
    /// # Errors
    /// [`Error::InUse`] or [`Error::Unwritable`].
    pub(crate) fn lock(path: &Path) -> Result<Self, Error> {
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK));
        let lock = lock.map_err(|source| unwritable(path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path.display().to_string())),
            Err(TryLockError::Error(source)) => Err(unwritable(path, source)),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the keys are.
    pub fn keys(&self) -> PathBuf {
        self.path.join(KEYS)
    }

    /// Where the database is.
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Where the database of a folder is that this process does not hold.
    pub(crate) fn database_of(path: &Path) -> PathBuf {
        path.join(DATABASE)
    }

    /// Whether a path within a data folder is the database, or of the process that uses it: no part of a backup's files.
    pub(crate) fn is_of_the_moment(inside: &Path) -> bool {
        let first = inside.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
        first.is_none_or(|first| first == RUN || first == LOCK || first.starts_with(DATABASE))
    }

    /// A file of the running hub, such as `https.addr`.
    pub fn run(&self, name: &str) -> PathBuf {
        self.path.join(RUN).join(name)
    }
}

/// Whether a folder holds a hub.
///
/// # Errors
/// [`Error::Closed`] if this cannot be seen.
pub fn is_hub(path: &Path) -> Result<bool, Error> {
    let closed = |source| Error::Closed { path: path.display().to_string(), source };
    path.join(CONFIGURATION).try_exists().map_err(closed)
}

fn unwritable(path: &Path, source: io::Error) -> Error {
    Error::Unwritable { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    fn hub_folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub");
        secret_file::create_folder(&path.join(KEYS)).unwrap();
        fs::write(path.join(CONFIGURATION), "").unwrap();
        (folder, path)
    }

    #[test]
    fn a_second_user_of_a_folder_is_refused_until_the_first_is_gone() {
        let (_folder, path) = hub_folder();
        let first = Folder::open(&path).unwrap();
        assert!(matches!(Folder::open(&path), Err(Error::InUse(_))));
        drop(first);
        assert!(Folder::open(&path).is_ok());
    }

    #[test]
    fn a_folder_without_a_hub_names_the_command_that_makes_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = Folder::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("run `sitewarden-hub init --data-dir"), "{error}");
    }

    #[test]
    fn a_folder_that_others_may_use_is_refused_with_the_command_that_mends_it() {
        let (_folder, path) = hub_folder();
        fs::set_permissions(path.join(KEYS), Permissions::from_mode(0o755)).unwrap();
        let error = Folder::open(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }
}
