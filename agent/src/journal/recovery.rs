//! What is found when the journal is opened, and what is done about damage.
//!
//! The newest generation is read whole, because only it can have been written to when the machine stopped. If it is
//! damaged, the numbers it gave out are unknown, so a new epoch begins. Damage in an older one is met, and declared as
//! a loss, when it is read.

use super::clearing::Cleared;
use super::cuts::Cuts;
use super::generation::{Generation, Id};
use super::mark::Mark;
use super::store::{Error, sync_folder};
use super::{Counters, quarantine};
use sitewarden_protocol::chain::{Cursor, Position};
use sitewarden_protocol::record::{Body, EpochBegun, Record};
use std::collections::{BTreeMap, BTreeSet};
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
        /// What its first records say: of the epoch before, and of any older one whose end is lost.
        begun: Vec<EpochBegun>,
    },
}

pub(super) fn recover(folder: &Path, acknowledged: Position, counters: &Counters) -> Result<Recovered, Error> {
    fs::create_dir_all(folder).map_err(Error::io("creating the journal"))?;
    if let Some(parent) = folder.parent() {
        sync_folder(parent)?;
    }
    let mut ids = generations(folder)?;
    let cleared = Cleared::due(folder, &ids);
    if let Some(cleared) = &cleared {
        cleared.undo(folder, &mut ids)?;
    }
    let newest_epoch = ids.last().map_or(0, |id| id.epoch).max(highest_set_aside(folder)?);
    let present: BTreeSet<u64> = ids.iter().map(|id| id.epoch).collect();
    let marked = Mark::open(folder)?.read();
    let (tail, damage) = newest(folder, &mut ids, marked, counters)?;
    let newest_epoch = newest_epoch.max(marked.epoch);
    let declared = declared(folder, &ids, tail.as_ref().map(|(generation, _)| generation))?;
    let (mut closed, mut heads) = older(folder, &ids, tail.as_ref().map(|(generation, _)| generation.id), counters)?;
    let mut lost = lost(&declared, &present, &heads, tail.as_ref().map(|(_, end)| end.position.epoch));
    let mut cuts = Cuts::read(folder, acknowledged);
    lost.extend(cuts.untold(&declared));
    let tail = match (tail, damage) {
        (Some((generation, end)), None) if lost.is_empty() && cleared.is_none() => Tail::Resume(generation, end),
        (tail, damage) => {
            if let Some((generation, end)) = tail {
                closed.insert(generation.id, end.position.seq);
                heads.insert(generation.id.epoch, end);
            }
            let cause = match damage {
                Some(reason) => format!("the journal was damaged: {reason}"),
                None if !lost.is_empty() => "the end of an older epoch was damaged".to_owned(),
                None if newest_epoch == 0 => "enrolled".to_owned(),
                None => format!("the journal was removed; it was written up to {marked}"),
            };
            let kept = heads.get(&newest_epoch).map_or(0, |head| head.position.seq);
            let written = if marked.epoch == newest_epoch { marked.seq.max(kept) } else { kept };
            let newest = EpochBegun { previous: newest_epoch, kept, written, cause };
            let mut begun = Vec::new();
            if let Some(cleared) = &cleared {
                begun.push(cleared.begun(heads.keys().next_back().copied().unwrap_or_default()));
            }
            if cleared.is_none() || written > kept {
                begun.push(newest);
            }
            begun.extend(lost);
            let epoch = cleared.map_or(0, |cleared| cleared.epoch).max(newest_epoch + 1);
            cuts.tell(folder, epoch, &begun)?;
            Tail::Begin { epoch, begun }
        }
    };
    Ok(Recovered { closed, heads, tail })
}

/// Where writing may go on, and what is wrong there.
type Newest = (Option<(Generation, Cursor)>, Option<String>);

/// The newest generation of which anything is sound; those after it are taken off `ids`, and it is too.
fn newest(folder: &Path, ids: &mut Vec<Id>, marked: Position, counters: &Counters) -> Result<Newest, Error> {
    let mut damage = None;
    let mut tail = None;
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
    Ok((tail, damage))
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

/// The generations that are in a folder, oldest first.
pub(super) fn generations(folder: &Path) -> Result<Vec<Id>, Error> {
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

/// What the first records of the epochs that are here say of the epochs before them: how far each was kept, the lowest
/// word counting.
fn declared(folder: &Path, ids: &[Id], tail: Option<&Generation>) -> Result<BTreeMap<u64, u64>, Error> {
    let mut kept = BTreeMap::new();
    let mut read = |generation: &Generation| {
        let Some(Ok((_, page))) = generation.pages_from(1).next() else { return };
        let bodies = page.records.iter().map_while(|record| Record::decode(record).ok()?.decode_body().ok());
        for body in bodies {
            let Body::EpochBegun(begun) = body else { break };
            let lowest = kept.entry(begun.previous).or_insert(begun.kept);
            *lowest = begun.kept.min(*lowest);
        }
    };
    for id in ids.iter().filter(|id| id.first == 1) {
        match Generation::open(folder, *id) {
            Ok(generation) => read(&generation),
            Err(Error::Damaged(_)) => {} // Met again, and set aside, when its end is looked for.
            Err(error) => return Err(error),
        }
    }
    tail.filter(|generation| generation.id.first == 1).into_iter().for_each(read);
    Ok(kept)
}

/// The older epochs that end before the place up to which they were last said to be kept.
fn lost(
    declared: &BTreeMap<u64, u64>,
    present: &BTreeSet<u64>,
    heads: &BTreeMap<u64, Cursor>,
    tail: Option<u64>,
) -> Vec<EpochBegun> {
    let cut = |(epoch, written): (&u64, &u64)| {
        let kept = heads.get(epoch).map_or(0, |head| head.position.seq);
        let here = present.contains(epoch) && Some(*epoch) != tail;
        let cause = "the end of this epoch was damaged before it was sent".to_owned();
        (here && kept < *written).then_some(EpochBegun { previous: *epoch, kept, written: *written, cause })
    };
    declared.iter().filter_map(cut).collect()
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
