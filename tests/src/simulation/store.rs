//! A model of the hub's store: rows, gaps and cursor of each epoch, changed together or not at all.

use sitewarden_protocol::batch::Header;
use sitewarden_protocol::chain::{Chain, Cursor, Position};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::Refusal;
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
    }

    /// What is there of an epoch.
    pub fn cursor(&self, agent: AgentId, epoch: u64) -> Cursor {
        self.shelves.get(&epoch).map_or_else(|| Cursor::start(agent, epoch), |shelf| shelf.cursor)
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
        let Admission::Append { skip, lost } = admission else { return Ok(have) };
        let empty = Shelf { cursor: have, rows: vec![], gaps: vec![] };
        let shelf = self.shelves.entry(header.epoch).or_insert(empty);
        if lost > 0 && laxity != Laxity::ForgetsLosses {
            shelf.gaps.push(Gap { first: header.first - lost, last: header.first - 1, chain: header.prev });
        }
        shelf.rows.extend((header.first..).zip(run.iter().map(<[u8]>::to_vec)).skip(skip));
        self.ever.extend((header.first..=header.last).skip(skip).map(|seq| Position { epoch: header.epoch, seq }));
        shelf.cursor = header.end();
        Ok(shelf.cursor)
    }
}
