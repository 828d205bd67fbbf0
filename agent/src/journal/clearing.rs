//! Going on in a fresh epoch after the hub's administrator said so.
//!
//! On disk: `journal/cleared` (JSON), written when the word comes. It is carried out at the next start, before anything else
//! uses the journal; from then on the file says up to where. Always true: what was recorded after the place where this
//! journal and the hub's history depart is in the new epoch exactly once when the file says that it is carried out, and
//! nothing of the epochs before is sent any more, or derived from twice, however often the agent starts before the hub has
//! confirmed the first record of the new one. Whoever is killed in between begins again: an epoch that was begun for it and
//! has been seen by nobody is removed first.

use super::Journal;
use super::generation::Id;
use super::store::{Error, sync_folder};
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::batch::Draft;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::clearance::Clearance;
use sitewarden_protocol::record::{Body, EpochBegun, Record, Run};
use sitewarden_protocol::time::UnixMillis;
use std::fs;
use std::path::{Path, PathBuf};

/// What is to be carried out, or was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cleared {
    /// The lowest number of the new epoch.
    pub(super) epoch: u64,
    /// The last record that the hub has too.
    common: (u64, u64),
    /// Once it is carried out: the last record of the new epoch that came over.
    #[serde(default)]
    carried: Option<(u64, u64)>,
}

impl Cleared {
    /// Keeps the word until the next start.
    pub(super) fn write(folder: &Path, epoch: u64, common: Position) -> Result<(), Error> {
        Self { epoch, common: (common.epoch, common.seq), carried: None }.keep(folder)
    }

    fn keep(self, folder: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec(&self).map_err(|error| Error::Damaged(error.to_string()))?;
        secret_file::write(&place(folder), &bytes)
            .map_err(|error| Error::io("keeping the hub's clearance")(std::io::Error::other(error)))
    }

    /// What is to be carried out now; `None` as a rule.
    pub(super) fn pending(folder: &Path) -> Option<Self> {
        Self::read(folder).filter(|cleared| cleared.carried.is_none())
    }

    /// The last record that came over when the last word was carried out; `None` if there was none, or it waits.
    pub(super) fn carried(folder: &Path) -> Option<Position> {
        Self::read(folder)?.carried.map(|(epoch, seq)| Position { epoch, seq })
    }

    /// A file that cannot be read is no word: the hub says it again.
    fn read(folder: &Path) -> Option<Self> {
        let read = fs::read(place(folder)).ok()?;
        serde_json::from_slice(&read).ok()
    }

    pub(super) fn common(&self) -> Position {
        Position { epoch: self.common.0, seq: self.common.1 }
    }

    /// Removes what an interrupted start made.
    pub(super) fn undo(&self, folder: &Path, ids: &mut Vec<Id>) -> Result<(), Error> {
        for id in ids.iter().filter(|id| id.epoch >= self.epoch) {
            fs::remove_dir_all(id.folder(folder)).map_err(Error::io("removing an epoch that was not finished"))?;
        }
        ids.retain(|id| id.epoch < self.epoch);
        sync_folder(folder)
    }

    /// What the new epoch begins with: nothing of the one before is lost, it comes again in this one.
    pub(super) fn begun(&self, previous: u64) -> EpochBegun {
        let kept = if self.common.0 == previous { self.common.1 } else { 0 };
        let cause = "the hub's administrator cleared this agent after a roll-back or a copy".to_owned();
        EpochBegun { previous, kept, written: kept, cause }
    }
}

impl Journal {
    /// Keeps the hub's word that this journal goes on in a fresh epoch, to be carried out at the next start; `false` if its
    /// newest epoch is as new already. Reads from disk.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn clear(&self, clearance: &Clearance) -> Result<bool, Error> {
        let head = *self.head.borrow();
        if clearance.epoch <= head.epoch {
            return Ok(false);
        }
        let mut common = Position::default();
        for known in clearance.known.iter().filter(|known| known.position <= head) {
            if self.chain_at(known.position)? == Some(known.chain) {
                common = known.position;
                break;
            }
        }
        let common = common.max(self.shelf.acknowledged().min(head));
        Cleared::write(&self.shelf.folder, clearance.epoch, common)?;
        Ok(true)
    }

    /// Carries out what [`Journal::clear`] kept: what was recorded after the place where the histories depart comes again in
    /// the epoch that was begun for it, and what of it was damaged is told there; `now` stamps that. Nothing else may use the
    /// journal before.
    ///
    /// # Errors
    /// If the disk fails or has no room; the next start begins again.
    pub async fn carry_over(&self, now: UnixMillis) -> Result<(), Error> {
        let Some(cleared) = Cleared::pending(&self.shelf.folder) else { return Ok(()) };
        let (epoch, mut after) = (self.head.borrow().epoch, cleared.common());
        while let Some(draft) = self.next_after(after).await?.filter(|draft| draft.after.position.epoch < epoch) {
            let start = draft.after.position;
            let mut records = lost(&draft, now)?;
            draft.records.iter().for_each(|record| records.push(record));
            if let Err(error) = self.append(records).await {
                // This epoch is in use from now on, and must not be undone: the next start goes on in another.
                Cleared::write(&self.shelf.folder, epoch + 1, after)?;
                return Err(Error::Damaged(error.to_string()));
            }
            after = Position { seq: start.seq + u64::from(draft.records.count()), ..start };
        }
        let last = *self.head.borrow();
        Cleared { carried: Some((last.epoch, last.seq)), ..cleared }.keep(&self.shelf.folder)?;
        // Set once: the journal was opened just now, with a word that waited.
        let _ = self.carried.set(last);
        self.acknowledge(self.superseded());
        Ok(())
    }

    /// Up to where nothing is to be sent although the hub has not confirmed it: all before the epoch in which the records
    /// since a fork come again.
    pub fn superseded(&self) -> Position {
        self.carried.get().map_or_else(Position::default, |last| Position { epoch: last.epoch, seq: 0 })
    }

    /// Whether a record came over from a forked epoch: what it says was said before.
    pub fn is_carried(&self, position: Position) -> bool {
        self.carried.get().is_some_and(|last| position.epoch == last.epoch && position <= *last)
    }

    async fn next_after(&self, after: Position) -> Result<Option<Draft>, Error> {
        let journal = self.clone();
        let read = tokio::task::spawn_blocking(move || journal.read_after(after)).await;
        read.unwrap_or_else(|error| Err(Error::Damaged(error.to_string())))
    }
}

/// Says what is missing before a draft. A batch would do so, but these records are in none.
fn lost(draft: &Draft, now: UnixMillis) -> Result<Run, Error> {
    let Position { epoch, seq } = draft.after.position;
    if draft.lost == 0 {
        return Ok(Run::default());
    }
    let cause = "records since a fork were damaged before they could come again".to_owned();
    let begun = EpochBegun { previous: epoch, kept: seq.saturating_sub(draft.lost), written: seq, cause };
    let record = Record::encode(now, &Body::EpochBegun(begun)).map_err(|error| Error::Damaged(error.to_string()))?;
    Ok(std::iter::once(record).collect())
}

fn place(folder: &Path) -> PathBuf {
    folder.join("cleared")
}
