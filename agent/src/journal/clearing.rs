//! Going on in a fresh epoch after the hub's administrator said so.
//!
//! On disk: `journal/cleared` (JSON), written when the word comes. It is carried out at the next start, before anything else
//! uses the journal; from then on the file says up to where. Always true: what was recorded after the place where this
//! journal and the hub's history depart is in the new epoch exactly once when the file says that it is carried out, and
//! nothing of the epochs before is sent any more, or derived from twice, however often the agent starts before the hub has
//! confirmed the first record of the new one. Whoever is killed in between begins again: an epoch that was begun for it and
//! has been seen by nobody is removed first.
//!
//! What is carried over may pass the quota, because the old records take its place until the hub has the new ones; it never
//! takes the disk's last space: without room for all of it nothing is begun, and the word waits.

use super::generation::Id;
use super::recovery::generations;
use super::shelf::folder_size;
use super::store::{Error, sync_folder};
use super::{Counters, Journal, Settings, room};
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::batch::Draft;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::clearance::Clearance;
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::record::{Body, EpochBegun, Record, Run};
use sitewarden_protocol::time::UnixMillis;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What has to be free on the disk beside what is carried over: the files of a store, and what others write meanwhile.
const MARGIN: u64 = 8 << 20;

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
    /// While it waits: the same of the word before this one.
    #[serde(default)]
    before: Option<(u64, u64)>,
    /// Because the agent has another key now, and not because of a fork.
    #[serde(default)]
    again: bool,
}

impl Cleared {
    /// Keeps the word until the next start.
    fn write(folder: &Path, epoch: u64, common: Position, again: bool) -> Result<(), Error> {
        let before = Self::read(folder).and_then(|last| last.carried.or(last.before));
        Self { epoch, common: (common.epoch, common.seq), carried: None, before, again }.keep(folder)
    }

    fn keep(self, folder: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec(&self).map_err(|error| Error::Damaged(error.to_string()))?;
        secret_file::write(&place(folder), &bytes)
            .map_err(|error| Error::io("keeping the hub's clearance")(std::io::Error::other(error)))
    }

    fn pending(folder: &Path) -> Option<Self> {
        Self::read(folder).filter(|cleared| cleared.carried.is_none())
    }

    /// What is to be carried out now, with these generations on disk; `None` as a rule, or if there is no room for it. One that
    /// was begun is gone on with.
    pub(super) fn due(folder: &Path, ids: &[Id]) -> Option<Self> {
        let cleared = Self::pending(folder)?;
        let begun = ids.iter().any(|id| id.epoch >= cleared.epoch);
        let due = begun || fits(folder, ids, cleared.common());
        if !due {
            tracing::error!("the disk has no room for going on in a fresh epoch; that waits until there is some");
        }
        due.then_some(cleared)
    }

    /// The last record that came over when a word was last carried out, in a journal that goes on in `epoch`; `None` if there
    /// was none, or one is being carried out now.
    pub(super) fn carried(folder: &Path, epoch: u64) -> Option<Position> {
        let cleared = Self::read(folder)?;
        let waits = cleared.carried.is_none() && cleared.epoch > epoch;
        let last = if waits { cleared.before } else { cleared.carried };
        last.map(|(epoch, seq)| Position { epoch, seq })
    }

    /// A file that cannot be read is no word: the hub says it again.
    fn read(folder: &Path) -> Option<Self> {
        let read = fs::read(place(folder)).ok()?;
        serde_json::from_slice(&read).ok()
    }

    fn common(&self) -> Position {
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
        let cause = match self.again {
            false => "the hub's administrator cleared this agent after a roll-back or a copy",
            true => "the agent was enrolled again",
        };
        EpochBegun { previous, kept, written: kept, cause: cause.to_owned() }
    }
}

impl Journal {
    /// Keeps the hub's word that this journal goes on in a fresh epoch, to be carried out at the next start; `false` if its
    /// newest epoch is as new already, or there is no room for it now. Reads from disk.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn clear(&self, clearance: &Clearance) -> Result<bool, Error> {
        let (head, folder) = (*self.head.borrow(), &self.shelf.folder);
        if clearance.epoch <= head.epoch {
            return Ok(false);
        }
        let common = self.common(clearance)?;
        if !fits(folder, &generations(folder)?, common) {
            tracing::error!("the hub's administrator cleared this agent, but the disk has no room for a fresh epoch");
            return Ok(false);
        }
        Cleared::write(folder, clearance.epoch, common, false)?;
        Ok(true)
    }

    /// Prepares the journal below `folder` of an agent that does not run and has another key from now on: its next start goes
    /// on in a fresh epoch, with all that the hub does not have. A repeat changes nothing.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn clear_again(
        folder: &Path,
        (agent, settings): (AgentId, Settings),
        acknowledged: Position,
        clearance: &Clearance,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let prepared = |cleared: Cleared| cleared.again && cleared.epoch >= clearance.epoch;
        if Cleared::pending(folder).is_some_and(prepared) {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(Error::io("creating the journal"))?;
        let (mut epoch, mut common) = (clearance.epoch, Position::default());
        if !generations(folder)?.is_empty() {
            let journal = Self::open(folder, agent, settings, acknowledged, Arc::<Counters>::default(), now)?;
            journal.carry_over(now).await?;
            common = journal.common(clearance)?;
            epoch = epoch.max(journal.head.borrow().epoch + 1);
        }
        Cleared::write(folder, epoch, common, true)
    }

    /// Whether the disk has room for going on in a fresh epoch, whatever the hub has.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn has_room_again(folder: &Path) -> Result<bool, Error> {
        Ok(!folder.exists() || fits(folder, &generations(folder)?, Position::default()))
    }

    /// The last record that the hub has too, or that came over to a later epoch.
    fn common(&self, clearance: &Clearance) -> Result<Position, Error> {
        let head = *self.head.borrow();
        let mut common = self.shelf.acknowledged().min(head);
        for known in clearance.known.iter().filter(|known| known.position <= head) {
            if self.chain_at(known.position)? == Some(known.chain) {
                common = common.max(known.position);
                break;
            }
        }
        Ok(common)
    }

    /// Carries out what [`Journal::clear`] kept: what was recorded after the place where the histories depart comes again in
    /// the epoch that was begun for it, and what of it was damaged is told there; `now` stamps that. Nothing else may use the
    /// journal before.
    ///
    /// # Errors
    /// If the disk fails, which ends the process; the next start begins again.
    pub async fn carry_over(&self, now: UnixMillis) -> Result<(), Error> {
        let epoch = self.head.borrow().epoch;
        let Some(cleared) = Cleared::pending(&self.shelf.folder).filter(|cleared| cleared.epoch <= epoch) else {
            return Ok(()); // There is none, or no room for it.
        };
        let mut after = cleared.common();
        while let Some(draft) = self.next_after(after).await?.filter(|draft| draft.after.position.epoch < epoch) {
            let start = draft.after.position;
            let mut records = lost(&draft, now)?;
            draft.records.iter().for_each(|record| records.push(record));
            self.writer.carry(records).await.map_err(|error| Error::Damaged(error.to_string()))?;
            after = Position { seq: start.seq + u64::from(draft.records.count()), ..start };
        }
        let last = *self.head.borrow();
        Cleared { carried: Some((last.epoch, last.seq)), before: None, ..cleared }.keep(&self.shelf.folder)?;
        // Set once: the journal was opened just now, with a word that waited.
        let _ = self.carried.set(last);
        self.shelf.supersede(self.superseded());
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

/// Whether the disk has room for all records after `common` once more.
fn fits(folder: &Path, ids: &[Id], common: Position) -> bool {
    let last = |at: usize| ids.get(at + 1).filter(|next| next.epoch == ids[at].epoch).map(|next| next.first - 1);
    let comes = |at: &usize| {
        let last = Position { epoch: ids[*at].epoch, seq: last(*at).unwrap_or(u64::MAX) };
        last > common
    };
    let needed: u64 = (0..ids.len()).filter(comes).map(|at| folder_size(&ids[at].folder(folder))).sum();
    needed == 0 || room::free(folder).is_none_or(|free| free >= needed + MARGIN)
}

fn place(folder: &Path) -> PathBuf {
    folder.join("cleared")
}
