//! Licence time: what every decision and every record of this agent is dated by.
//!
//! The rules are in `protocol::trusted_time`. Always true: reading it takes no lock and no disk; it is kept in
//! `state/clock.json`, so that a restart does not take it back; what happened to it waits here to become a record.

mod moment;
mod source;

pub use moment::Moment;
pub use source::{Machine, Source, wall};

use crate::folder::Folder;
use sitewarden_certs::secret_file;
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::trusted_time::{Cause, Change, Pace, Settings, TrustedTime};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Changes that wait to become records. They come seconds apart at most, and are taken every second.
const MAX_CHANGES: usize = 64;

/// A handle on the agent's clock; clones are the same.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    file: PathBuf,
    source: Box<dyn Source>,
    settings: Settings,
    state: Mutex<State>,
    /// Licence time minus uptime, milliseconds: what reading it needs.
    offset: AtomicI64,
}

struct State {
    time: TrustedTime,
    changes: Vec<Change>,
    /// No time was kept: the site is new, or somebody has taken it away.
    is_first: bool,
}

/// The stored time cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// It cannot be put into words.
    #[error("licence time cannot be stored: {0}")]
    Encode(#[from] serde_json::Error),
    /// It is damaged, and cannot be set aside.
    #[error(
        "{file} is damaged and cannot be set aside ({source}); move it away, and time begins at the hub's last word"
    )]
    SetAside {
        /// Which file.
        file: PathBuf,
        /// What the file system answered.
        source: io::Error,
    },
}

/// How the clock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Licence time.
    pub now: UnixMillis,
    /// The wall clock.
    pub wall: UnixMillis,
    /// How the two go together.
    pub pace: Pace,
    /// The newest time that the hub has signed.
    pub last_heard: UnixMillis,
}

impl Clock {
    /// Goes on where the stored time ended, or begins at `floor`, the hub's last signed word.
    ///
    /// A stored time that is damaged stops no plant: it is set aside, time begins at `floor`, and that becomes a record,
    /// a change of which nobody knows what was before it (1970).
    ///
    /// # Errors
    /// [`Error::SetAside`].
    pub fn start(
        folder: &Folder,
        floor: UnixMillis,
        settings: Settings,
        source: Box<dyn Source>,
    ) -> Result<Self, Error> {
        let file = folder.state("clock.json");
        let aside = file.with_extension("json.damaged");
        let kept = kept(&file).map_err(|reason| {
            tracing::error!(reason, "state/clock.json is damaged; it is set aside as clock.json.damaged");
            fs::rename(&file, &aside).map_err(|source| Error::SetAside { file: file.clone(), source })
        });
        let kept = kept.or_else(|set_aside| set_aside.map(|()| None))?;
        let is_first = kept.is_none() && !aside.exists();
        let (time, changes) = match kept {
            Some(time) => (time, vec![]),
            None => {
                let (time, wall) = (TrustedTime::begin(floor, source.read()), source.read().wall);
                // Also after a start that came no further than setting it aside.
                let changes = aside.exists().then(|| begun_anew(&time, wall)).into_iter().collect();
                (time, changes)
            }
        };
        let state = Mutex::new(State { time, changes, is_first });
        let clock = Self(Arc::new(Inner { file, source, settings, state, offset: AtomicI64::new(0) }));
        clock.heard(floor);
        Ok(clock)
    }

    /// Licence time.
    pub fn now(&self) -> UnixMillis {
        let uptime = i64::try_from(self.0.source.uptime().as_millis()).unwrap_or(i64::MAX);
        UnixMillis(self.0.offset.load(Ordering::Relaxed).saturating_add(uptime))
    }

    /// Time since the machine's start.
    pub fn uptime(&self) -> Duration {
        self.0.source.uptime()
    }

    /// The newest record of this site is of this moment: licence time is not before it. If no time was kept although there
    /// are records, somebody has taken it away, which becomes one too.
    pub fn not_before(&self, record: UnixMillis) {
        self.tick();
        let was_taken_away = std::mem::take(&mut self.lock().is_first);
        self.change(|time, settings, source| {
            time.not_before(record, settings);
            was_taken_away.then(|| begun_anew(time, source.read().wall))
        });
    }

    /// Changes that could not become records yet.
    pub fn put_back(&self, changes: Vec<Change>) {
        let mut state = self.lock();
        let since = std::mem::replace(&mut state.changes, changes);
        state.changes.extend(since);
        state.changes.truncate(MAX_CHANGES);
    }

    /// Looks at the machine's clocks; to be called every second.
    pub fn tick(&self) {
        self.change(|time, settings, source| time.advance(source.read(), settings));
    }

    /// A time that the hub has signed: licence time is not before it.
    pub fn heard(&self, hub: UnixMillis) {
        self.tick();
        self.change(|time, settings, _| time.heard(hub, settings));
    }

    /// The hub's signed answer to a question that was asked just now; it may take licence time back.
    pub fn answered(&self, hub: UnixMillis) {
        self.tick();
        self.change(|time, settings, _| time.answered(hub, settings));
    }

    /// What happened since the last call, oldest first: to become records.
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.lock().changes)
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let (now, wall, state) = (self.now(), self.0.source.read().wall, self.lock());
        Standing { now, wall, pace: state.time.pace(), last_heard: state.time.last_heard() }
    }

    /// Keeps it on disk. Waits for the disk; not for an async thread.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self) -> Result<(), Error> {
        let bytes = serde_json::to_vec(&self.lock().time)?;
        Ok(secret_file::write(&self.0.file, &bytes)?)
    }

    fn change(&self, how: impl FnOnce(&mut TrustedTime, &Settings, &dyn Source) -> Option<Change>) {
        let mut state = self.lock();
        let State { time, changes, .. } = &mut *state;
        let change = how(time, &self.0.settings, self.0.source.as_ref());
        let uptime = i64::try_from(time.read_at().as_millis()).unwrap_or(i64::MAX);
        self.0.offset.store(time.now().0.saturating_sub(uptime), Ordering::Relaxed);
        changes.extend(change.filter(|_| changes.len() < MAX_CHANGES));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stored time, if there is one. No secret, so that a file with a mode of its own, as from a backup, will do.
fn kept(file: &Path) -> Result<Option<TrustedTime>, String> {
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn begun_anew(time: &TrustedTime, wall: UnixMillis) -> Change {
    let cause = match time.pace() {
        Pace::Steady => Cause::Settled,
        Pace::Ahead => Cause::SteppedForward,
        Pace::Behind => Cause::SteppedBack,
    };
    Change { wall, before: UnixMillis(0), after: time.now(), cause }
}
