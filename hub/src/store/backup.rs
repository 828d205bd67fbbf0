//! A copy of the database as it is at one moment, made while others use it, and put back.
//!
//! The copy is a database too. What else is needed to come back (keys, settings) lies in it in a table of its own, so that a
//! backup is one file that cannot be taken apart by accident.

use super::{connection, error::Error};
use rusqlite::{Connection, OpenFlags, backup::Backup, params};
use std::{path::Path, time::Duration};
use zeroize::Zeroizing;

/// Pages that are copied at once: 16 MiB.
const PAGES: i32 = 4_096;

/// By how much the revision of every site grows when a hub is put back. Agents take no snapshot that is older than what they
/// have had; so the hub has to be past all that it has issued since the backup, and was asked for a change each second of
/// a year it would not be.
const REVISIONS: i64 = 31_536_000;

/// A file beside the database.
pub struct KeptFile {
    /// Its path within the data folder, such as `keys/signing.key`.
    pub path: String,
    /// Whether others may read it.
    pub public: bool,
    /// What is in it.
    pub content: Zeroizing<Vec<u8>>,
}

/// Copies a database, and files with it, into a new file that only its owner can read. Others go on meanwhile; what they
/// write is not in it. Waits for the disk.
///
/// # Errors
/// [`Error::Exists`] for the new file, or what the database says.
pub fn back_up(database: &Path, into: &Path, files: &[KeptFile]) -> Result<(), Error> {
    if !database.exists() {
        return Err(Error::Missing(database.to_owned()));
    }
    connection::create_file(into)?;
    let source = connection::reader(database)?;
    // One read transaction: the copy is of one moment, and no write begins it anew.
    let moment = source.unchecked_transaction()?;
    let mut copy = Connection::open(into)?;
    Backup::new(&moment, &mut copy)?.run_to_completion(PAGES, Duration::ZERO, None)?;
    moment.commit()?;
    // One file, without companions.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    let keeping = copy.transaction()?;
    keeping.execute_batch(
        "CREATE TABLE kept_files (path TEXT PRIMARY KEY, public INTEGER NOT NULL, content BLOB NOT NULL) STRICT",
    )?;
    for file in files {
        let values = params![file.path, file.public, file.content.as_slice()];
        keeping.execute("INSERT INTO kept_files (path, public, content) VALUES (?, ?, ?)", values)?;
    }
    Ok(keeping.commit()?)
}

/// Puts a copy back as a new database, checked, without the files that lay in it; answers those.
///
/// # Errors
/// [`Error::Damaged`] if it is no backup, or not whole; [`Error::Exists`] for the new database.
pub fn restore(from: &Path, into: &Path) -> Result<Vec<KeptFile>, Error> {
    const NO_BACKUP: Error = Error::Damaged { what: "backup" };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags)?;
    let whole: Result<String, _> = source.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    if whole.map_or(true, |word| word != "ok") {
        return Err(NO_BACKUP);
    }
    let mut query =
        source.prepare("SELECT path, public, content FROM kept_files ORDER BY path").map_err(|_| NO_BACKUP)?;
    let files = query.query_map([], |row| {
        Ok(KeptFile { path: row.get(0)?, public: row.get(1)?, content: Zeroizing::new(row.get(2)?) })
    })?;
    let files = files.collect::<Result<Vec<_>, _>>()?;
    connection::create_file(into)?;
    let mut database = Connection::open(into)?;
    Backup::new(&source, &mut database)?.run_to_completion(PAGES, Duration::ZERO, None)?;
    // The keys are not to stay in pages that are free.
    database.pragma_update(None, "secure_delete", true)?;
    database.execute_batch("DROP TABLE kept_files")?;
    database.execute("UPDATE sites SET revision = revision + ?", [REVISIONS])?;
    database.close().map_err(|(_, error)| error)?;
    Ok(files)
}
