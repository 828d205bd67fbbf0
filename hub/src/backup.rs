//! A backup of the whole hub in one file, made while it runs, and a hub made of one.
//!
//! Always true: a backup holds everything that is needed to come back (database, authority, keys, settings), of one moment
//! as far as the database goes; only its owner can read it, because whoever has it is the hub. A restore makes a new folder
//! beside the target and renames it into place as its last step; it never touches a folder that is in use.
//!
//! After a restore agents send again what the backup has not: each says at its next hello how far it is, and keeps what was
//! acknowledged for a while. Agents that were enrolled after the backup have to be enrolled again.

use crate::{
    folder::{self, CONFIGURATION, Folder},
    init,
    store::{self, KeptFile},
};
use sitewarden_certs::secret_file;
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};
use zeroize::Zeroizing;

/// The longest file that is kept beside the database, bytes: keys and settings have some hundreds.
const MAX_FILE: u64 = 1 << 20;
/// The most files.
const MAX_FILES: usize = 1_000;

/// Why there is no backup, or nothing was put back. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// The target of a restore cannot be used.
    #[error(transparent)]
    Target(#[from] init::Error),
    /// A file cannot be read or written.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A secret file cannot be used.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// There is more in the data folder than belongs there.
    #[error("{0} is no file of a hub (too large, or too many of them); move it elsewhere")]
    Strange(String),
    /// Others may read a backup.
    #[error("{0} can be read by others, and whoever has it is the hub: `chmod 600 {0}`")]
    Open(String),
    /// The file is no backup of a hub, or not a whole one.
    #[error("{0} is no whole backup of a hub")]
    NoBackup(String),
    /// The database refuses.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// What the process ends with: 2 for what was asked wrongly, 3 if there is no hub, 4 if it is in use, otherwise 1.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Folder(folder::Error::NotInitialised(_)) => 3,
            Self::Target(error) => error.exit_code(),
            Self::NoBackup(_) | Self::Open(_) | Self::Store(store::Error::Exists(_)) => 2,
            _ => 1,
        }
    }
}

/// Writes a backup of a hub, running or not, into a new file. Waits for the disk.
///
/// # Errors
/// Any of [`Error`]; no file is left then.
pub fn write(data_dir: &Path, file: &Path) -> Result<u64, Error> {
    if !folder::is_hub(data_dir)? {
        return Err(folder::Error::NotInitialised(data_dir.display().to_string()).into());
    }
    let kept = kept_files(data_dir)?;
    let written = store::back_up(&Folder::database_of(data_dir), file, &kept);
    if let Err(error) = written {
        if !matches!(error, store::Error::Exists(_) | store::Error::Missing(_)) {
            // Half of a backup is none.
            let _ = fs::remove_file(file);
        }
        return Err(error.into());
    }
    Ok(fs::metadata(file).map_err(failed("look at", file))?.len())
}

/// Makes a hub out of a backup, in a folder that does not exist or is empty. Waits for the disk.
///
/// # Errors
/// Any of [`Error`]; nothing has changed then.
pub fn restore(file: &Path, data_dir: &Path) -> Result<(), Error> {
    init::check_target(data_dir)?;
    let mode = fs::metadata(file).map_err(failed("look at", file))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::Open(file.display().to_string()));
    }
    let beside = init::Beside::make(data_dir)?;
    let kept = store::restore(file, &beside.folder().database()).map_err(|error| match error {
        store::Error::Damaged { .. } | store::Error::Database(_) => Error::NoBackup(file.display().to_string()),
        error => Error::Store(error),
    })?;
    if !kept.iter().any(|kept| kept.path == CONFIGURATION) {
        return Err(Error::NoBackup(file.display().to_string()));
    }
    for KeptFile { path, public, content } in &kept {
        let inside = Path::new(path);
        if !inside.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Error::NoBackup(file.display().to_string()));
        }
        let target = beside.folder().path().join(inside);
        if let Some(parent) = target.parent() {
            secret_file::create_folder(parent)?;
        }
        if *public { secret_file::write_public(&target, content)? } else { secret_file::write(&target, content)? }
    }
    Ok(beside.rename_to(data_dir)?)
}

/// Everything in the folder that is not of the moment: not the database, which is copied by itself, nor what only a running
/// hub has.
fn kept_files(data_dir: &Path) -> Result<Vec<KeptFile>, Error> {
    let (mut kept, mut waiting) = (Vec::new(), vec![data_dir.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).map_err(failed("look into", &folder))? {
            let path = entry.map_err(failed("look into", &folder))?.path();
            let inside = path.strip_prefix(data_dir).map_or_else(|_| PathBuf::new(), Path::to_path_buf);
            if Folder::is_of_the_moment(&inside) {
                continue;
            }
            let metadata = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
            if metadata.is_dir() {
                waiting.push(path);
                continue;
            }
            let strange = || Error::Strange(path.display().to_string());
            let name = inside.to_str().ok_or_else(strange)?.to_owned();
            if !metadata.is_file() || metadata.len() > MAX_FILE || kept.len() >= MAX_FILES {
                return Err(strange());
            }
            let mut content = Zeroizing::new(Vec::new());
            let file = File::open(&path).map_err(failed("read", &path))?;
            file.take(MAX_FILE).read_to_end(&mut content).map_err(failed("read", &path))?;
            kept.push(KeptFile { path: name, public: metadata.permissions().mode() & 0o044 != 0, content });
        }
    }
    Ok(kept)
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, path: path.display().to_string(), source }
}
