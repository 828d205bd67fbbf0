//! How far records were written into files: `state/exported.json`. A hint for `--continue`, and in the one-way mode what
//! counts as delivered.

use crate::folder::Folder;
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::time::UnixMillis;

const FILE: &str = "exported.json";

/// How far records were written into files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The epoch of the last record that was written.
    pub epoch: u64,
    /// Its number.
    pub seq: u64,
    /// The bundle that it is in, hexadecimal.
    pub bundle: String,
    /// When its file was whole, milliseconds since 1970 by the wall clock.
    pub at: i64,
}

impl Mark {
    pub(super) fn new(through: Position, bundle: String, at: UnixMillis) -> Self {
        Self { epoch: through.epoch, seq: through.seq, bundle, at: at.0 }
    }

    /// The record that it names.
    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.seq }
    }

    /// The mark, if anything was exported. One that cannot be read is as good as none: the next export repeats.
    pub(super) fn load(folder: &Folder) -> Option<Self> {
        let path = folder.state(FILE);
        if !path.exists() {
            return None;
        }
        let read = secret_file::read(&path).map_err(|error| error.to_string());
        let mark = read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
        mark.inspect_err(|error| tracing::warn!(error, "state/exported.json is not usable; the next export repeats"))
            .ok()
    }

    pub(super) fn store(&self, folder: &Folder) -> Result<(), secret_file::Error> {
        secret_file::write(&folder.state(FILE), &serde_json::to_vec(self).unwrap_or_default())
    }
}
