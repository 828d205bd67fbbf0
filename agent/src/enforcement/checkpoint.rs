//! What was derived from the journal, up to a record: so that records before it may go, and a start is quick.
//!
//! On disk: `state/checkpoint.json`, replaced whole. JSON, so that it can be read and mended with an editor.

use super::site::Derived;
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::chain::Position;
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
    pub(super) derived: Derived,
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

#[derive(Deserialize)]
struct OnDisk {
    through: (u64, u64),
    acknowledged: (u64, u64),
    #[serde(flatten)]
    derived: Derived,
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
        let (through, acknowledged) = (position(read.through), position(read.acknowledged));
        Ok(Some(Self { through, acknowledged, derived: read.derived }))
    }
}

/// What a checkpoint is written from, borrowed, so that writing one copies no monitors.
#[derive(Serialize)]
struct ToDisk<'a> {
    through: (u64, u64),
    acknowledged: (u64, u64),
    #[serde(flatten)]
    derived: &'a Derived,
}

/// The file's bytes.
pub(super) fn encode(through: Position, acknowledged: Position, derived: &Derived) -> Result<Vec<u8>, Error> {
    let pair = |position: Position| (position.epoch, position.seq);
    Ok(serde_json::to_vec(&ToDisk { through: pair(through), acknowledged: pair(acknowledged), derived })?)
}
