//! Why an operation on the store came to nothing.

use std::path::PathBuf;

/// Why an operation on the store came to nothing. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing.
    #[error("there is no such {what}")]
    NotFound {
        /// The kind of thing, such as `site`.
        what: &'static str,
    },
    /// There is one already.
    #[error("there is already such a {what}")]
    Conflict {
        /// What clashes, such as `license with this name at this site`.
        what: &'static str,
    },
    /// It is not in the state any more that the caller saw.
    #[error("it is at revision {revision} now, which is not the one that you saw; look at it again")]
    Changed {
        /// Its revision.
        revision: i64,
    },
    /// A value that cannot be stored.
    #[error("{what} must be {allowed}")]
    Invalid {
        /// Which.
        what: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The store is closed, failed, or has more to do than it can.
    #[error("the store is not available")]
    Unavailable,
    /// The transaction could not be committed.
    #[error("the transaction could not be committed: {0}")]
    Commit(String),
    /// What is stored cannot be read: damaged, or of a newer version.
    #[error("the {what} that is stored cannot be read")]
    Damaged {
        /// Which.
        what: &'static str,
    },
    /// A certificate could not be issued.
    #[error("no certificate could be issued: {0}")]
    Certificate(String),
    /// There is already a database.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// There is no database.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// The system's randomness failed.
    #[error("no random numbers could be had")]
    Random(#[from] getrandom::Error),
    /// The file system refused.
    #[error("the database's file cannot be used")]
    Io(#[from] std::io::Error),
    /// The database refused.
    #[error("the database refused")]
    Database(#[from] rusqlite::Error),
    /// The database's layout could not be brought up to date.
    #[error("the database's layout cannot be brought up to date")]
    Migration(#[from] rusqlite_migration::Error),
}

impl Error {
    /// Turns the database's refusal of a duplicate into [`Error::Conflict`].
    pub(super) fn or_conflict(error: rusqlite::Error, what: &'static str) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(failure, _)
                if failure.code == rusqlite::ErrorCode::ConstraintViolation
                    && matches!(
                        failure.extended_code,
                        rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                    ) =>
            {
                Self::Conflict { what }
            }
            _ => Self::Database(error),
        }
    }
}

/// Turns a missing row into [`Error::NotFound`].
pub(super) fn found<T>(row: Option<T>, what: &'static str) -> Result<T, Error> {
    row.ok_or(Error::NotFound { what })
}
