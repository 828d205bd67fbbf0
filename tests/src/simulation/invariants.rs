//! The six invariants of the fault list, as checks on the two models and on what callers were told. The eighth, that only
//! the hub's answer takes licence time back, is with the plant's `clock`; the seventh is shown with real processes.

use super::journal::Journal;
use super::store::{Shelf, Store};
use sitewarden_protocol::chain::{Chain, Position};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::record::{Body, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its number in ARCHITECTURE.md; 0 for something that must not happen beside those.
    pub invariant: u8,
    /// What was seen.
    pub what: String,
}

impl Broken {
    /// An invariant and what was seen instead.
    pub fn new(invariant: u8, what: impl Into<String>) -> Self {
        Self { invariant, what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.what)
    }
}

/// What the virtual callers at the plant know.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Records handed over.
    pub produced: u64,
    /// Records that were answered with yes, where they are, and what they are.
    pub acknowledged: BTreeMap<Position, Vec<u8>>,
    /// Records that were answered with "full".
    pub refused: u64,
    /// Records whose caller got no answer because the agent was killed.
    pub unanswered: u64,
    /// Records whose caller still waits.
    pub waiting: u64,
}

/// 1: what was acknowledged is at the hub, or queued, or counted as lost.
pub fn nothing_acknowledged_is_lost(ledger: &Ledger, journal: &Journal, store: &Store) -> Result<(), Broken> {
    let held: BTreeMap<Position, &[u8]> = journal.held().collect();
    for (position, bytes) in &ledger.acknowledged {
        let shelf = store.shelves.get(&position.epoch);
        let there = shelf.and_then(|shelf| shelf.rows.binary_search_by_key(&position.seq, |row| row.0).ok());
        if let Some(index) = there {
            let stored = &shelf.expect("it was found there").rows[index].1;
            if stored != bytes {
                return Err(Broken::new(1, format!("{position} is another record at the hub")));
            }
            continue;
        }
        let counted = journal.damaged.contains(position)
            || journal.cut.contains(position)
            || shelf.is_some_and(|shelf| in_a_gap(shelf, position.seq));
        // Let go after a receipt, then the hub came back from an older backup: declared when sending goes on.
        let to_be_declared = journal.let_go.contains(position)
            && store.ever.contains(position)
            && shelf.is_none_or(|shelf| shelf.cursor.position.seq < position.seq)
            && journal.can_declare(*position);
        if held.get(position) != Some(&bytes.as_slice()) && !counted && !to_be_declared {
            return Err(Broken::new(1, format!("{position} was acknowledged and is nowhere")));
        }
    }
    Ok(())
}

fn in_a_gap(shelf: &Shelf, seq: u64) -> bool {
    shelf.gaps.iter().any(|gap| (gap.first..=gap.last).contains(&seq))
}

/// 2: nothing is stored twice under one number.
pub fn no_number_is_stored_twice(store: &Store) -> Result<(), Broken> {
    for (epoch, shelf) in &store.shelves {
        if let Some(pair) = shelf.rows.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(Broken::new(2, format!("{epoch}:{} is stored after {epoch}:{}", pair[1].0, pair[0].0)));
        }
    }
    Ok(())
}

/// 2, seen by the callers: no event of theirs is stored under two numbers.
pub fn no_event_is_stored_twice(store: &Store) -> Result<(), Broken> {
    let mut seen = BTreeSet::new();
    let rows = store.shelves.values().flat_map(|shelf| &shelf.rows);
    let twice = rows.filter_map(|(_, bytes)| event_number(bytes)).find(|number| !seen.insert(*number));
    twice.map_or(Ok(()), |number| Err(Broken::new(2, format!("event {number} is stored under two numbers"))))
}

fn event_number(bytes: &[u8]) -> Option<u64> {
    let record = Record::decode(bytes).expect("the hub stores records");
    match record.decode_body().expect("of known layout") {
        Body::Event(event) => Some(event.count),
        _ => None,
    }
}

/// 3: every number up to the cursor is a row or in a signed gap, never both, and the rows' chain is the cursor's.
pub fn the_chain_is_contiguous(agent: AgentId, store: &Store, journal: &Journal) -> Result<(), Broken> {
    for (&epoch, shelf) in &store.shelves {
        let mut chain = Chain::start(agent, epoch);
        let mut next = 1;
        let mut gaps = shelf.gaps.iter().peekable();
        for (seq, bytes) in &shelf.rows {
            while let Some(gap) = gaps.next_if(|gap| gap.first == next) {
                (chain, next) = (gap.chain, gap.last + 1);
            }
            if *seq != next {
                return Err(Broken::new(3, format!("after {epoch}:{} comes {epoch}:{seq} without a gap", next - 1)));
            }
            (chain, next) = (chain.then(bytes), next + 1);
        }
        if shelf.cursor.position != (Position { epoch, seq: next - 1 }) || shelf.cursor.chain != chain {
            return Err(Broken::new(3, format!("the rows of epoch {epoch} do not lead to its cursor")));
        }
        let undue =
            shelf.gaps.iter().flat_map(|gap| gap.first..=gap.last).map(|seq| Position { epoch, seq }).find(|at| {
                let forgotten = journal.let_go.contains(at) && store.ever.contains(at);
                !(journal.damaged.contains(at) || journal.cut.contains(at) || forgotten)
            });
        if let Some(position) = undue {
            return Err(Broken::new(3, format!("{position} was declared lost and was not")));
        }
    }
    Ok(())
}

/// 4: the journal stays within its quota and the slack for its own notices.
pub fn disk_use_is_bounded(journal: &Journal, quota: usize) -> Result<(), Broken> {
    /// What the journal itself may add over the quota: the records that say why an epoch began.
    const SLACK: usize = 1_024;
    let bytes = journal.bytes();
    if bytes <= quota + SLACK { Ok(()) } else { Err(Broken::new(4, format!("{bytes} bytes of {quota}"))) }
}

/// 5: nothing is left to be sent: the hub has the newest record of the journal, and of each epoch before.
pub fn drained(journal: &Journal, store: &Store, agent: AgentId) -> bool {
    journal.newest() == journal.head().position
        && journal
            .extents()
            .iter()
            .all(|extent| store.cursor(agent, extent.head.position.epoch).position >= extent.head.position)
}

/// 6: what was produced was acknowledged, refused, or its caller got no answer; and both ends count the same.
pub fn everything_is_accounted_for(ledger: &Ledger, journal: &Journal, store: &Store) -> Result<(), Broken> {
    let acknowledged = events(ledger.acknowledged.values().map(Vec::as_slice));
    let told = acknowledged + ledger.refused + ledger.unanswered + ledger.waiting;
    if ledger.produced != told {
        return Err(Broken::new(6, format!("{} were produced, {told} are accounted for", ledger.produced)));
    }
    for (epoch, shelf) in &store.shelves {
        let lost: u64 = shelf.gaps.iter().map(|gap| gap.last - gap.first + 1).sum();
        let known = shelf.rows.len() as u64 + lost;
        if known != shelf.cursor.position.seq {
            let through = shelf.cursor.position.seq;
            return Err(Broken::new(6, format!("epoch {epoch} reached {through}, the hub accounts for {known}")));
        }
    }
    let uncounted = ledger.acknowledged.keys().find(|position| {
        let shelf = store.shelves.get(&position.epoch);
        !journal.is_in_a_cut_epoch(**position) && shelf.is_none_or(|shelf| shelf.cursor.position.seq < position.seq)
    });
    uncounted.map_or(Ok(()), |position| Err(Broken::new(6, format!("{position} is not accounted for at the hub"))))
}

fn events<'a>(records: impl Iterator<Item = &'a [u8]>) -> u64 {
    records.filter(|bytes| event_number(bytes).is_some()).count() as u64
}
