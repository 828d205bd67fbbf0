//! The thread that writes: it takes what is waiting, makes one sync, and answers all.

use super::Settings;
use super::drops::Drops;
use super::folding::Folding;
use super::generation::{Generation, Id, RECORDS};
use super::mark::Mark;
use super::page::Page;
use super::recovery::Tail;
use super::retention::{self, LONGEST};
use super::room::{self, Pressure};
use super::shelf::Shelf;
use super::store::Error;
use sitewarden_protocol::chain::{Cursor, Position};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::record::{Body, EpochBegun, Record, Run};
use sitewarden_protocol::time::UnixMillis;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Semaphore, oneshot, watch};

/// Appends that may wait for the writer; more are refused as busy. Far above the connections that are served at once.
const QUEUE: usize = 4_096;
/// What may wait for the writer in all, KiB: bounds the memory that callers can take.
const ROOM: usize = 32 << 10;
/// Records after which a commit waits for no more appends.
const COMMIT_RECORDS: u32 = 8_192;
/// Bytes after which a commit waits for no more appends: with one request more, what a commit may pass the quota by.
const COMMIT_BYTES: usize = 1 << 20;
/// How long a commit waits for callers that took part in the one before: they are on their way back with their next
/// records, and a sync shared is a sync saved. A caller alone never waits.
const GATHER: Duration = Duration::from_millis(2);
/// How soon what waits for room is written when there is some and nobody appends.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why records were not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The quota or the disk is full. Nothing was stored.
    #[error("the journal is full: {0}")]
    Full(&'static str),
    /// Too many appends wait already. Nothing was stored.
    #[error("too many records are waiting to be written")]
    Busy,
    /// A record does not fit into a page. Nothing was stored.
    #[error("a record of {0} bytes is too large")]
    TooLarge(usize),
    /// The journal has failed and the process is about to stop. Whether the records are stored is not known.
    #[error("the journal has failed")]
    Failed,
}

/// Where records came to be: at a position, or in totals.
type Taken = Option<Position>;

/// What may become of records when there is little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// They may become part of totals.
    Report,
    /// Each is a record of its own, or is refused.
    Record,
    /// They were answered long ago, and come over from another epoch, whose space is given back for them later: the quota
    /// does not count.
    Carried,
}

struct Append {
    records: Run,
    sort: Sort,
    answer: oneshot::Sender<Result<Taken, AppendError>>,
}

/// Hands records to the writer.
#[derive(Clone)]
pub(super) struct Handle {
    queue: SyncSender<Append>,
    /// Places for what waits, one a KiB.
    room: Arc<Semaphore>,
    failure: watch::Sender<Option<String>>,
}

impl Handle {
    pub(super) async fn append(&self, records: Run, may_fold: bool) -> Result<Taken, AppendError> {
        self.hand_in(records, if may_fold { Sort::Report } else { Sort::Record }).await
    }

    /// Takes what comes over from another epoch, with room or without.
    pub(super) async fn carry(&self, records: Run) -> Result<(), AppendError> {
        self.hand_in(records, Sort::Carried).await.map(drop)
    }

    async fn hand_in(&self, records: Run, sort: Sort) -> Result<Taken, AppendError> {
        let size = u32::try_from(records.as_bytes().len() / 1_024 + 1).unwrap_or(u32::MAX);
        let _room = self.room.try_acquire_many(size).map_err(|_| AppendError::Busy)?;
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Append { records, sort, answer }).map_err(|error| match error {
            TrySendError::Full(_) => AppendError::Busy,
            TrySendError::Disconnected(_) => AppendError::Failed,
        })?;
        answered.await.unwrap_or(Err(AppendError::Failed))
    }

    /// Says that the journal cannot go on, whoever found it.
    pub(super) fn fail(&self, reason: String) {
        self.failure.send_replace(Some(reason));
    }

    pub(super) async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the journal's thread ended".to_owned(),
        }
    }
}

/// Begins where recovery says, and starts the thread.
pub(super) fn start(
    shelf: Arc<Shelf>,
    agent: AgentId,
    settings: Settings,
    tail: Tail,
    now: UnixMillis,
) -> Result<(Handle, watch::Receiver<Position>), Error> {
    let (generation, end, begun) = match tail {
        Tail::Resume(generation, end) => (generation, end, Vec::new()),
        Tail::Begin { epoch, begun } => {
            let generation = Generation::open(&shelf.folder, Id { epoch, first: 1 })?;
            (generation, Cursor::start(agent, epoch), begun)
        }
    };
    super::store::sync_folder(&shelf.folder)?;
    let generation = Arc::new(generation);
    shelf.begin(&generation, end);
    let (head, head_seen) = watch::channel(end.position);
    let mark = Mark::open(&shelf.folder)?;
    let began = retention::begun(&generation.id.folder(&shelf.folder));
    let (drops, folding) = beside(&shelf, end.position, mark.read())?;
    let mut writer = Writer { shelf, generation, begun: began, end, mark, settings, head, drops, folding };
    let first = |mut begun: EpochBegun| {
        begun.cause = begun.cause.chars().take(500).collect();
        Record::encode(now, &Body::EpochBegun(begun))
    };
    let first: Run =
        begun.into_iter().map(first).collect::<Result<_, _>>().map_err(|error| Error::Damaged(error.to_string()))?;
    if first.count() > 0 {
        writer.commit(std::iter::once(&first))?;
    }
    if writer.folding.closing().is_some() {
        writer.write_totals()?;
    }
    let (queue, waiting) = sync_channel(QUEUE);
    let (failure, _) = watch::channel(None);
    let failed = failure.clone();
    let run = move || {
        if let Err(error) = writer.run(&waiting) {
            failed.send_replace(Some(error.to_string()));
        }
    };
    thread::Builder::new().name("journal".to_owned()).spawn(run).map_err(Error::io("starting the journal's thread"))?;
    Ok((Handle { queue, room: Arc::new(Semaphore::new(ROOM)), failure }, head_seen))
}

/// What is kept beside the journal. Damaged totals are lost with the reports in them, as damaged records are; that is
/// the one loss that no record can count.
fn beside(shelf: &Shelf, end: Position, marked: Position) -> Result<(Drops, Folding), Error> {
    let drops = Drops::open(&shelf.folder, end.max(marked))?;
    let folding = match Folding::open(&shelf.folder, marked) {
        Err(Error::Damaged(reason)) => {
            tracing::error!(reason, "the totals of reports are damaged; they are set aside");
            let totals = shelf.folder.join("totals");
            std::fs::rename(&totals, totals.with_extension("damaged")).map_err(Error::io("setting totals aside"))?;
            shelf.counters.set_aside.inc();
            Folding::open(&shelf.folder, marked)?
        }
        opened => opened?,
    };
    shelf.show_folded(folding.totals());
    Ok((drops, folding))
}

struct Writer {
    shelf: Arc<Shelf>,
    generation: Arc<Generation>,
    /// When the generation was begun.
    begun: SystemTime,
    end: Cursor,
    mark: Mark,
    settings: Settings,
    head: watch::Sender<Position>,
    drops: Drops,
    folding: Folding,
}

impl Writer {
    /// Until every handle is gone, or a commit fails.
    fn run(&mut self, waiting: &Receiver<Append>) -> Result<(), Error> {
        let mut callers_before = 1;
        loop {
            let first = if self.is_owing() {
                waiting.recv_timeout(LOOK_AGAIN)
            } else {
                waiting.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            let group = match first {
                Ok(first) => gather(waiting, first, callers_before),
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            callers_before = group.len().max(1);
            let pressure = self.pressure()?;
            self.settle(pressure)?;
            match pressure {
                Pressure::Full(why) => {
                    let (carried, rest) = group.into_iter().partition(|append| append.sort == Sort::Carried);
                    self.store(carried)?;
                    self.refuse(rest, why)?;
                }
                Pressure::High(_) => {
                    let rest = self.fold(group)?;
                    self.store(rest)?;
                }
                Pressure::Room => self.store(group)?,
            }
        }
    }

    /// Commits a group, and answers it.
    fn store(&mut self, group: Vec<Append>) -> Result<(), Error> {
        if group.is_empty() {
            return Ok(());
        }
        let before = self.end.position;
        if let Err(error) = self.commit(group.iter().map(|append| &append.records)) {
            group.into_iter().for_each(|append| drop(append.answer.send(Err(AppendError::Failed))));
            return Err(error);
        }
        let mut seq = before.seq;
        for append in group {
            seq += u64::from(append.records.count());
            // A caller that went away has its records stored all the same; it just will not hear of it.
            drop(append.answer.send(Ok(Some(Position { epoch: before.epoch, seq }))));
        }
        Ok(())
    }

    /// Counts what cannot be taken, and tells its callers.
    fn refuse(&mut self, group: Vec<Append>, why: &'static str) -> Result<(), Error> {
        for append in group {
            let dropped = self.drops.count(self.end.position, &append.records)?;
            self.shelf.counters.dropped.inc_by(dropped);
            self.shelf.counters.refused_full.inc_by(append.records.count().into());
            drop(append.answer.send(Err(AppendError::Full(why))));
        }
        Ok(())
    }

    /// Makes totals of what may be folded; answers the rest.
    fn fold(&mut self, group: Vec<Append>) -> Result<Vec<Append>, Error> {
        if self.folding.closing().is_some() {
            // Nothing is added to a set that is being written; there is room for it, or soon there will be.
            return Ok(group);
        }
        let mut draft = self.folding.draft();
        let (folded, rest): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|append| append.sort == Sort::Report && draft.add(&append.records));
        if folded.is_empty() {
            // A set that is too large for more becomes records, so that the next reports find an empty one.
            if !self.folding.is_empty() && rest.iter().any(|append| append.sort == Sort::Report) {
                self.write_totals()?;
            }
            return Ok(rest);
        }
        if !self.folding.keep(draft)? {
            self.refuse(folded, "the disk has no space left")?;
            return Ok(rest);
        }
        self.shelf.show_folded(self.folding.totals());
        for append in folded {
            self.shelf.counters.folded.inc_by(append.records.count().into());
            drop(append.answer.send(Ok(None)));
        }
        Ok(rest)
    }

    /// Whether something waits for room.
    fn is_owing(&self) -> bool {
        self.drops.waiting().is_some() || !self.folding.is_empty()
    }

    /// Writes what waited for room, if there is some.
    fn settle(&mut self, pressure: Pressure) -> Result<(), Error> {
        if matches!(pressure, Pressure::Full(_)) {
            return Ok(());
        }
        if let Some(dropped) = self.drops.waiting() {
            let record = Record::encode(dropped.until, &Body::Dropped(dropped.clone()));
            let record = record.map_err(|error| Error::Damaged(error.to_string()))?;
            self.commit(std::iter::once(&std::iter::once(record).collect()))?;
            self.drops.told()?;
        }
        if pressure == Pressure::Room && !self.folding.is_empty() {
            self.write_totals()?;
        }
        Ok(())
    }

    /// Makes records of the totals, but for those that were made of them before the process ended.
    fn write_totals(&mut self) -> Result<(), Error> {
        let (after, there) = match self.folding.closing() {
            Some(after) => {
                let behind = self.shelf.read_after(after)?;
                (after, behind.map(|draft| self.folding.places(&draft.records)).unwrap_or_default())
            }
            None => (self.end.position, BTreeSet::new()),
        };
        let Some(records) = self.folding.close(after, &there)? else { return Ok(()) };
        if records.count() > 0 {
            self.commit(std::iter::once(&records))?;
        }
        self.folding.finished()?;
        self.shelf.show_folded(self.folding.totals());
        Ok(())
    }

    /// How much room there is, without what is kept of what was sent.
    fn pressure(&self) -> Result<Pressure, Error> {
        let look = || {
            let used = self.shelf.closed_bytes() + self.generation.size()?;
            Ok::<_, Error>(room::pressure(&self.shelf.folder, self.settings, used))
        };
        match look()? {
            Pressure::Room => Ok(Pressure::Room),
            Pressure::High(_) | Pressure::Full(_) => {
                self.shelf.make_room();
                look()
            }
        }
    }

    /// Writes records into pages of the current generation and syncs once.
    fn commit<'a>(&mut self, runs: impl Iterator<Item = &'a Run>) -> Result<(), Error> {
        if self.generation_is_full()? {
            self.roll()?;
        }
        let mut pages: Vec<(u64, Page)> = Vec::new();
        let mut end = self.end;
        for record in runs.flat_map(Run::iter) {
            if pages.last().is_none_or(|(_, page)| !page.fits(record.len())) {
                pages.push((end.position.seq + 1, Page::after(end.chain)));
            }
            if let Some((_, page)) = pages.last_mut() {
                page.records.push(record);
            }
            end.position.seq += 1;
            end.chain = end.chain.then(record);
        }
        self.generation.commit(&pages)?;
        self.mark.write(end.position)?;
        self.shelf.counters.syncs.inc();
        self.shelf.counters.records.inc_by(end.position.seq - self.end.position.seq);
        self.end = end;
        self.shelf.grown(end);
        self.head.send_replace(end.position);
        Ok(())
    }

    /// Full by records, by its age, or by a quarter of the quota: only whole generations give space back, and one that filled the
    /// quota alone could never be let go of.
    fn generation_is_full(&self) -> Result<bool, Error> {
        let records = self.end.position.seq - (self.generation.id.first - 1);
        let old = records > 0 && retention::age(self.begun) >= LONGEST;
        Ok(records >= RECORDS || old || (records > 0 && self.generation.size()? >= self.settings.quota / 4))
    }

    fn roll(&mut self) -> Result<(), Error> {
        let id = Id { epoch: self.end.position.epoch, first: self.end.position.seq + 1 };
        let generation = Arc::new(Generation::open(&self.shelf.folder, id)?);
        super::store::sync_folder(&self.shelf.folder)?;
        self.shelf.begin(&generation, self.end);
        self.generation = generation;
        self.begun = SystemTime::now();
        Ok(())
    }
}

/// What is waiting, and what the callers of the group before bring within [`GATHER`].
fn gather(waiting: &Receiver<Append>, first: Append, callers_before: usize) -> Vec<Append> {
    let (mut records, mut bytes) = (first.records.count(), first.records.as_bytes().len());
    let mut group = vec![first];
    let deadline = Instant::now() + GATHER;
    while records < COMMIT_RECORDS && bytes < COMMIT_BYTES {
        let next = if group.len() < callers_before {
            waiting.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        } else {
            waiting.try_recv().map_err(|_| RecvTimeoutError::Timeout)
        };
        let Ok(append) = next else { break };
        records += append.records.count();
        bytes += append.records.as_bytes().len();
        group.push(append);
    }
    group
}
