//! The generations there are, and reading from them.
//!
//! Always true: a database is open at most once: the one written to is held here by the writer, any other only in the
//! reader's slot. Lock order: reader, then state.

use super::generation::{Generation, Id};
use super::page::Page;
use super::retention::{self, Retention};
use super::store::Error;
use super::{Counters, Size, recovery};
use sitewarden_protocol::batch::{Draft, MAX_RAW, MAX_RECORDS};
use sitewarden_protocol::chain::{Chain, Cursor, Position};
use sitewarden_protocol::message::{EpochExtent, MAX_EPOCHS};
use sitewarden_protocol::record::{Record, Run, Total};
use sitewarden_protocol::time::UnixMillis;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Acknowledged generations that are kept, so that a hub restored from a backup can ask for their records again.
const KEPT: usize = 1;

pub(super) struct Shelf {
    pub(super) folder: PathBuf,
    pub(super) counters: Arc<Counters>,
    reader: Mutex<Option<Arc<Generation>>>,
    state: Mutex<State>,
    /// Totals that wait for room.
    folded: Mutex<Vec<Total>>,
}

struct State {
    generations: BTreeMap<Id, Extent>,
    /// Where each epoch ends.
    heads: BTreeMap<u64, Cursor>,
    /// The generation that is written to.
    current: Option<Arc<Generation>>,
    acknowledged: Position,
    /// See [`Shelf::supersede`].
    superseded: Position,
    checkpointed: Position,
    retention: Retention,
    /// What is kept of what was sent is in the way now.
    needs_room: bool,
}

#[derive(Clone, Copy)]
struct Extent {
    last: u64,
    bytes: u64,
    /// When it was last written to, if it is not any more.
    written: SystemTime,
}

impl Shelf {
    pub(super) fn new(
        folder: PathBuf,
        closed: BTreeMap<Id, u64>,
        heads: BTreeMap<u64, Cursor>,
        acknowledged: Position,
        quota: u64,
        counters: Arc<Counters>,
    ) -> Self {
        let extent = |(id, last): (Id, u64)| {
            let of_id = id.folder(&folder);
            (id, Extent { last, bytes: folder_size(&of_id), written: retention::written(&of_id) })
        };
        let generations = closed.into_iter().map(extent).collect();
        let (checkpointed, retention) = (Position::default(), Retention::nothing(quota));
        let (current, superseded, needs_room) = (None, Position::default(), false);
        let state =
            State { generations, heads, current, acknowledged, superseded, checkpointed, retention, needs_room };
        Self { reader: Mutex::new(None), state: Mutex::new(state), folded: Mutex::default(), folder, counters }
    }

    /// The writer begins with, or changes to, this generation.
    pub(super) fn begin(&self, generation: &Arc<Generation>, end: Cursor) {
        // While this is held nobody reads, so the handle that is replaced is the last one and its database closes: a
        // generation kept open for a reader that may not come for days would cost its memory all the while.
        let _reader = lock(&self.reader);
        let mut state = lock(&self.state);
        let id = generation.id;
        if let Some(before) = state.current.replace(Arc::clone(generation)) {
            retention::close(&before.id.folder(&self.folder));
            let bytes = folder_size(&before.id.folder(&self.folder));
            if let Some(extent) = state.generations.get_mut(&before.id) {
                (extent.bytes, extent.written) = (bytes, SystemTime::now());
            }
        }
        state.generations.insert(id, Extent { last: end.position.seq, bytes: 0, written: SystemTime::now() });
        state.heads.insert(id.epoch, end);
    }

    /// The writer has made records durable.
    pub(super) fn grown(&self, end: Cursor) {
        let mut state = lock(&self.state);
        if let Some(mut entry) = state.generations.last_entry() {
            entry.get_mut().last = end.position.seq;
        }
        state.heads.insert(end.position.epoch, end);
    }

    pub(super) fn acknowledge(&self, through: Position) {
        self.release(|state| state.acknowledged = state.acknowledged.max(through));
    }

    /// Nothing before this epoch's beginning is offered any more: what the hub did not have of it came again.
    pub(super) fn supersede(&self, through: Position) {
        self.release(|state| {
            state.superseded = state.superseded.max(through);
            state.acknowledged = state.acknowledged.max(through);
        });
    }

    /// The last record of this journal that the hub is known to have.
    pub(super) fn acknowledged(&self) -> Position {
        lock(&self.state).acknowledged
    }

    pub(super) fn checkpointed(&self, through: Position) {
        self.release(|state| state.checkpointed = state.checkpointed.max(through));
    }

    pub(super) fn keep_sent_for(&self, span: Duration) {
        self.release(|state| state.retention.span = span);
    }

    pub(super) fn tidy(&self) {
        self.release(|_| {});
    }

    /// Lets go of what is kept only because it may be: room is needed for what is to come.
    pub(super) fn make_room(&self) {
        self.release(|state| state.needs_room = true);
    }

    /// Lets go of generations that nobody needs any more.
    fn release(&self, learn: impl FnOnce(&mut State)) {
        let mut reader = lock(&self.reader);
        let released = {
            let mut state = lock(&self.state);
            learn(&mut state);
            state.take_released()
        };
        for id in released {
            if reader.as_ref().is_some_and(|open| open.id == id) {
                *reader = None;
            }
            if let Err(error) = fs::remove_dir_all(id.folder(&self.folder)) {
                tracing::warn!(generation = %id, %error, "an acknowledged generation of the journal cannot be removed");
            }
        }
    }

    /// See [`super::Journal::read_after`].
    pub(super) fn read_after(&self, after: Position) -> Result<Option<Draft>, Error> {
        let mut reader = lock(&self.reader);
        let mut from = after;
        loop {
            let Some((id, current)) = lock(&self.state).holding(from) else { return Ok(None) };
            let is_current = current.is_some();
            let last = if is_current { u64::MAX } else { lock(&self.state).last_of(id) };
            let start = from.max(id.before());
            let read = self.open(&mut reader, id, current).and_then(|generation| collect(&generation, start, last));
            match read {
                Ok(Some(draft)) => return Ok(Some(declare_loss(draft, after))),
                Ok(None) => from = Position { epoch: id.epoch, seq: lock(&self.state).last_of(id).max(from.seq + 1) },
                Err(Error::Damaged(reason)) if !is_current => {
                    tracing::error!(generation = %id, reason, "a generation of the journal is damaged; it is set aside and its records are declared lost");
                    *reader = None;
                    recovery::set_aside(&self.folder, id, &self.counters)?;
                    lock(&self.state).generations.remove(&id);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// See [`super::Journal::chain_at`].
    pub(super) fn chain_at(&self, position: Position) -> Result<Option<Chain>, Error> {
        let mut reader = lock(&self.reader);
        let Some(seq) = position.seq.checked_sub(1) else { return Ok(None) };
        let held = lock(&self.state).holding(Position { seq, ..position });
        let Some((id, current)) = held.filter(|(id, _)| id.epoch == position.epoch && id.first <= position.seq) else {
            return Ok(None);
        };
        let generation = self.open(&mut reader, id, current)?;
        let Some((first, page)) = generation.pages_from(position.seq).next().transpose()? else { return Ok(None) };
        let count = usize::try_from((position.seq + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let within = (1..=page.records.count() as usize).contains(&count);
        Ok(within.then(|| page.prev.then_all(page.records.iter().take(count))))
    }

    fn open(
        &self,
        reader: &mut Option<Arc<Generation>>,
        id: Id,
        current: Option<Arc<Generation>>,
    ) -> Result<Arc<Generation>, Error> {
        if let Some(open) = current.or_else(|| reader.take().filter(|open| open.id == id)) {
            if lock(&self.state).current.as_ref().is_none_or(|current| current.id != id) {
                *reader = Some(Arc::clone(&open));
            }
            return Ok(open);
        }
        let opened = Arc::new(Generation::open(&self.folder, id)?);
        *reader = Some(Arc::clone(&opened));
        Ok(opened)
    }

    pub(super) fn extents(&self) -> Vec<EpochExtent> {
        let state = lock(&self.state);
        let newest = state.heads.keys().next_back().copied();
        let mut extents: Vec<_> = state
            .heads
            .range(state.superseded.epoch..)
            .map(|(epoch, head)| EpochExtent {
                oldest: state.oldest_of(*epoch).unwrap_or(head.position.seq + 1),
                head: *head,
            })
            .collect();
        // What a restored hub may have lost makes room for what is to be sent; more than fits is sent in the sessions after.
        let is_confirmed = |extent: &&EpochExtent| {
            extent.head.position <= state.acknowledged && Some(extent.head.position.epoch) != newest
        };
        let confirmed = extents.iter().take_while(is_confirmed).count();
        extents.drain(..confirmed.min(extents.len().saturating_sub(MAX_EPOCHS)));
        extents.truncate(MAX_EPOCHS);
        extents
    }

    pub(super) fn size(&self) -> Size {
        let state = lock(&self.state);
        let acknowledged = state.acknowledged;
        let unacknowledged = |(epoch, head): (&u64, &Cursor)| {
            let from = if *epoch == acknowledged.epoch {
                acknowledged.seq
            } else {
                state.oldest_of(*epoch).map_or(head.position.seq, |oldest| oldest - 1)
            };
            if *epoch < acknowledged.epoch { 0 } else { head.position.seq.saturating_sub(from) }
        };
        let backlog = state.heads.iter().map(unacknowledged).sum();
        let closed: u64 = state.generations.values().map(|extent| extent.bytes).sum();
        let current = state.current.as_ref().map_or(0, |current| folder_size(&current.id.folder(&self.folder)));
        Size { backlog, bytes: closed + current }
    }

    /// Totals that wait for room, as they are now.
    pub(super) fn show_folded(&self, totals: Vec<Total>) {
        *lock(&self.folded) = totals;
    }

    /// See [`super::Journal::folded`].
    pub(super) fn folded(&self) -> Vec<Total> {
        lock(&self.folded).clone()
    }

    /// Bytes of the generations that are not written to any more.
    pub(super) fn closed_bytes(&self) -> u64 {
        lock(&self.state).generations.values().map(|extent| extent.bytes).sum()
    }

    pub(super) fn oldest_unacknowledged(&self) -> Option<UnixMillis> {
        let mut reader = lock(&self.reader);
        let (id, after, current) = {
            let state = lock(&self.state);
            let (id, current) = state.holding(state.acknowledged)?;
            (id, state.acknowledged.max(id.before()), current)
        };
        let generation = self.open(&mut reader, id, current).ok()?;
        let (first, page) = generation.pages_from(after.seq + 1).next()?.ok()?;
        let skip = usize::try_from((after.seq + 1).saturating_sub(first)).ok()?;
        let record = page.records.iter().nth(skip)?;
        Record::decode(record).ok().map(|record| record.at)
    }
}

impl State {
    /// The generation that holds the record after `after`, or the next one there is; with its handle if it is the one
    /// written to.
    fn holding(&self, after: Position) -> Option<(Id, Option<Arc<Generation>>)> {
        let next = Id { epoch: after.epoch, first: after.seq + 1 };
        let within = self
            .generations
            .range(..=next)
            .next_back()
            .filter(|(id, extent)| id.epoch == after.epoch && extent.last > after.seq);
        let (id, _) = within.or_else(|| self.generations.range(next..).find(|(id, extent)| extent.last >= id.first))?;
        let current = self.current.as_ref().filter(|current| current.id == *id).cloned();
        Some((*id, current))
    }

    fn last_of(&self, id: Id) -> u64 {
        self.generations.get(&id).map_or(0, |extent| extent.last)
    }

    fn oldest_of(&self, epoch: u64) -> Option<u64> {
        self.generations
            .range(Id { epoch, first: 0 }..)
            .next()
            .filter(|(id, _)| id.epoch == epoch)
            .map(|(id, _)| id.first)
    }

    fn take_released(&mut self) -> Vec<Id> {
        let floor = self.acknowledged.min(self.checkpointed);
        let current = self.current.as_ref().map(|current| current.id);
        let mut done: Vec<Id> = self
            .generations
            .iter()
            .take_while(|(id, extent)| Some(**id) != current && Position { epoch: id.epoch, seq: extent.last } <= floor)
            .map(|(id, _)| *id)
            .collect();
        done.truncate(done.len().saturating_sub(KEPT));
        let sent = done.iter().filter_map(|id| self.generations.get(id)).map(|extent| (extent.written, extent.bytes));
        let room = if std::mem::take(&mut self.needs_room) { 0 } else { self.retention.bytes };
        let retention = Retention { bytes: room, ..self.retention };
        done.truncate(retention.released(&sent.collect::<Vec<_>>()));
        for id in &done {
            self.generations.remove(id);
            let gone = self.oldest_of(id.epoch).is_none();
            if gone {
                self.heads.remove(&id.epoch);
            }
        }
        done
    }
}

/// One batch's records after `after` and up to `last`; `None` if the generation holds none.
fn collect(generation: &Generation, after: Position, last: u64) -> Result<Option<Draft>, Error> {
    let mut draft: Option<Draft> = None;
    let mut expected = None;
    for entry in generation.pages_from(after.seq + 1) {
        if expected.is_some_and(|expected| expected > last) {
            break;
        }
        let (first, page): (u64, Page) = entry?;
        if expected.is_some_and(|expected| expected != first) {
            return Err(Error::Damaged(format!("the records before {first} are missing")));
        }
        expected = Some(first + u64::from(page.records.count()));
        let skip = usize::try_from((after.seq + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let mut chain = page.prev;
        for (index, record) in page.records.iter().enumerate() {
            if index < skip {
                chain = chain.then(record);
                continue;
            }
            let draft = draft.get_or_insert_with(|| {
                let seq = first + index as u64 - 1;
                Draft {
                    after: Cursor { position: Position { epoch: after.epoch, seq }, chain },
                    lost: 0,
                    records: Run::default(),
                }
            });
            let full =
                draft.records.count() >= MAX_RECORDS || draft.records.as_bytes().len() + 2 + record.len() > MAX_RAW;
            if full {
                return Ok(Some(draft.clone()));
            }
            draft.records.push(record);
        }
    }
    Ok(draft)
}

/// Says how many records between what was asked for and what was found are lost.
fn declare_loss(mut draft: Draft, asked_after: Position) -> Draft {
    let found = draft.after.position;
    let had = if found.epoch == asked_after.epoch { asked_after.seq } else { 0 };
    draft.lost = found.seq.saturating_sub(had);
    draft
}

pub(super) fn folder_size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| {
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() { folder_size(&entry.path()) } else { metadata.len() })
    };
    entries.filter_map(|entry| size(entry.ok()?)).sum()
}

/// A panic while a lock is held leaves plain numbers behind, which stay usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
