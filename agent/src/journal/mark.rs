//! The high-water mark: the last position that was committed, in a file of its own.
//!
//! sled answers some kinds of damage by silently going back to an older state, and the numbers after it would be given
//! out twice. The mark is written after each commit and not synced: a killed process leaves it exact, a power cut
//! leaves it at or below the truth, so a journal that ends before its mark has lost records for certain.

use super::store::Error;
use sitewarden_protocol::chain::Position;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

const LENGTH: usize = 24;

pub(super) struct Mark(File);

impl Mark {
    pub(super) fn open(journal: &Path) -> Result<Self, Error> {
        let path = journal.join("mark");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        file.map(Self).map_err(Error::io("opening the journal's mark"))
    }

    /// The last position that was marked; the start if there is none, or if it was torn.
    pub(super) fn read(&self) -> Position {
        let mut bytes = [0; LENGTH];
        if self.0.read_exact_at(&mut bytes, 0).is_err() {
            return Position::default();
        }
        let number = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let position = Position { epoch: number(0), seq: number(8) };
        if encode(position) == bytes { position } else { Position::default() }
    }

    pub(super) fn write(&self, position: Position) -> Result<(), Error> {
        self.0.write_all_at(&encode(position), 0).map_err(Error::io("writing the journal's mark"))
    }
}

/// Epoch, number, and eight bytes of their BLAKE3 hash.
fn encode(position: Position) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&position.epoch.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.seq.to_le_bytes());
    let sum = blake3::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&sum.as_bytes()[..8]);
    bytes
}
