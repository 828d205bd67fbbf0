//! The six invariants of the fault list, as checks on the two models and on what callers were told. The eighth, that only
//! the hub's answer takes licence time back, is with the plant's `clock`; the seventh is shown with real processes.

use super::journal::{Fate, Journal};
use super::store::Store;
use sitewarden_protocol::chain::{Chain, Position};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::record::{Body, EpochBegun, Record};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
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
    /// Records that were answered with yes, by the number of their event.
    pub acknowledged: BTreeMap<u64, Told>,
    /// Records that were answered with "full".
    pub refused: u64,
    /// Records whose caller got no answer because the agent was killed.
    pub unanswered: u64,
    /// Records whose caller still waits.
    pub waiting: u64,
    /// Whether the plant's machine was ever rolled back or copied.
    pub forked: bool,
    /// Records that were answered with yes by a machine that was rolled back, or copied and put away, before anybody else
    /// had them. Nobody can know of them.
    pub discarded: u64,
    /// What became of records in machines that are no more.
    pub fates: Fate,
}

/// A record that was answered with yes.
#[derive(Debug)]
pub struct Told {
    /// Where it is, or was last.
    pub at: Position,
    /// Where it was before, if it came again.
    pub before: Vec<Position>,
    /// What it is.
    pub record: Vec<u8>,
}

/// The journals that there are: the plant's, and that of a copy of it.
pub type Journals<'a> = &'a [&'a Journal];

impl Ledger {
    /// A caller is answered with yes.
    pub fn tell(&mut self, at: Position, record: Vec<u8>) {
        let number = event_number(&record).expect("callers bring events");
        self.acknowledged.insert(number, Told { at, before: vec![], record });
    }

    /// Records came again under other numbers.
    pub fn moved(&mut self, places: Vec<(Position, Vec<u8>)>) {
        for (at, record) in places {
            if let Some(told) = event_number(&record).and_then(|number| self.acknowledged.get_mut(&number)) {
                told.before.push(std::mem::replace(&mut told.at, at));
            }
        }
    }

    /// A machine is no more, or what the hub had of it: what nobody else has is not to be asked for.
    pub fn discard(&mut self, journals: Journals, store: &Store) {
        let nowhere = Whereabouts::new(journals, store);
        let gone: Vec<u64> = self
            .acknowledged
            .iter()
            .filter(|(_, told)| nowhere.of(told, true) == Err(Lost::Nowhere))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            self.acknowledged.remove(&number);
            self.discarded += 1;
        }
    }
}

/// Where records are.
struct Whereabouts<'a> {
    journals: Journals<'a>,
    store: &'a Store,
    held: BTreeMap<Position, &'a [u8]>,
    /// Whatever is in a journal or at the hub; only looked at where machines were copied.
    anywhere: OnceCell<HashSet<&'a [u8]>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Lost {
    Nowhere,
    AnotherAtTheHub,
}

impl<'a> Whereabouts<'a> {
    fn new(journals: Journals<'a>, store: &'a Store) -> Self {
        let held = journals.iter().flat_map(|journal| journal.held()).collect();
        Self { journals, store, held, anywhere: OnceCell::new() }
    }

    /// Whether a record is at the hub, or held, or counted.
    fn of(&self, told: &Told, forked: bool) -> Result<(), Lost> {
        let (position, bytes) = (&told.at, told.record.as_slice());
        let shelf = self.store.shelves.get(&position.epoch);
        let there = shelf.and_then(|shelf| shelf.rows.binary_search_by_key(&position.seq, |row| row.0).ok());
        if let (Some(index), Some(shelf)) = (there, shelf) {
            match shelf.rows[index].1 == bytes {
                true => return Ok(()),
                false if !forked => return Err(Lost::AnotherAtTheHub),
                false => {}
            }
        }
        if self.held.get(position) == Some(&bytes) || forked && self.anywhere().contains(bytes) {
            return Ok(());
        }
        let fates = self.journals.iter().map(|journal| &journal.fate);
        // In one machine it may have another number than in the other.
        let taken = |fate: &Fate| if forked { fate.lost.contains(bytes) } else { at_its_place(fate, *position) };
        let counted = fates.into_iter().any(taken)
            || told.before.iter().chain([position]).any(|at| in_a_gap(self.store, *at))
            || forked && told.before.iter().chain([position]).any(|at| in_a_told_cut(self.store, *at));
        // Let go after a receipt, then the hub came back from an older backup: declared when sending goes on.
        let to_be_declared = self.store.ever.contains(position)
            && shelf.is_none_or(|shelf| shelf.cursor.position.seq < position.seq)
            && self.journals.iter().any(|one| one.fate.let_go.contains(position) && one.can_declare(*position));
        // Of two histories the restored hub has one, and does not ask for the other.
        let let_go = |one: &&Journal| one.fate.let_go.contains(position);
        let forgotten = forked && self.store.restored && self.journals.iter().any(let_go);
        if counted || to_be_declared || forgotten { Ok(()) } else { Err(Lost::Nowhere) }
    }

    fn anywhere(&self) -> &HashSet<&'a [u8]> {
        self.anywhere.get_or_init(|| {
            let rows = self.store.shelves.values().flat_map(|shelf| &shelf.rows).map(|(_, bytes)| bytes.as_slice());
            rows.chain(self.held.values().copied())
                .chain(self.journals.iter().flat_map(|one| one.held()).map(|(_, bytes)| bytes))
                .collect()
        })
    }
}

/// 1: what was acknowledged is at the hub, or queued, or counted as lost.
pub fn nothing_acknowledged_is_lost(ledger: &Ledger, journals: Journals, store: &Store) -> Result<(), Broken> {
    let whereabouts = Whereabouts::new(journals, store);
    for (number, told) in &ledger.acknowledged {
        let at = told.at;
        match whereabouts.of(told, ledger.forked) {
            Ok(()) => {}
            Err(Lost::AnotherAtTheHub) => return Err(Broken::new(1, format!("{at} is another record at the hub"))),
            Err(Lost::Nowhere) => {
                return Err(Broken::new(1, format!("event {number}, {at}, was acknowledged and is nowhere")));
            }
        }
    }
    Ok(())
}

fn at_its_place(fate: &Fate, position: Position) -> bool {
    fate.damaged.contains(&position) || fate.cut.contains(&position)
}

/// Whether the hub was told, by whichever machine, that the end of this record's epoch is lost, with the record.
fn in_a_told_cut(store: &Store, at: Position) -> bool {
    let told = store.shelves.values().flat_map(|shelf| &shelf.rows).filter_map(|(_, bytes)| begun(bytes));
    told.into_iter().any(|begun| begun.previous == at.epoch && begun.kept < at.seq && at.seq <= begun.written)
}

fn in_a_gap(store: &Store, at: Position) -> bool {
    let shelf = store.shelves.get(&at.epoch);
    shelf.is_some_and(|shelf| shelf.gaps.iter().any(|gap| (gap.first..=gap.last).contains(&at.seq)))
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

/// 2, seen by the callers: no event of theirs is stored under two numbers, unless two machines had it.
pub fn no_event_is_stored_twice(ledger: &Ledger, store: &Store) -> Result<(), Broken> {
    if ledger.forked {
        return Ok(()); // What they share is known to the end of a batch; the rest may come again.
    }
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
pub fn the_chain_is_contiguous(
    agent: AgentId,
    ledger: &Ledger,
    store: &Store,
    journals: Journals,
) -> Result<(), Broken> {
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
        let declared = shelf.gaps.iter().flat_map(|gap| gap.first..=gap.last).map(|seq| Position { epoch, seq });
        let due = |at: &Position| {
            let fates = || journals.iter().map(|journal| &journal.fate).chain([&ledger.fates]);
            let forgotten = store.ever.contains(at) && fates().any(|fate| fate.let_go.contains(at));
            forgotten || fates().any(|fate| fate.damaged.contains(at) || fate.cut.contains(at))
        };
        if let Some(position) = declared.into_iter().find(|at| !due(at)) {
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
    journal.newest() == journal.head().position && journal.extents().iter().all(|extent| store.has(agent, extent.head))
}

/// 6: what was produced was acknowledged, refused, or its caller got no answer; and both ends count the same.
pub fn everything_is_accounted_for(ledger: &Ledger, journals: Journals, store: &Store) -> Result<(), Broken> {
    let told = ledger.acknowledged.len() as u64 + ledger.discarded;
    let told = told + ledger.refused + ledger.unanswered + ledger.waiting;
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
    let fates = || journals.iter().map(|journal| &journal.fate).chain([&ledger.fates]);
    let uncounted = ledger.acknowledged.values().map(|told| told.at).find(|at| {
        let shelf = store.shelves.get(&at.epoch);
        let beyond = shelf.is_none_or(|shelf| shelf.cursor.position.seq < at.seq);
        beyond && !ledger.forked && !fates().any(|fate| fate.is_in_a_cut_epoch(*at))
    });
    uncounted.map_or(Ok(()), |position| Err(Broken::new(6, format!("{position} is not accounted for at the hub"))))
}

/// 6, by what the hub was told: of what was acknowledged and is not there, as much was declared lost at least. Not to be
/// asked of a hub that was restored, because what was declared may itself be among what it lost.
pub fn the_hub_was_told_of_every_loss(ledger: &Ledger, store: &Store) -> Result<(), Broken> {
    let rows = || store.shelves.values().flat_map(|shelf| &shelf.rows);
    let there: HashSet<&[u8]> = rows().map(|(_, bytes)| bytes.as_slice()).collect();
    let missing = ledger.acknowledged.values().filter(|told| !there.contains(told.record.as_slice())).count() as u64;
    let gaps: u64 = store.shelves.values().flat_map(|shelf| &shelf.gaps).map(|gap| gap.last - gap.first + 1).sum();
    let cut: u64 = rows().filter_map(|(_, bytes)| begun(bytes)).map(|begun| begun.written - begun.kept).sum();
    if missing > gaps + cut {
        return Err(Broken::new(6, format!("{missing} are missing at the hub, and it was told of {gaps} + {cut}")));
    }
    Ok(())
}

fn begun(bytes: &[u8]) -> Option<EpochBegun> {
    match Record::decode(bytes).expect("the hub stores records").decode_body().expect("of known layout") {
        Body::EpochBegun(begun) => Some(begun),
        _ => None,
    }
}
