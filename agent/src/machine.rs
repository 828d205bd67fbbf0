//! Whether this is still the machine that was enrolled: its parts are compared with those that are known, at each start
//! and every hour. How they are compared is in `protocol::fingerprint`.
//!
//! Always true: nothing stops on another machine, it is recorded and shown; a change becomes one record, and the same
//! is not told again, also not after a restart; a machine with some new parts is known by them from then on, another
//! machine never is.
//!
//! On disk: `state/fingerprint.json`, replaced whole.

use crate::anonymity::Anonymity;
use crate::clock::Clock;
use crate::folder::Folder;
use crate::host;
use crate::journal::Journal;
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::fingerprint::{self, Parts};
use sitewarden_protocol::record::{Body, FingerprintChange};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often the machine's parts are looked at.
const EVERY: Duration = Duration::from_secs(3_600);
/// Its name in the state folder.
const FILE: &str = "fingerprint.json";

/// What is known of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// What the machine is recognised by.
    parts: Parts,
    /// Another machine's parts that were told already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    elsewhere: Option<Parts>,
}

/// What becomes of what is known after a look.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    known: Known,
    change: Option<FingerprintChange>,
    same_machine: bool,
}

/// How the machine stands, for whoever asks; clones are the same.
#[derive(Clone, Default)]
pub struct Machine(Arc<ArcSwap<Standing>>);

/// How the machine stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whether it is the machine that was enrolled.
    pub same_machine: bool,
    /// The kinds of its parts that changed the last time that any did since the start.
    pub changed: Vec<String>,
}

impl Default for Standing {
    fn default() -> Self {
        Self { same_machine: true, changed: vec![] }
    }
}

/// What is known cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be replaced.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// The file system refused something.
    #[error("state/{FILE}: {0}")]
    Io(#[from] io::Error),
}

/// Keeps what the machine is recognised by: at enrolment.
///
/// # Errors
/// If the file cannot be written.
pub fn enrol(folder: &Folder, parts: &[(String, [u8; 32])]) -> Result<(), Error> {
    Known { parts: parts.to_vec(), elsewhere: None }.store(&folder.state(FILE))
}

impl Machine {
    /// How it stands.
    pub fn standing(&self) -> Arc<Standing> {
        self.0.load_full()
    }

    /// Looks at the parts now and every hour until `stopping` changes.
    pub async fn watch(
        self,
        folder: Folder,
        recorder: (Journal, Arc<Anonymity>),
        clock: Clock,
        mut stopping: watch::Receiver<bool>,
    ) {
        let mut hour = interval(EVERY);
        hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = hour.tick() => self.look(folder.state(FILE), PathBuf::from("/"), &recorder, &clock).await,
                _ = stopping.changed() => break,
            }
        }
    }

    async fn look(&self, file: PathBuf, root: PathBuf, recorder: &(Journal, Arc<Anonymity>), clock: &Clock) {
        let path = file.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let now = host::fingerprint_below(&root);
            Ok::<_, Error>(Known::load(&path)?.unwrap_or_default().see(now))
        })
        .await;
        let seen = match looked {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => return tracing::warn!(%error, "the machine is not compared with what is known of it"),
            Err(_) => return,
        };
        if let Some(change) = &seen.change {
            tell(change);
            if let Err(error) = record(recorder, clock, change).await {
                // What is known stays as it was, so that the next look finds the change again.
                tracing::warn!(error, "a change of the machine is not recorded yet");
                return self.show(&seen);
            }
        }
        self.show(&seen);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || seen.known.store(&file)).await {
            tracing::warn!(%error, "what the machine is recognised by is not kept");
        }
    }

    fn show(&self, seen: &Seen) {
        let changed = match &seen.change {
            Some(change) => change.changed.clone(),
            None => self.standing().changed.clone(),
        };
        self.0.store(Arc::new(Standing { same_machine: seen.same_machine, changed }));
    }
}

impl Seen {
    /// Nothing is known, although enrolment kept it: the machine is recognised by what it is now, and the hub, which has
    /// its own word from the enrolment, is told what that is.
    fn first(now: &[(String, [u8; 32])]) -> Self {
        let change = FingerprintChange { same_machine: true, matched: 0, of: 0, changed: vec![], parts: now.to_vec() };
        Self { known: Known { parts: now.to_vec(), elsewhere: None }, change: Some(change), same_machine: true }
    }
}

impl Known {
    /// `None` if nothing is known. What is damaged is set aside, and the machine is taken as it is: the hub has its parts
    /// from the enrolment.
    fn load(file: &Path) -> Result<Option<Self>, Error> {
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match serde_json::from_slice(&bytes) {
            Ok(known) => Ok(Some(known)),
            Err(error) => {
                let aside = file.with_extension("json.damaged");
                fs::rename(file, &aside)?;
                tracing::warn!(%error, "state/{FILE} is damaged and set aside as {}", aside.display());
                Ok(None)
            }
        }
    }

    fn store(&self, file: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::from)?;
        if fs::read(file).is_ok_and(|stored| stored == bytes) {
            return Ok(());
        }
        Ok(secret_file::write(file, &bytes)?)
    }

    fn see(self, now: Parts) -> Seen {
        if self.parts.is_empty() {
            return Seen::first(&now);
        }
        let found = fingerprint::compare(&self.parts, &now);
        let same_machine = found.is_same_machine();
        // Back on the known machine is told as well, or the hub would take it for elsewhere for ever.
        let told = if same_machine { !found.is_drift() && self.elsewhere.is_none() } else { self.elsewhere_is(&now) };
        let change = (!told).then(|| FingerprintChange {
            same_machine,
            matched: found.matched,
            of: found.of,
            changed: found.changed.clone(),
            parts: now.clone(),
        });
        let known = match (same_machine, found.is_drift()) {
            (true, true) => Self { parts: now, elsewhere: None },
            (true, false) => Self { elsewhere: None, ..self },
            (false, _) => Self { elsewhere: Some(now), ..self },
        };
        Seen { known, change, same_machine }
    }

    /// Whether these are the parts that were told last. In the order in which the machine gives them, which may change.
    fn elsewhere_is(&self, now: &[(String, [u8; 32])]) -> bool {
        let sorted = |parts: &[(String, [u8; 32])]| {
            let mut parts = parts.to_vec();
            parts.sort_unstable();
            parts
        };
        self.elsewhere.as_ref().is_some_and(|told| sorted(told) == sorted(now))
    }
}

fn tell(change: &FingerprintChange) {
    let FingerprintChange { same_machine, matched, of, changed, .. } = change;
    match (same_machine, changed.is_empty()) {
        (true, true) if *of == 0 => tracing::warn!("nothing was known of this machine; the hub is told what it is"),
        (true, true) => tracing::info!("this is the machine again that was enrolled"),
        (true, false) => tracing::warn!(?changed, matched, of, "parts of this machine have changed"),
        (false, _) => tracing::warn!(?changed, matched, of, "this is not the machine that was enrolled"),
    }
}

async fn record(
    (journal, anonymity): &(Journal, Arc<Anonymity>),
    clock: &Clock,
    change: &FingerprintChange,
) -> Result<(), String> {
    let record =
        anonymity.encode(clock.now(), &Body::Fingerprint(change.clone())).map_err(|error| error.to_string())?;
    journal.append([record].into_iter().collect()).await.map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
