//! A model of the agent's journal: what is in memory, what is on disk, what was damaged, what was let go.
//!
//! Always true: only records on disk are read; the chain after every record is known, also after a damaged one; the
//! last record of each epoch is kept, so that a hub which was restored can still be told what came before it.

use sitewarden_protocol::batch::{Draft, MAX_RAW};
use sitewarden_protocol::chain::{Chain, Cursor, Position};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{EpochExtent, MAX_EPOCHS};
use sitewarden_protocol::record::{Body, EpochBegun, Record, Run};
use sitewarden_protocol::time::UnixMillis;
use std::collections::{BTreeSet, VecDeque};

/// The journal of one virtual plant.
#[derive(Debug)]
pub struct Journal {
    agent: AgentId,
    epochs: Vec<Epoch>,
    bytes: usize,
    quota: usize,
    grace: usize,
    acknowledged: Position,
    /// Records that damage took and a later batch will declare lost.
    pub damaged: BTreeSet<Position>,
    /// Records that damage took and the beginning of a new epoch declares lost.
    pub cut: BTreeSet<Position>,
    /// Records that were let go because a receipt covered them.
    pub let_go: BTreeSet<Position>,
}

#[derive(Debug)]
struct Epoch {
    number: u64,
    /// Before the oldest record that is held.
    base: Cursor,
    slots: VecDeque<Slot>,
    /// How many of the slots are on disk.
    durable: usize,
}

#[derive(Debug)]
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
            damaged: BTreeSet::new(),
            cut: BTreeSet::new(),
            let_go: BTreeSet::new(),
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
        self.epochs.iter().any(|epoch| epoch.number == lost.epoch) || self.is_in_a_cut_epoch(lost)
    }

    /// Whether the end of this record's epoch was cut, at the record or after it.
    pub fn is_in_a_cut_epoch(&self, lost: Position) -> bool {
        self.cut.range(lost..Position { epoch: lost.epoch + 1, seq: 0 }).next().is_some()
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
                self.let_go.insert(position);
            }
        }
    }

    /// Damage is found on opening. Records inside an epoch are set aside, and a later batch declares them lost; if the
    /// end of an epoch is hit it is cut there, and a new epoch says so.
    pub fn damage(&mut self, from: Position, to: Position, at: UnixMillis) {
        let mut cut = 0;
        for epoch in &mut self.epochs {
            let reaches_end = to >= epoch.cursor(epoch.slots.len()).position && from <= to;
            for index in 0..epoch.slots.len() {
                let position = epoch.position(index);
                if !(from..=to).contains(&position) {
                    continue;
                }
                self.bytes -= epoch.slots[index].record.take().map_or(0, |record| record.len());
                self.damaged.insert(position);
            }
            while reaches_end && epoch.slots.back().is_some_and(|slot| slot.record.is_none()) {
                let position = epoch.position(epoch.slots.len() - 1);
                epoch.slots.pop_back();
                epoch.durable = epoch.durable.min(epoch.slots.len());
                self.damaged.remove(&position);
                self.cut.insert(position);
                cut += 1;
            }
        }
        if cut > 0 {
            self.begin_epoch(&format!("damage: {cut} records are lost"), cut, at);
        }
    }

    fn begin_epoch(&mut self, cause: &str, cut: u64, at: UnixMillis) {
        let Position { epoch: previous, seq: kept } = self.newest();
        let written = kept + cut;
        let body = Body::EpochBegun(EpochBegun { previous, kept, written, cause: cause.to_owned() });
        self.epochs.push(Epoch::begin(self.agent, previous + 1));
        self.push(Record::encode(at, &body).expect("small"));
        let begun = self.epochs.last_mut().expect("just pushed");
        begun.durable = 1;
        self.epochs.retain(|epoch| !epoch.slots.is_empty());
    }
}

impl Epoch {
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
