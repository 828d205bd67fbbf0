//! What the first records of epochs say is lost, kept once more beside them, until the hub has confirmed it.
//!
//! On disk: `journal/cuts` (JSON), written before the epoch that says it has its first record. Damage may take that record
//! too, before it was sent; then the next epoch says it again. A file that cannot be read says nothing.

use super::store::Error;
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::record::EpochBegun;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The lost ends of epochs, by epoch.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Cuts(BTreeMap<u64, Cut>);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cut {
    kept: u64,
    written: u64,
    /// The epoch whose first records say so.
    told_in: u64,
    cause: String,
}

impl Cuts {
    /// What was not confirmed yet: `acknowledged` is the last record that the hub is known to have.
    pub(super) fn read(folder: &Path, acknowledged: Position) -> Self {
        let read = fs::read(folder.join("cuts")).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut cuts: Self = read.unwrap_or_default();
        cuts.0.retain(|_, cut| acknowledged < Position { epoch: cut.told_in, seq: 1 });
        cuts
    }

    /// Those that no epoch that is here says any more.
    pub(super) fn untold(&self, told: &BTreeMap<u64, u64>) -> Vec<EpochBegun> {
        let untold = self.0.iter().filter(|(epoch, _)| !told.contains_key(epoch));
        let begun = |(epoch, cut): (&u64, &Cut)| EpochBegun {
            previous: *epoch,
            kept: cut.kept,
            written: cut.written,
            cause: cut.cause.clone(),
        };
        untold.map(begun).collect()
    }

    /// Adds what an epoch is about to say, durably.
    pub(super) fn tell(&mut self, folder: &Path, epoch: u64, begun: &[EpochBegun]) -> Result<(), Error> {
        let losses = begun.iter().filter(|begun| begun.written > begun.kept);
        for EpochBegun { previous, kept, written, cause } in losses.cloned() {
            self.0.insert(previous, Cut { kept, written, told_in: epoch, cause });
        }
        let path = folder.join("cuts");
        if self.0.is_empty() && !path.exists() {
            return Ok(());
        }
        let bytes = serde_json::to_vec(self).map_err(|error| Error::Damaged(error.to_string()))?;
        secret_file::write(&path, &bytes)
            .map_err(|error| Error::io("keeping what was lost")(std::io::Error::other(error)))
    }
}
