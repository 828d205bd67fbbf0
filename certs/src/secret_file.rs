//! Files and folders that only their owner may read, written so that a power cut leaves the old content or the new.
//!
//! A write goes to a file beside the target (`.NAME.RANDOM.tmp`), is synced, renamed over the target, and the folder is
//! synced. A process killed in between may leave that file behind: with the same mode as the target, and never read.

use ring::rand::{SecureRandom, SystemRandom};
use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The most bytes that [`read`] takes from a file (1 MiB). Keys and certificates have a few thousand.
pub const MAX_FILE: u64 = 1 << 20;

const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;
const FOLDER: u32 = 0o700;
const GROUP_AND_OTHERS: u32 = 0o077;

/// Why a secret could not be written, or was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system said no.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried, such as `write`.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is open to others.
    #[error("{} holds a secret and others may use it (mode {mode:04o}): run `chmod 600 {}`", path.display(), quoted(path))]
    LooseFile {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The folder is open to others.
    #[error("{} holds secrets and others may use it (mode {mode:04o}): run `chmod 700 {}`", path.display(), quoted(path))]
    LooseFolder {
        /// Which folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Something of another kind is in its place.
    #[error("{} is not a {expected}", path.display())]
    Kind {
        /// Where.
        path: PathBuf,
        /// `file` or `folder`.
        expected: &'static str,
    },
    /// The file has more than [`MAX_FILE`] bytes.
    #[error("{} is longer than {MAX_FILE} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
}

/// Writes a file with mode 0600, whole or not at all, and on disk when this returns.
///
/// # Errors
/// [`Error::Io`]; the target is then as it was, unless only syncing the folder failed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, bytes, SECRET)
}

/// The same with mode 0644, for certificates and what else anyone may read.
///
/// # Errors
/// As [`write()`].
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, bytes, PUBLIC)
}

/// Reads a file that only its owner may read; its bytes are wiped when dropped.
///
/// # Errors
/// [`Error::LooseFile`] with the command that mends it, [`Error::Kind`] for what is no file, [`Error::TooLong`], or
/// [`Error::Io`].
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Asked before opening, because opening a pipe would wait for a writer; asked again of what was opened.
    check_file(path, &fs::metadata(path).map_err(io_error("read", path))?)?;
    let file = File::open(path).map_err(io_error("read", path))?;
    let metadata = file.metadata().map_err(io_error("read", path))?;
    check_file(path, &metadata)?;

    // Room for all of it at once, and to see the end: a buffer that grows leaves copies of the secret behind.
    let room = usize::try_from(metadata.len().min(MAX_FILE)).unwrap_or_default() + 64;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Makes a folder with mode 0700, and those above it that lack, each on disk when this returns.
///
/// A folder that is there already is checked, not changed.
///
/// # Errors
/// [`Error::LooseFolder`] or [`Error::Kind`] for what is there already, or [`Error::Io`].
pub fn create_folder(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(FOLDER).create(path) {
        Ok(()) => sync_folder(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_folder(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent(path) != path && !parent(path).exists() => {
            create_folder(parent(path))?;
            create_folder(path)
        }
        Err(error) => Err(io_error("create", path)(error)),
    }
}

/// Checks that only its owner may use a folder.
///
/// # Errors
/// [`Error::LooseFolder`] with the command that mends it, [`Error::Kind`] for what is no folder, or [`Error::Io`].
pub fn check_folder(path: &Path) -> Result<(), Error> {
    let metadata = fs::metadata(path).map_err(io_error("look at", path))?;
    if !metadata.is_dir() {
        return Err(Error::Kind { path: path.to_owned(), expected: "folder" });
    }
    match metadata.permissions().mode() & 0o7777 {
        mode if mode & GROUP_AND_OTHERS == 0 => Ok(()),
        mode => Err(Error::LooseFolder { path: path.to_owned(), mode }),
    }
}

fn check_file(path: &Path, metadata: &fs::Metadata) -> Result<(), Error> {
    if !metadata.is_file() {
        return Err(Error::Kind { path: path.to_owned(), expected: "file" });
    }
    match metadata.permissions().mode() & 0o7777 {
        mode if mode & GROUP_AND_OTHERS == 0 => Ok(()),
        mode => Err(Error::LooseFile { path: path.to_owned(), mode }),
    }
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let beside = beside(path).map_err(io_error("write", path))?;
    let written = fill(&beside, bytes, mode).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        // The first error is the one to tell; a file that cannot be removed either is harmless.
        let _ = fs::remove_file(&beside);
        return Err(io_error("write", path)(error));
    }
    sync_folder(parent(path))
}

fn fill(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(SECRET).open(path)?;
    // Set again, because the umask takes bits away from the mode given at opening.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name in the same folder that is not in use, so that two writers never share one.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{:016x}.tmp", u64::from_be_bytes(random)));
    Ok(path.with_file_name(beside))
}

fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_error("sync", path))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, path: path.to_owned(), source }
}

/// A path as a shell takes it back.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+,:@%=".contains(character);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        true => text.into_owned(),
        false => format!("-- '{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests;
