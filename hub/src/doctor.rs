//! `doctor`: looks at everything that a hub needs, running or not, and says what is wrong and what to do about it.
//!
//! Always true: it changes nothing, and a thing that cannot be looked at is wrong, with the reason.

use crate::{
    config::{Config, Flags},
    folder::{self, Folder},
    keys::Keys,
    store::{self, Damage},
};
use sitewarden_certs::secret_file;
use std::{
    fmt::Display,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

/// Free space on the disk of the data folder below which is warned, bytes.
const LITTLE_SPACE: u64 = 1 << 30;

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Well,
    /// To be looked at; the hub works.
    Doubtful,
    /// The hub does not work, or will not come back.
    Wrong,
}

/// What was looked at.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The thing.
    pub what: &'static str,
    /// How it is.
    pub state: State,
    /// In words: what was found, and what to do.
    pub told: String,
}

impl State {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Doubtful => "doubtful",
            Self::Wrong => "wrong",
        }
    }
}

impl Finding {
    fn new(what: &'static str, state: State, told: impl Into<String>) -> Self {
        Self { what, state, told: told.into() }
    }

    fn of<E: Display>(what: &'static str, found: Result<String, E>) -> Self {
        match found {
            Ok(told) => Self::new(what, State::Well, told),
            Err(error) => Self::new(what, State::Wrong, error.to_string()),
        }
    }
}

/// Looks at the hub of a data folder. Reads the whole database: seconds to minutes.
///
/// # Errors
/// [`folder::Error`] if there is no hub.
pub fn look(data_dir: &Path, flags: Flags) -> Result<Vec<Finding>, folder::Error> {
    if !folder::is_hub(data_dir)? {
        return Err(folder::Error::NotInitialised(data_dir.display().to_string()));
    }
    let keys = data_dir.join("keys");
    let folders = secret_file::check_folder(data_dir).and_then(|()| secret_file::check_folder(&keys));
    Ok(vec![
        Finding::of("folder", folders.map(|()| format!("{} is for its owner only", data_dir.display()))),
        Finding::of("settings", Config::load(data_dir, flags).map(|config| format!("HTTPS on {}", config.https))),
        Finding::of("keys", Keys::load(&keys).map(|_| "authority, signing and sealing keys are there".to_owned())),
        database(&Folder::database_of(data_dir)),
        space(data_dir),
        running(&data_dir.join("run/admin.sock")),
    ])
}

fn database(path: &Path) -> Finding {
    const WHAT: &str = "database";
    let found = match store::check(path) {
        Ok(found) => found,
        Err(error) => return Finding::new(WHAT, State::Wrong, error.to_string()),
    };
    let told = match found.damage {
        None => {
            let told = format!("whole, {} MiB, audit log and records as they were written", found.bytes >> 20);
            return Finding::new(WHAT, State::Well, told);
        }
        Some(Damage::Pages(word)) => {
            format!("it is damaged ({word}); stop the hub and restore a backup into a new folder")
        }
        Some(Damage::AuditRow(row)) => format!("the audit log was changed at row {row}; compare it with a backup"),
        Some(Damage::Batch { agent, epoch, first, last }) => format!(
            "records {epoch}:{first} to {epoch}:{last} of agent {agent} are not those that it signed; compare them \
             with a backup"
        ),
    };
    Finding::new(WHAT, State::Wrong, told)
}

fn space(data_dir: &Path) -> Finding {
    const WHAT: &str = "disk";
    let disk = match rustix::fs::statvfs(data_dir) {
        Ok(disk) => disk,
        Err(error) => return Finding::new(WHAT, State::Wrong, format!("cannot be looked at: {error}")),
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let told = format!("{} MiB free", free >> 20);
    if free < LITTLE_SPACE {
        return Finding::new(WHAT, State::Doubtful, format!("{told}; when it is full nothing more is taken in"));
    }
    Finding::new(WHAT, State::Well, told)
}

fn running(socket: &PathBuf) -> Finding {
    const WHAT: &str = "process";
    match UnixStream::connect(socket) {
        Ok(_) => Finding::new(WHAT, State::Well, "the hub is running"),
        Err(_) => Finding::new(WHAT, State::Doubtful, "the hub does not run: `sitewarden-hub serve`"),
    }
}
