//! The thread that writes: it takes what is waiting, makes one sync, and answers all.

use super::Settings;
use super::generation::{Generation, Id, RECORDS};
use super::mark::Mark;
use super::page::Page;
use super::recovery::Tail;
use super::shelf::Shelf;
use super::store::Error;
use sitewarden_protocol::chain::{Cursor, Position};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::record::{Body, Record};
use sitewarden_protocol::time::UnixMillis;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Appends that may wait for the writer; more are refused as busy. Far above the connections that are served at once.
const QUEUE: usize = 4_096;
/// Records after which a commit waits for no more appends.
const COMMIT_RECORDS: usize = 8_192;
/// How long a commit waits for callers that took part in the one before: they are on their way back with their next
/// records, and a sync shared is a sync saved. A caller alone never waits.
const GATHER: Duration = Duration::from_millis(2);
/// Why records were not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The quota or the disk is full. Nothing was stored.
    #[error("the journal is full: {0}")]
    Full(&'static str),
    /// Too many appends wait already. Nothing was stored.
    #[error("too many records are waiting to be written")]
    Busy,
    /// The journal has failed and the process is about to stop. Whether the records are stored is not known.
    #[error("the journal has failed")]
    Failed,
}

struct Append {
    records: Vec<Vec<u8>>,
    answer: oneshot::Sender<Result<Position, AppendError>>,
}

/// Hands records to the writer.
#[derive(Clone)]
pub(super) struct Handle {
    /// Emptied to stop the writer.
    queue: Arc<Mutex<Option<SyncSender<Append>>>>,
    failure: watch::Receiver<Option<String>>,
}

impl Handle {
    pub(super) async fn append(&self, records: Vec<Vec<u8>>) -> Result<Position, AppendError> {
        let (answer, answered) = oneshot::channel();
        {
            let queue = self.queue.lock().map_err(|_| AppendError::Failed)?;
            let queue = queue.as_ref().ok_or(AppendError::Failed)?;
            queue.try_send(Append { records, answer }).map_err(|error| match error {
                TrySendError::Full(_) => AppendError::Busy,
                TrySendError::Disconnected(_) => AppendError::Failed,
            })?;
        }
        answered.await.unwrap_or(Err(AppendError::Failed))
    }

    pub(super) async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
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
        Tail::Resume(generation, end) => (generation, end, None),
        Tail::Begin { epoch, begun } => {
            let generation = Generation::open(&shelf.folder, Id { epoch, first: 1 })?;
            (generation, Cursor::start(agent, epoch), Some(begun))
        }
    };
    super::store::sync_folder(&shelf.folder)?;
    let generation = Arc::new(generation);
    shelf.begin(&generation, end);
    let (head, head_seen) = watch::channel(end.position);
    let mark = Mark::open(&shelf.folder)?;
    let mut writer = Writer { shelf, generation, end, mark, settings, head };
    if let Some(mut begun) = begun {
        begun.cause = begun.cause.chars().take(500).collect();
        let record =
            Record::encode(now, &Body::EpochBegun(begun)).map_err(|error| Error::Damaged(error.to_string()))?;
        writer.commit(&[record])?;
    }
    let (queue, waiting) = sync_channel(QUEUE);
    let (failed, failure) = watch::channel(None);
    let run = move || {
        if let Err(error) = writer.run(&waiting) {
            failed.send_replace(Some(error.to_string()));
        }
    };
    thread::Builder::new().name("journal".to_owned()).spawn(run).map_err(Error::io("starting the journal's thread"))?;
    Ok((Handle { queue: Arc::new(Mutex::new(Some(queue))), failure }, head_seen))
}

struct Writer {
    shelf: Arc<Shelf>,
    generation: Arc<Generation>,
    end: Cursor,
    mark: Mark,
    settings: Settings,
    head: watch::Sender<Position>,
}

impl Writer {
    /// Until every handle is gone, or a commit fails.
    fn run(&mut self, waiting: &Receiver<Append>) -> Result<(), Error> {
        let mut callers_before = 1;
        while let Ok(first) = waiting.recv() {
            let group = gather(waiting, first, callers_before);
            callers_before = group.len();
            if let Some(full) = self.full()? {
                let refused: usize = group.iter().map(|append| append.records.len()).sum();
                self.shelf.counters.refused_full.inc_by(refused as u64);
                group.into_iter().for_each(|append| drop(append.answer.send(Err(AppendError::Full(full)))));
                continue;
            }
            let records: Vec<&Vec<u8>> = group.iter().flat_map(|append| &append.records).collect();
            let before = self.end.position;
            if let Err(error) = self.commit(&records) {
                group.into_iter().for_each(|append| drop(append.answer.send(Err(AppendError::Failed))));
                return Err(error);
            }
            let mut seq = before.seq;
            for append in group {
                seq += append.records.len() as u64;
                // A caller that went away has its records stored all the same; it just will not hear of it.
                drop(append.answer.send(Ok(Position { epoch: before.epoch, seq })));
            }
        }
        Ok(())
    }

    /// Why there is no room; looked at before every commit, which costs a thousandth of its sync.
    fn full(&self) -> Result<Option<&'static str>, Error> {
        let used = self.shelf.closed_bytes() + self.generation.size()?;
        Ok(if used >= self.settings.quota {
            Some("its quota on disk is used up")
        } else if free(&self.shelf.folder).is_some_and(|free| free < self.settings.reserve) {
            Some("the disk has no space left")
        } else {
            None
        })
    }

    /// Writes records into pages of the current generation and syncs once.
    fn commit<R: AsRef<[u8]>>(&mut self, records: &[R]) -> Result<(), Error> {
        if self.generation_is_full()? {
            self.roll()?;
        }
        let mut pages: Vec<(u64, Page)> = Vec::new();
        let mut end = self.end;
        for record in records.iter().map(AsRef::as_ref) {
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
        self.shelf.counters.records.inc_by(records.len() as u64);
        self.end = end;
        self.shelf.grown(end);
        self.head.send_replace(end.position);
        Ok(())
    }

    /// Full by records, or by a quarter of the quota: only whole generations give space back, and one that filled the
    /// quota alone could never be let go of.
    fn generation_is_full(&self) -> Result<bool, Error> {
        let records = self.end.position.seq - (self.generation.id.first - 1);
        Ok(records >= RECORDS || (records > 0 && self.generation.size()? >= self.settings.quota / 4))
    }

    fn roll(&mut self) -> Result<(), Error> {
        let id = Id { epoch: self.end.position.epoch, first: self.end.position.seq + 1 };
        let generation = Arc::new(Generation::open(&self.shelf.folder, id)?);
        super::store::sync_folder(&self.shelf.folder)?;
        self.shelf.begin(&generation, self.end);
        self.generation = generation;
        Ok(())
    }
}

/// What is waiting, and what the callers of the group before bring within [`GATHER`].
fn gather(waiting: &Receiver<Append>, first: Append, callers_before: usize) -> Vec<Append> {
    let mut records = first.records.len();
    let mut group = vec![first];
    let mut take = |append: Append, records: &mut usize| {
        *records += append.records.len();
        group.push(append);
        group.len()
    };
    let deadline = Instant::now() + GATHER;
    let mut callers = 1;
    while records < COMMIT_RECORDS {
        let next = if callers < callers_before {
            waiting.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        } else {
            waiting.try_recv().map_err(|_| RecvTimeoutError::Timeout)
        };
        match next {
            Ok(append) => callers = take(append, &mut records),
            Err(_) => break,
        }
    }
    group
}

fn free(folder: &std::path::Path) -> Option<u64> {
    rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}
