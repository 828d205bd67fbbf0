//! A model of the agent's journal: what is in memory, what is on disk, what was damaged, what was let go.
//!
//! Always true: only records on disk are read; the chain after every record is known, also after a damaged one; the
//! last record of each epoch is kept, so that a hub which was restored can still be told what came before it.

use sitewarden_protocol::batch::{Draft, MAX_RAW};
use sitewarden_protocol::chain::{Chain, Cursor, Position};
use sitewarden_protocol::clearance::Clearance;
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{EpochExtent, MAX_EPOCHS};
use sitewarden_protocol::record::{Body, EpochBegun, Record, Run};
use sitewarden_protocol::time::UnixMillis;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The journal of one virtual plant; a clone is a copy of its disk.
#[derive(Debug, Clone)]
pub struct Journal {
    agent: AgentId,
    epochs: Vec<Epoch>,
    bytes: usize,
    quota: usize,
    grace: usize,
    acknowledged: Position,
    /// The hub's word that a fresh epoch is to be begun: at least this one, for what was recorded after that.
    cleared: Option<(u64, Position)>,
    /// Ends of epochs that damage took, by epoch.
    cuts: BTreeMap<u64, Cut>,
    /// What became of records that are not here any more.
    pub fate: Fate,
}

/// The end of an epoch that damage took.
#[derive(Debug, Clone, Copy)]
struct Cut {
    kept: u64,
    written: u64,
    /// The record that says so.
    told_at: Option<Position>,
}

/// What became of records that are not in a journal any more.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    /// Damage took them, and a later batch will declare them lost.
    pub damaged: BTreeSet<Position>,
    /// Damage took them, and the beginning of a new epoch declares them lost.
    pub cut: BTreeSet<Position>,
    /// They were let go because a receipt covered them.
    pub let_go: BTreeSet<Position>,
    /// What the records were that damage took.
    pub lost: BTreeSet<Vec<u8>>,
}

impl Fate {
    /// Whether the end of this record's epoch was cut, at the record or after it.
    pub fn is_in_a_cut_epoch(&self, lost: Position) -> bool {
        self.cut.range(lost..Position { epoch: lost.epoch + 1, seq: 0 }).next().is_some()
    }

    /// Adds what another journal knows.
    pub fn learn(&mut self, other: &Self) {
        self.damaged.extend(&other.damaged);
        self.cut.extend(&other.cut);
        self.let_go.extend(&other.let_go);
    }
}

#[derive(Debug, Clone)]
struct Epoch {
    number: u64,
    /// Before the oldest record that is held.
    base: Cursor,
    slots: VecDeque<Slot>,
    /// How many of the slots are on disk.
    durable: usize,
}

#[derive(Debug, Clone)]
struct Slot {
    /// `None` once damaged.
    record: Option<Vec<u8>>,
    chain: Chain,
}

/// The journal would grow over its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Epoch {
    fn begin(agent: AgentId, number: u64) -> Self {
        Self { number, base: Cursor::start(agent, number), slots: VecDeque::new(), durable: 0 }
    }

    fn position(&self, index: usize) -> Position {
        Position { epoch: self.number, seq: self.base.position.seq + 1 + index as u64 }
    }

    fn cursor(&self, count: usize) -> Cursor {
        let position = Position { epoch: self.number, seq: self.base.position.seq + count as u64 };
        let chain = if count == 0 { self.base.chain } else { self.slots[count - 1].chain };
        Cursor { position, chain }
    }

    /// The slot of the first record after a position.
    fn index_after(&self, after: Position) -> usize {
        let seq = if after.epoch == self.number { after.seq } else { 0 };
        usize::try_from(seq.saturating_sub(self.base.position.seq)).expect("small")
    }
}

impl Journal {
    /// A journal in its first epoch.
    pub fn new(agent: AgentId, quota: usize, grace: usize) -> Self {
        Self {
            agent,
            epochs: vec![Epoch::begin(agent, 1)],
            bytes: 0,
            quota,
            grace,
            acknowledged: Position::default(),
            cleared: None,
            cuts: BTreeMap::new(),
            fate: Fate::default(),
        }
    }

    /// Appends a record in memory.
    ///
    /// # Errors
    /// [`Full`] over the quota; a caller gets the 507.
    pub fn append(&mut self, record: Vec<u8>) -> Result<Position, Full> {
        if self.bytes + record.len() > self.quota {
            return Err(Full);
        }
        Ok(self.push(record))
    }

    fn push(&mut self, record: Vec<u8>) -> Position {
        self.bytes += record.len();
        let epoch = self.epochs.last_mut().expect("there is always an epoch");
        let chain = epoch.cursor(epoch.slots.len()).chain.then(&record);
        epoch.slots.push_back(Slot { record: Some(record), chain });
        epoch.position(epoch.slots.len() - 1)
    }

    /// The newest record, on disk or not.
    pub fn newest(&self) -> Position {
        let epoch = self.epochs.last().expect("there is always an epoch");
        epoch.cursor(epoch.slots.len()).position
    }

    /// The newest record on disk.
    pub fn head(&self) -> Cursor {
        let epoch = self.epochs.last().expect("there is always an epoch");
        epoch.cursor(epoch.durable)
    }

    /// A sync that began when `through` was the newest record has reached the disk.
    pub fn synced(&mut self, through: Position) {
        let epoch = self.epochs.last_mut().expect("there is always an epoch");
        if through.epoch == epoch.number {
            epoch.durable = epoch.durable.max(epoch.index_after(through));
        }
    }

    /// The process is killed: of what was not synced, only the first `survive` records are found again. They count as
    /// on disk from now on, because opening syncs before anything is sent.
    pub fn killed(&mut self, survive: usize) {
        let epoch = self.epochs.last_mut().expect("there is always an epoch");
        let keep = epoch.slots.len().min(epoch.durable + survive);
        for slot in epoch.slots.drain(keep..) {
            self.bytes -= slot.record.map_or(0, |record| record.len());
        }
        epoch.durable = keep;
    }

    /// Records on disk, undamaged.
    pub fn held(&self) -> impl Iterator<Item = (Position, &[u8])> {
        self.epochs.iter().flat_map(|epoch| {
            let on_disk = epoch.slots.iter().take(epoch.durable).enumerate();
            on_disk.filter_map(|(index, slot)| Some((epoch.position(index), slot.record.as_deref()?)))
        })
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last acknowledged record, as the disk knows it.
    pub fn acknowledged(&self) -> Position {
        self.acknowledged
    }

    /// Whether something that follows a record can still say that the record is lost: a later record of its epoch, or
    /// the new epoch that began when the end of its epoch was cut.
    pub fn can_declare(&self, lost: Position) -> bool {
        self.epochs.iter().any(|epoch| epoch.number == lost.epoch) || self.fate.is_in_a_cut_epoch(lost)
    }

    /// The chain after a record; `None` if the record is not here.
    pub fn chain_at(&self, position: Position) -> Option<Chain> {
        let epoch = self.epochs.iter().find(|epoch| epoch.number == position.epoch)?;
        let index = position.seq.checked_sub(epoch.base.position.seq + 1)?;
        Some(epoch.slots.get(usize::try_from(index).ok()?)?.chain)
    }

    /// What a hello says.
    pub fn extents(&self) -> Vec<EpochExtent> {
        let extent =
            |epoch: &Epoch| EpochExtent { oldest: epoch.base.position.seq + 1, head: epoch.cursor(epoch.durable) };
        self.epochs.iter().take(MAX_EPOCHS).map(extent).collect()
    }

    /// The next records after a position as one batch of at most `most`; `None` if there are none on disk.
    pub fn read(&self, after: Position, most: u32) -> Option<Draft> {
        self.draft(after, most, |epoch| epoch.durable)
    }

    /// The same, records that are not on disk included: what a journal must never do.
    pub fn read_unsynced(&self, after: Position, most: u32) -> Option<Draft> {
        self.draft(after, most, |epoch| epoch.slots.len())
    }

    fn draft(&self, after: Position, most: u32, end: impl Fn(&Epoch) -> usize) -> Option<Draft> {
        self.epochs.iter().filter(|epoch| epoch.number >= after.epoch).find_map(|epoch| {
            let from = epoch.index_after(after);
            let first = (from..end(epoch)).find(|index| epoch.slots[*index].record.is_some())?;
            let lost = epoch.lost_before(first, after);
            let mut records = Run::default();
            let whole = epoch.slots.range(first..end(epoch)).map_while(|slot| slot.record.as_deref());
            for record in whole.take(usize::try_from(most).expect("small")) {
                if records.as_bytes().len() + record.len() + 2 > MAX_RAW {
                    break;
                }
                records.push(record);
            }
            Some(Draft { after: epoch.cursor(first), lost, records })
        })
    }

    /// A signed receipt covers everything up to here: beyond the grace window it may go.
    pub fn acknowledge(&mut self, through: Position) {
        self.acknowledged = self.acknowledged.max(through);
        self.cuts.retain(|_, cut| cut.told_at.is_none_or(|at| at > through));
        let covered = self.held().filter(|(position, _)| *position <= through).count();
        let mut surplus = covered.saturating_sub(self.grace);
        for epoch in &mut self.epochs {
            // The last record of an epoch stays, see above.
            while epoch.slots.len() > 1 && epoch.position(0) <= through && surplus > 0 {
                let position = epoch.position(0);
                let slot = epoch.slots.pop_front().expect("it is not empty");
                epoch.base = Cursor { position, chain: slot.chain };
                epoch.durable -= 1;
                if let Some(record) = slot.record {
                    self.bytes -= record.len();
                    surplus -= 1;
                }
                self.fate.let_go.insert(position);
            }
        }
    }

    /// Damage is found on opening. Records inside an epoch are set aside, and a later batch declares them lost; if the
    /// end of an epoch is hit it is cut there, and a new epoch says so.
    pub fn damage(&mut self, from: Position, to: Position, at: UnixMillis) {
        for epoch in &mut self.epochs {
            let end = epoch.cursor(epoch.slots.len()).position;
            let reaches_end = to >= end && from <= to;
            for index in 0..epoch.slots.len() {
                let position = epoch.position(index);
                if !(from..=to).contains(&position) {
                    continue;
                }
                if let Some(record) = epoch.slots[index].record.take() {
                    self.bytes -= record.len();
                    self.fate.lost.insert(record);
                }
                self.fate.damaged.insert(position);
            }
            while reaches_end && epoch.slots.back().is_some_and(|slot| slot.record.is_none()) {
                let position = epoch.position(epoch.slots.len() - 1);
                epoch.slots.pop_back();
                epoch.durable = epoch.durable.min(epoch.slots.len());
                self.fate.damaged.remove(&position);
                self.fate.cut.insert(position);
                let cut = self.cuts.entry(epoch.number).or_insert(Cut { kept: 0, written: end.seq, told_at: None });
                (cut.kept, cut.told_at) = (position.seq - 1, None);
            }
        }
        // What told of a cut may itself be gone now.
        let gone = |at: &Position| self.fate.damaged.contains(at) || self.fate.cut.contains(at);
        self.cuts.values_mut().for_each(|cut| cut.told_at = cut.told_at.filter(|at| !gone(at)));
        if self.cuts.values().any(|cut| cut.told_at.is_none()) {
            self.begin_epoch(at);
        }
    }

    fn begin_epoch(&mut self, at: UnixMillis) {
        let newest = self.newest().epoch;
        self.epochs.push(Epoch::begin(self.agent, newest + 1));
        self.tell_of_cuts(at);
        self.epochs.retain(|epoch| !epoch.slots.is_empty());
    }

    /// Says which ends of epochs are lost, as far as no record does.
    fn tell_of_cuts(&mut self, at: UnixMillis) {
        for (previous, mut cut) in std::mem::take(&mut self.cuts) {
            let told_at = cut.told_at.unwrap_or_else(|| {
                let (kept, written) = (cut.kept, cut.written);
                self.push_durably(said(EpochBegun { previous, kept, written, cause: "damaged".into() }, at))
            });
            cut.told_at = Some(told_at);
            self.cuts.insert(previous, cut);
        }
    }

    fn push_durably(&mut self, record: Vec<u8>) -> Position {
        let position = self.push(record);
        let epoch = self.epochs.last_mut().expect("there is always an epoch");
        epoch.durable = epoch.slots.len();
        position
    }

    /// Keeps the hub's word that this journal goes on in a fresh epoch, for the next start. Answers whether it was news.
    pub fn clear(&mut self, clearance: &Clearance) -> bool {
        let head = self.head().position;
        if clearance.epoch <= head.epoch {
            return false;
        }
        let shared = clearance.known.iter().find(|known| self.chain_at(known.position) == Some(known.chain));
        let common = shared.map_or_else(Position::default, |known| known.position).max(self.acknowledged.min(head));
        self.cleared = Some((clearance.epoch, common));
        true
    }

    /// Carries out what [`Journal::clear`] kept: what was recorded since the histories parted comes again in a fresh epoch,
    /// quota or not, and the old ones are of no more use. Answers where records came to be.
    pub fn carry_over(&mut self, at: UnixMillis) -> Vec<(Position, Vec<u8>)> {
        let Some((epoch, common)) = self.cleared.take() else { return vec![] };
        let newest = self.newest().epoch;
        let old = std::mem::take(&mut self.epochs);
        self.bytes = 0;
        self.epochs.push(Epoch::begin(self.agent, epoch.max(newest + 1)));
        let kept = if common.epoch == newest { common.seq } else { 0 };
        self.push_durably(said(EpochBegun { previous: newest, kept, written: kept, cause: "cleared".into() }, at));
        let mut places = vec![];
        for epoch in &old {
            let mut lost: Option<(u64, u64)> = None;
            for (index, slot) in epoch.slots.iter().enumerate().skip(epoch.index_after_common(common)) {
                let seq = epoch.position(index).seq;
                let Some(record) = &slot.record else {
                    lost = Some((lost.map_or(seq - 1, |(kept, _)| kept), seq));
                    continue;
                };
                self.declare(epoch.number, lost.take(), at);
                let (from, to) = (epoch.position(index), self.push_durably(record.clone()));
                let told = self.cuts.values_mut().filter(|cut| cut.told_at == Some(from));
                told.for_each(|cut| cut.told_at = Some(to));
                places.push((to, record.clone()));
            }
            self.declare(epoch.number, lost, at);
        }
        self.acknowledged = Position { epoch: self.newest().epoch, seq: 0 };
        places
    }

    /// A record that is left out without a word: what a journal must never do.
    pub fn forget(&mut self, at: Position) {
        let epoch = self.epochs.last_mut().expect("there is always an epoch");
        let index = epoch.index_after(Position { seq: at.seq - 1, ..at });
        epoch.slots[index].record = None;
    }

    fn declare(&mut self, previous: u64, lost: Option<(u64, u64)>, at: UnixMillis) {
        if let Some((kept, written)) = lost {
            self.push_durably(said(EpochBegun { previous, kept, written, cause: "damaged".into() }, at));
        }
    }
}

fn said(begun: EpochBegun, at: UnixMillis) -> Vec<u8> {
    Record::encode(at, &Body::EpochBegun(begun)).expect("small")
}

impl Epoch {
    /// The slot of the first record after the place where histories parted.
    fn index_after_common(&self, common: Position) -> usize {
        if self.number < common.epoch { self.slots.len() } else { self.index_after(common) }
    }

    /// How many records right before `first` are gone for good, as far as a reader after `after` has to be told.
    fn lost_before(&self, first: usize, after: Position) -> u64 {
        let seq = self.position(first).seq;
        if after.epoch == self.number {
            return seq - 1 - after.seq.min(seq - 1);
        }
        let damaged = (0..first).rev().take_while(|index| self.slots[*index].record.is_none()).count() as u64;
        if damaged == first as u64 && self.base.position.seq == 0 { seq - 1 } else { damaged }
    }
}
