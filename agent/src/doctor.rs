//! `doctor`: looks at everything that an agent needs, running or not, and says what is wrong and what to do about it.
//!
//! Always true: it changes nothing, and a thing that cannot be looked at is wrong, with the reason.

use crate::config::Config;
use crate::folder::Folder;
use crate::identity::Identity;
use sitewarden_certs::secret_file;
use sitewarden_protocol::codec;
use sitewarden_protocol::snapshot::{self, Snapshot};
use sitewarden_protocol::time::UnixMillis;
use std::fmt::Display;
use std::fs;
use std::os::unix::net::UnixStream;

/// Free space on the disk of the data folder below which is warned, bytes, beside what the settings keep free.
const LITTLE_SPACE: u64 = 256 << 20;

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Well,
    /// To be looked at; the agent works.
    Doubtful,
    /// The agent does not work.
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

/// Looks at the agent of a data folder, which has to be enrolled. `now` is the wall clock.
pub fn look(folder: &Folder, now: UnixMillis) -> Vec<Finding> {
    let folders = secret_file::check_folder(folder.path()).and_then(|()| secret_file::check_folder(&folder.identity()));
    let config = Config::load(folder, None);
    let reserve = config.as_ref().map_or(0, |config| config.journal_settings().reserve);
    let mut findings = vec![
        Finding::of("folder", folders.map(|()| format!("{} is for its owner only", folder.path().display()))),
        Finding::of("settings", config.map(|config| format!("the local API listens on {}", config.http))),
    ];
    match Identity::load(folder) {
        Ok(identity) => {
            let names = &identity.names;
            let told = format!("agent {} of the hub at {}", names.agent, names.hub_url());
            findings.push(Finding::new("identity", State::Well, told));
            findings.push(licences(snapshot(folder, &identity), now));
        }
        Err(error) => findings.push(Finding::new("identity", State::Wrong, error.to_string())),
    }
    findings.push(journal(folder));
    findings.push(space(folder, reserve));
    findings.push(running(folder));
    findings
}

fn snapshot(folder: &Folder, identity: &Identity) -> Result<Snapshot, String> {
    let bytes = secret_file::read(&folder.state("snapshot.bin")).map_err(|error| error.to_string())?;
    let signed: snapshot::Signed = codec::decode(&bytes).map_err(|error| error.to_string())?;
    signed.verify(&identity.names.signing_keys).map_err(|error| error.to_string())
}

fn licences(snapshot: Result<Snapshot, String>, now: UnixMillis) -> Finding {
    const WHAT: &str = "licences";
    match snapshot {
        Err(error) => {
            let told = format!("the hub's word cannot be read ({error}); start the agent with a line to its hub");
            Finding::new(WHAT, State::Wrong, told)
        }
        Ok(snapshot) if snapshot.fresh_until <= now => {
            let told = format!(
                "the hub was not heard of for so long that its word counts until {} only; mend the line",
                snapshot.fresh_until
            );
            Finding::new(WHAT, State::Doubtful, told)
        }
        Ok(snapshot) => {
            let (licences, until) = (snapshot.licenses.len(), snapshot.fresh_until);
            Finding::new(WHAT, State::Well, format!("{licences} in the hub's word, which counts until {until}"))
        }
    }
}

fn journal(folder: &Folder) -> Finding {
    const WHAT: &str = "journal";
    let entries = match fs::read_dir(folder.journal()) {
        Ok(entries) => entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir()).count(),
        Err(_) => return Finding::new(WHAT, State::Doubtful, "not begun yet; it is when the agent is started"),
    };
    let set_aside = fs::read_dir(folder.path().join("quarantine")).map_or(0, Iterator::count);
    if set_aside > 0 {
        let told =
            format!("{set_aside} damaged part(s) lie in quarantine/; the hub knows what was lost. Look at the disk");
        return Finding::new(WHAT, State::Doubtful, told);
    }
    Finding::new(WHAT, State::Well, format!("{entries} part(s), none set aside"))
}

fn space(folder: &Folder, reserve: u64) -> Finding {
    const WHAT: &str = "disk";
    let disk = match rustix::fs::statvfs(folder.path()) {
        Ok(disk) => disk,
        Err(error) => return Finding::new(WHAT, State::Wrong, format!("cannot be looked at: {error}")),
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let told = format!("{} MiB free", free >> 20);
    if free < reserve.saturating_add(LITTLE_SPACE) {
        let told = format!("{told}, of which {} are kept free; past that apps get 507", reserve >> 20);
        return Finding::new(WHAT, State::Doubtful, told);
    }
    Finding::new(WHAT, State::Well, told)
}

fn running(folder: &Folder) -> Finding {
    const WHAT: &str = "process";
    match UnixStream::connect(folder.run("agent.sock")) {
        Ok(_) => Finding::new(WHAT, State::Well, "the agent is running; `status` says how its line is"),
        Err(_) => Finding::new(WHAT, State::Doubtful, "the agent does not run: `sitewarden-agent serve`"),
    }
}
