//! Whether a database is whole, looked at from outside while a hub may use it.

use super::{audit, connection, error::Error};
use std::path::Path;

/// What a look at a database found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Whether every page is what it should be.
    pub is_whole: bool,
    /// The first row of the audit log that does not follow from the one before it.
    pub broken_audit_row: Option<i64>,
    /// The file's size.
    pub bytes: u64,
}

/// Reads all of a database. Waits for the disk.
///
/// # Errors
/// [`Error::Missing`], or what the database says.
pub fn check(path: &Path) -> Result<Checked, Error> {
    if !path.exists() {
        return Err(Error::Missing(path.to_owned()));
    }
    let bytes = std::fs::metadata(path)?.len();
    let connection = connection::reader(path)?;
    let word: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if word != "ok" {
        return Ok(Checked { is_whole: false, broken_audit_row: None, bytes });
    }
    Ok(Checked { is_whole: true, broken_audit_row: audit::check(&connection)?.broken, bytes })
}
