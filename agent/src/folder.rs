//! The data folder: where each thing lies, and who may use it.
//!
//! ```text
//! agent.toml            settings (optional)
//! identity/             keys, certificate and names from enrolment; 0600
//! journal/ quarantine/  the queue of records
//! state/                snapshot, users, checkpoint, clock, fingerprint; each replaced whole
//! run/                  http.addr, agent.sock; only while it serves
//! lock                  held by the process that uses the folder
//! ```

use sitewarden_certs::secret_file;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A data folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process uses it.
    #[error("{0} is in use by another sitewarden-agent")]
    InUse(PathBuf),
    /// There is no enrolled agent in it.
    #[error("{0} holds no enrolled agent; enrol it with: sitewarden-agent enroll --data-dir {0} --token TOKEN")]
    NotEnrolled(PathBuf),
    /// It belongs to another user, whose service could not read what we would leave in it.
    #[error("{path} belongs to user {owner}, not to {us}; run the command as that user, such as: sudo -u '#{owner}' sitewarden-agent …", path = .path.display())]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
        /// Our number.
        us: u32,
    },
    /// It can be read or written by others, or not by us.
    #[error(transparent)]
    Secret(#[from] secret_file::Error),
    /// The file system refused something.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it answered.
        source: std::io::Error,
    },
}

/// Held while a process uses the folder.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock lasts as long as the descriptor")] File);

impl Folder {
    /// The folder at a path, whatever is there.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `agent.toml`.
    pub fn config(&self) -> PathBuf {
        self.0.join("agent.toml")
    }

    /// The folder of keys and names.
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity")
    }

    /// The keys of an enrolment whose answer has not come.
    pub fn pending_identity(&self) -> PathBuf {
        self.0.join("identity.pending")
    }

    /// The journal's folder.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// A file of the state folder.
    pub fn state(&self, name: &str) -> PathBuf {
        self.0.join("state").join(name)
    }

    /// A file of the run folder.
    pub fn run(&self, name: &str) -> PathBuf {
        self.0.join("run").join(name)
    }

    /// Takes the folder for this process.
    ///
    /// # Errors
    /// [`Error::InUse`] if another has it; [`Error::Secret`] if others may read it.
    pub fn lock(&self) -> Result<Lock, Error> {
        secret_file::check_folder(&self.0)?;
        let path = self.0.join("lock");
        let io = |source| Error::Io { path: path.clone(), source };
        let (owner, us) = (fs::metadata(&self.0).map_err(io)?.uid(), rustix::process::geteuid().as_raw());
        if owner != us {
            return Err(Error::Owner { path: self.0.clone(), owner, us });
        }
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(self.0.clone())),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Makes sure that there is an enrolled agent.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`].
    pub fn check_enrolled(&self) -> Result<(), Error> {
        if self.identity().exists() || self.has_answer() { Ok(()) } else { Err(Error::NotEnrolled(self.0.clone())) }
    }

    /// Whether a pending identity is whole, and only has to take its place.
    pub fn has_answer(&self) -> bool {
        self.pending_identity().join("certificate.der").exists()
    }

    /// Makes a folder inside for this user only, unless it is there.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn make(&self, name: &str) -> Result<(), Error> {
        let path = self.0.join(name);
        if path.exists() { Ok(secret_file::check_folder(&path)?) } else { Ok(secret_file::create_folder(&path)?) }
    }

    /// Removes what a process leaves in `run/`, so that nobody takes it for one that serves.
    pub fn clear_run(&self) {
        for name in ["http.addr", "agent.sock"] {
            // Not there is as good as removed.
            drop(fs::remove_file(self.run(name)));
        }
    }
}
