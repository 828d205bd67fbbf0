//! What is found when the journal is opened, and what is done about damage.
//!
//! The newest generation is read whole, because only it can have been written to when the machine stopped. If it is
//! damaged, the numbers it gave out are unknown, so a new epoch begins. Damage in an older one is met, and declared as
//! a loss, when it is read.

use super::generation::{Generation, Id};
use super::mark::Mark;
use super::store::{Error, sync_folder};
use super::{Counters, quarantine};
use sitewarden_protocol::chain::{Cursor, Position};
use sitewarden_protocol::record::EpochBegun;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What the journal goes on from.
pub(super) struct Recovered {
    /// The generations that are complete, with the number of each one's last record.
    pub(super) closed: BTreeMap<Id, u64>,
    /// Where each epoch but the one written to ends.
    pub(super) heads: BTreeMap<u64, Cursor>,
    /// Where writing goes on.
    pub(super) tail: Tail,
}

/// Where writing goes on.
pub(super) enum Tail {
    /// In this generation, after this record.
    Resume(Generation, Cursor),
    /// In a new epoch, whose first record gives the cause.
    Begin {
        /// The new epoch's number.
        epoch: u64,
        /// What its first record says.
        begun: EpochBegun,
    },
}

pub(super) fn recover(folder: &Path, counters: &Counters) -> Result<Recovered, Error> {
    fs::create_dir_all(folder).map_err(Error::io("creating the journal"))?;
    if let Some(parent) = folder.parent() {
        sync_folder(parent)?;
    }
    let mut ids = generations(folder)?;
    let newest_epoch = ids.last().map_or(0, |id| id.epoch).max(highest_set_aside(folder)?);
    let mut damage = None;
    let mut tail = None;
    let marked = Mark::open(folder)?.read();
    while let Some(id) = ids.pop() {
        match open_whole(folder, id, marked) {
            Ok((generation, Some(end), unsound)) => {
                // What is sound is kept and sent; nothing more is written behind it.
                damage = damage.or(unsound);
                tail = Some((generation, end));
                break;
            }
            // What a kill right after its creation leaves.
            Ok((generation, None, _)) => {
                drop(generation);
                fs::remove_dir_all(id.folder(folder)).map_err(Error::io("removing an empty generation"))?;
            }
            Err(Error::Damaged(reason)) => {
                tracing::error!(generation = %id, reason, "a generation of the journal is damaged; it is set aside");
                set_aside(folder, id, counters)?;
                damage.get_or_insert(reason);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some((_, end)) = tail.as_ref().filter(|(_, end)| end.position < marked) {
        damage.get_or_insert(format!("it ends at {}, and was written up to {marked}", end.position));
    }
    let newest_epoch = newest_epoch.max(marked.epoch);
    let (mut closed, mut heads) = older(folder, &ids, tail.as_ref().map(|(generation, _)| generation.id), counters)?;
    let tail = match (tail, damage) {
        (Some((generation, end)), None) => Tail::Resume(generation, end),
        (tail, damage) => {
            if let Some((generation, end)) = tail {
                closed.insert(generation.id, end.position.seq);
                heads.insert(generation.id.epoch, end);
            }
            let cause = match damage {
                Some(reason) => format!("the journal was damaged: {reason}"),
                None if newest_epoch == 0 => "enrolled".to_owned(),
                None => format!("the journal was removed; it was written up to {marked}"),
            };
            let kept = heads.get(&newest_epoch).map_or(0, |head| head.position.seq);
            let written = if marked.epoch == newest_epoch { marked.seq.max(kept) } else { kept };
            Tail::Begin { epoch: newest_epoch + 1, begun: EpochBegun { previous: newest_epoch, kept, written, cause } }
        }
    };
    Ok(Recovered { closed, heads, tail })
}

/// A generation, where what is sound of it ends, and what is wrong after that.
type Opened = (Generation, Option<Cursor>, Option<String>);

/// Opens a generation and reads all of it. One of which nothing is sound is an error.
fn open_whole(folder: &Path, id: Id, marked: Position) -> Result<Opened, Error> {
    let generation = Generation::open(folder, id)?;
    let (end, unsound) = generation.verify()?;
    let had = Position { epoch: id.epoch, seq: id.first };
    match (end, unsound) {
        (None, Some(reason)) => Err(Error::Damaged(reason)),
        (None, None) if marked >= had => Err(Error::Damaged("it is empty, and was not".to_owned())),
        (end, unsound) => Ok((generation, end, unsound)),
    }
}

fn generations(folder: &Path) -> Result<Vec<Id>, Error> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("reading the journal"))? {
        let entry = entry.map_err(Error::io("reading the journal"))?;
        ids.extend(entry.file_name().to_str().and_then(Id::parse));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// The highest epoch among the generations in quarantine: its number may have been used and is not used again.
fn highest_set_aside(folder: &Path) -> Result<u64, Error> {
    let quarantine = quarantine(folder);
    if !quarantine.exists() {
        return Ok(0);
    }
    Ok(generations(&quarantine)?.last().map_or(0, |id| id.epoch))
}

/// The last record of each generation, and the end of each epoch.
type Older = (BTreeMap<Id, u64>, BTreeMap<u64, Cursor>);

/// Where the older generations end. The next one of the same epoch says so by its name; only the last of an epoch is
/// opened and read, for what is sound of it and the chain there.
fn older(folder: &Path, ids: &[Id], tail: Option<Id>, counters: &Counters) -> Result<Older, Error> {
    let (mut closed, mut heads) = (BTreeMap::new(), BTreeMap::new());
    let mut next = tail;
    for id in ids.iter().rev() {
        if let Some(next) = next.filter(|next| next.epoch == id.epoch) {
            closed.insert(*id, next.first - 1);
        } else {
            match Generation::open(folder, *id).and_then(|generation| generation.verify()) {
                Ok((Some(end), _)) => {
                    closed.insert(*id, end.position.seq);
                    heads.insert(id.epoch, end);
                }
                Ok((None, _)) => continue,
                Err(Error::Damaged(reason)) => {
                    tracing::error!(generation = %id, reason, "a generation of the journal is damaged; it is set aside");
                    set_aside(folder, *id, counters)?;
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        next = Some(*id);
    }
    Ok((closed, heads))
}

/// Moves a damaged generation out of the way; it is kept for whoever wants to look at it.
pub(super) fn set_aside(folder: &Path, id: Id, counters: &Counters) -> Result<(), Error> {
    let quarantine = quarantine(folder);
    fs::create_dir_all(&quarantine).map_err(Error::io("creating the quarantine folder"))?;
    let mut target = id.folder(&quarantine);
    if target.exists() {
        // Its place is taken by an earlier copy of the same numbers; one is enough to look at.
        target = quarantine.join(format!("{id}.again"));
        fs::remove_dir_all(&target)
            .or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .map_err(Error::io("making room in quarantine"))?;
    }
    fs::rename(id.folder(folder), target).map_err(Error::io("setting a damaged generation aside"))?;
    sync_folder(&quarantine)?;
    sync_folder(folder)?;
    counters.set_aside.inc();
    Ok(())
}
