//! What was derived from the journal, up to a record: so that records before it may go, and a start is quick.
//!
//! On disk: `state/checkpoint.json`, replaced whole. JSON, so that it can be read and mended with an editor.

use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::id::LicenseId;
use sitewarden_protocol::license::LocalActivation;
use sitewarden_protocol::time::UnixMillis;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// Its name in the state folder.
pub(super) const FILE: &str = "checkpoint.json";

/// Monitors by app.
pub(super) type Monitors = BTreeMap<String, BTreeSet<String>>;

#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    /// The last record whose effect is in here.
    pub(super) through: Position,
    /// The last record that the hub is known to have.
    pub(super) acknowledged: Position,
    pub(super) monitors: Monitors,
    pub(super) activations: Vec<LocalActivation>,
}

/// The checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It cannot be replaced.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// It is no checkpoint.
    #[error("it is damaged ({0}); move it away to have it made again from the journal's records")]
    Damaged(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct OnDisk {
    through: (u64, u64),
    acknowledged: (u64, u64),
    monitors: Monitors,
    activations: Vec<ActivationOnDisk>,
}

#[derive(Serialize, Deserialize)]
struct ActivationOnDisk {
    license: LicenseId,
    replaces: Option<LicenseId>,
    at: UnixMillis,
}

impl Checkpoint {
    /// `None` if there is none yet.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, Error> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let read: OnDisk = serde_json::from_slice(&bytes)?;
        let position = |(epoch, seq)| Position { epoch, seq };
        let activation =
            |one: ActivationOnDisk| LocalActivation { license: one.license, replaces: one.replaces, at: one.at };
        Ok(Some(Self {
            through: position(read.through),
            acknowledged: position(read.acknowledged),
            monitors: read.monitors,
            activations: read.activations.into_iter().map(activation).collect(),
        }))
    }
}

/// What a checkpoint is written from, borrowed, so that writing one copies no monitors.
pub(super) struct View<'a> {
    pub(super) through: Position,
    pub(super) acknowledged: Position,
    pub(super) monitors: &'a Monitors,
    pub(super) activations: &'a [LocalActivation],
}

#[derive(Serialize)]
struct ToDisk<'a> {
    through: (u64, u64),
    acknowledged: (u64, u64),
    monitors: &'a Monitors,
    activations: Vec<ActivationOnDisk>,
}

impl View<'_> {
    /// The file's bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let pair = |position: Position| (position.epoch, position.seq);
        let activation =
            |one: &LocalActivation| ActivationOnDisk { license: one.license, replaces: one.replaces, at: one.at };
        Ok(serde_json::to_vec(&ToDisk {
            through: pair(self.through),
            acknowledged: pair(self.acknowledged),
            monitors: self.monitors,
            activations: self.activations.iter().map(activation).collect(),
        })?)
    }
}
