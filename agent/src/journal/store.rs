//! The one place that knows sled 0.34.
//!
//! What it gets wrong, and what is done about it here: `flush` does not reach the disk (it uses `sync_file_range`), so
//! a commit is `flush` and then `fdatasync` on a descriptor held open from the start; a kill while it opens can leave
//! `snap.*.generating`, which the next open takes for a snapshot, so that file is removed first; it never syncs what it
//! writes beside the database (`conf`, without which nothing can be read), so that is synced before anything is promised;
//! damage can make it panic, so it is opened under `catch_unwind`; values over 4 KiB go to files that are never synced, so
//! none are written.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Cache of one database, bytes. Two are open at a time; sled uses somewhat more than it is told.
const CACHE: u64 = 2 << 20;
/// The largest value, bytes: larger ones would leave the database file for unsynced blobs.
pub(super) const MAX_VALUE: usize = 4 << 10;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What it answered.
        source: io::Error,
    },
    /// The database's own checks found damage.
    #[error("the database is damaged: {0}")]
    Damaged(String),
}

impl Error {
    pub(super) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// One open database.
pub(super) struct Database {
    db: sled::Db,
    file: File,
}

impl Database {
    /// Opens or creates the database in `folder`. The caller holds the agent's lock.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::io("creating a journal folder"))?;
        remove_half_snapshots(folder)?;
        let config =
            sled::Config::new().path(folder).cache_capacity(CACHE).flush_every_ms(None).print_profile_on_drop(false);
        let db = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|_| Error::Damaged("opening it panicked".to_owned()))?
            .map_err(Error::from)?;
        let file = File::open(folder.join("db")).map_err(Error::io("opening the journal's file"))?;
        sync_whole(folder)?;
        Ok(Self { db, file })
    }

    /// Puts a value; durable after the next [`Database::commit`].
    pub(super) fn insert(&self, key: u64, value: &[u8]) -> Result<(), Error> {
        debug_assert!(value.len() <= MAX_VALUE);
        self.db.insert(key.to_be_bytes(), value)?;
        Ok(())
    }

    /// Makes everything inserted durable.
    pub(super) fn commit(&self) -> Result<(), Error> {
        self.db.flush()?;
        self.file.sync_data().map_err(Error::io("syncing the journal"))
    }

    /// Bytes of the database's file.
    pub(super) fn size(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(Error::io("looking at the journal's file"))?.len())
    }

    /// The values from the one at or before `key` on, in order. Damage met on the way is an error, never a panic.
    pub(super) fn from(&self, key: u64) -> impl Iterator<Item = Result<(u64, Vec<u8>), Error>> {
        let start = self.guard(|| self.db.range(..=key.to_be_bytes()).next_back().transpose());
        let start = start.map(|found| found.map_or(key.to_be_bytes().to_vec(), |(key, _)| key.to_vec()));
        let (range, failed) = match start {
            Ok(start) => (Some(self.db.range(start..)), None),
            Err(error) => (None, Some(Err(error))),
        };
        let mut range = range;
        let values = std::iter::from_fn(move || {
            let iterator = range.as_mut()?;
            let next = self.guard(|| iterator.next().transpose());
            match next {
                Ok(found) => found.map(|(key, value)| Ok((number(&key)?, value.to_vec()))),
                Err(error) => {
                    range = None;
                    Some(Err(error))
                }
            }
        });
        failed.into_iter().chain(values)
    }

    fn guard<T>(&self, read: impl FnOnce() -> sled::Result<T>) -> Result<T, Error> {
        catch_unwind(AssertUnwindSafe(read))
            .map_err(|_| Error::Damaged("reading it panicked".to_owned()))?
            .map_err(Error::from)
    }
}

impl From<sled::Error> for Error {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(source) => Self::Io { what: "using the journal", source },
            other => Self::Damaged(other.to_string()),
        }
    }
}

fn number(key: &[u8]) -> Result<u64, Error> {
    let bytes = key.try_into().map_err(|_| Error::Damaged("a key is no record number".to_owned()))?;
    Ok(u64::from_be_bytes(bytes))
}

fn remove_half_snapshots(folder: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(folder).map_err(Error::io("reading a journal folder"))?;
    for entry in entries {
        let entry = entry.map_err(Error::io("reading a journal folder"))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path()).map_err(Error::io("removing a half-written snapshot"))?;
        }
    }
    Ok(())
}

/// Makes everything in a database's folder durable, and the names in it.
fn sync_whole(folder: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::io("reading a journal folder"))? {
        let path = entry.map_err(Error::io("reading a journal folder"))?.path();
        File::open(path).and_then(|file| file.sync_all()).map_err(Error::io("syncing the journal's files"))?;
    }
    sync_folder(folder)
}

/// Makes a folder's own entries durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("syncing a journal folder"))
}
