//! A model of the hub's store: rows, gaps and cursor of each epoch, changed together or not at all.

use sitewarden_protocol::batch::Header;
use sitewarden_protocol::chain::{Chain, Cursor, Position};
use sitewarden_protocol::clearance::MAX_KNOWN;
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{Hello, Refusal};
use sitewarden_protocol::record::Run;
use sitewarden_protocol::sync::admission::{Admission, admit};
use std::collections::{BTreeMap, BTreeSet};

/// Everything committed of one agent.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// By epoch.
    pub shelves: BTreeMap<u64, Shelf>,
    /// Every record that was ever committed, backups notwithstanding.
    pub ever: BTreeSet<Position>,
    /// The newest epoch that the agent said it is in.
    pub said: u64,
    /// Whether it ever came back from a backup.
    pub restored: bool,
    /// From which epoch on an administrator lets the agent go on.
    pub cleared: u64,
}

/// Everything committed of one epoch.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// What a receipt says.
    pub cursor: Cursor,
    /// Sequence number and bytes, in the order of storing.
    pub rows: Vec<(u64, Vec<u8>)>,
    /// What was declared lost.
    pub gaps: Vec<Gap>,
    /// The chain after each row, and which of them end a batch.
    chains: BTreeMap<u64, (Chain, bool)>,
}

/// Records that the agent declared lost, by its signature.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    /// The first lost record.
    pub first: u64,
    /// The last lost record.
    pub last: u64,
    /// The chain after it, as the agent says.
    pub chain: Chain,
}

/// How a mutated hub breaks the rule of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Laxity {
    /// Not at all.
    None,
    /// It stores what it has already once more.
    StoresRepeats,
    /// It takes a batch although records before it are missing.
    IgnoresGaps,
    /// It keeps no record of what was declared lost.
    ForgetsLosses,
}

impl Store {
    /// The store comes back as it was when the backup was made.
    pub fn restore(&mut self, backup: &Self) {
        self.shelves = backup.shelves.clone();
        (self.cleared, self.said) = (backup.cleared, backup.said);
        self.restored = true;
    }

    /// An administrator lets the agent go on in an epoch that was never seen.
    pub fn clear(&mut self) {
        self.cleared = 1 + self.cleared.max(self.said).max(self.shelves.keys().next_back().copied().unwrap_or(0));
    }

    /// Whether an agent that says this tells another history than the one here, or an older one.
    pub fn contradicts(&self, hello: &Hello) -> bool {
        let Some(claimed) = hello.epochs.iter().map(|extent| extent.head).max_by_key(|head| head.position) else {
            return false;
        };
        let Some(known) = self.shelves.values().next_back().map(|shelf| shelf.cursor) else { return false };
        claimed.position <= known.position && claimed != known
    }

    /// Places in the history here, the newest first.
    pub fn known(&self) -> Vec<Cursor> {
        let ends = self.shelves.iter().rev().flat_map(|(&epoch, shelf)| {
            let ends = shelf.chains.iter().rev().filter(|(_, (_, ends_batch))| *ends_batch);
            ends.map(move |(&seq, &(chain, _))| Cursor { position: Position { epoch, seq }, chain })
        });
        ends.take(MAX_KNOWN).collect()
    }

    /// What is there of an epoch.
    pub fn cursor(&self, agent: AgentId, epoch: u64) -> Cursor {
        self.shelves.get(&epoch).map_or_else(|| Cursor::start(agent, epoch), |shelf| shelf.cursor)
    }

    /// Whether everything up to there is here, or was declared lost; of this history, not of another.
    pub fn has(&self, agent: AgentId, head: Cursor) -> bool {
        let Position { epoch, seq } = head.position;
        let here = self.shelves.get(&epoch).and_then(|shelf| shelf.chains.get(&seq));
        self.cursor(agent, epoch).position.seq >= seq && here.is_none_or(|(chain, _)| *chain == head.chain)
    }

    /// Stores one verified batch and answers the new cursor.
    ///
    /// # Errors
    /// As `admit` says.
    pub fn take(&mut self, header: &Header, run: &Run, laxity: Laxity) -> Result<Cursor, Refusal> {
        let have = self.cursor(header.agent, header.epoch);
        let admission = match admit(&have, header, run) {
            Ok(Admission::Duplicate) if laxity == Laxity::StoresRepeats => Admission::Append { skip: 0, lost: 0 },
            Err(Refusal::Missing(_)) if laxity == Laxity::IgnoresGaps => Admission::Append { skip: 0, lost: 0 },
            decided => decided?,
        };
        let Admission::Append { skip, lost } = admission else {
            let here = self.shelves.get(&header.epoch).and_then(|shelf| shelf.chains.get(&header.last));
            return if here.is_some_and(|(chain, _)| *chain != header.head) { Err(Refusal::Fork) } else { Ok(have) };
        };
        let empty = Shelf { cursor: have, rows: vec![], gaps: vec![], chains: BTreeMap::new() };
        let shelf = self.shelves.entry(header.epoch).or_insert(empty);
        if lost > 0 && laxity != Laxity::ForgetsLosses {
            shelf.gaps.push(Gap { first: header.first - lost, last: header.first - 1, chain: header.prev });
        }
        let mut chain = header.prev;
        for (seq, record) in (header.first..).zip(run.iter()) {
            chain = chain.then(record);
            shelf.chains.entry(seq).or_insert((chain, false)).1 |= seq == header.last;
        }
        shelf.rows.extend((header.first..).zip(run.iter().map(<[u8]>::to_vec)).skip(skip));
        self.ever.extend((header.first..=header.last).skip(skip).map(|seq| Position { epoch: header.epoch, seq }));
        shelf.cursor = header.end();
        Ok(shelf.cursor)
    }
}
