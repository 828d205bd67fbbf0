//! The one thread that writes.
//!
//! Always true: whoever is answered with success is on disk. The thread takes what is waiting, runs it in one
//! transaction (each piece in its own savepoint, so that one that fails leaves no trace and its neighbours alone),
//! commits, and only then answers. After a failed sync nothing is written any more: what the disk then holds is not
//! known, and only opening it anew tells.

use super::{
    error::Error,
    idempotency::{self, KeyedRequest},
};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use sitewarden_protocol::id::SiteId;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};

/// Jobs that wait. A batch with its records is below 1 MiB, so this bounds the memory at 64 MiB; who comes after waits.
const QUEUE: usize = 64;

/// Jobs in one transaction: all that can be waiting.
const MAX_JOBS: usize = QUEUE;

/// Rows in one transaction: about a quarter of a second's work, which is the longest that anybody waits for others.
const MAX_ROWS: usize = 65_536;

/// Rows written since the last checkpoint from which on an idle moment is used for one.
const CHECKPOINT_ROWS: usize = 10_000;

/// What a job works with: the transaction, and a list of what its success means to others.
pub(super) struct Tx<'c> {
    connection: &'c Connection,
    changed: RefCell<BTreeSet<SiteId>>,
    delivery_written: Cell<bool>,
}

impl Tx<'_> {
    /// The site's sessions are told after the commit that what the site may do has changed.
    pub(super) fn site_changed(&self, site: SiteId) {
        self.changed.borrow_mut().insert(site);
    }

    /// Who sends deliveries is told after the commit that there are some.
    pub(super) fn delivery_written(&self) {
        self.delivery_written.set(true);
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// A piece of work with somebody who waits for its result.
trait Job: Send {
    /// About how many rows it writes.
    fn rows(&self) -> usize;
    /// Does it; answers whether it is to stay. Called once.
    fn run(&mut self, tx: &Tx<'_>) -> bool;
    /// Tells who waits, after the commit.
    fn answer(self: Box<Self>, commit: Result<(), Error>);
}

struct Waiting<F, T> {
    rows: usize,
    /// What it is done for.
    asked: Option<Arc<KeyedRequest>>,
    work: Option<F>,
    result: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<F, T> Job for Waiting<F, T>
where
    F: FnOnce(&Tx<'_>) -> Result<T, Error> + Send,
    T: Send,
{
    fn rows(&self) -> usize {
        self.rows
    }

    fn run(&mut self, tx: &Tx<'_>) -> bool {
        self.result = self.work.take().map(|work| idempotency::noted(tx, self.asked.as_deref(), work));
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, commit: Result<(), Error>) {
        let result = match (self.result, commit) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error),
            (Some(done), Ok(())) => done,
            (None, Ok(())) => Err(Error::Unavailable),
        };
        // Nobody waits any more if the connection was lost meanwhile; what is committed stays.
        let _ = self.reply.send(result);
    }
}

enum Message {
    Work(Box<dyn Job>),
    Close,
}

/// The way to the thread.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
    stopped: watch::Receiver<bool>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread on its connection.
    pub(super) fn start(
        connection: Connection,
        changes: broadcast::Sender<SiteId>,
        deliveries: Arc<Notify>,
    ) -> Result<Self, Error> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (stopping, stopped) = watch::channel(false);
        let commits = Arc::<AtomicU64>::default();
        let scribe =
            Scribe { connection, changes, deliveries, commits: Arc::clone(&commits), rows_since_checkpoint: 0 };
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || {
            // Told however the thread ends, by a panic too.
            let _stopping = Stopping(stopping);
            scribe.run(jobs);
        })?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)), stopped, commits })
    }

    /// Hands work on, and waits until it is committed. In the order of the first polls. A request under a key that it is done
    /// for has it on its record.
    pub(super) async fn write<T, F>(&self, rows: usize, asked: Option<Arc<KeyedRequest>>, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Waiting { rows, asked, work: Some(work), result: None, reply });
        self.queue.send(Message::Work(job)).await.map_err(|_| Error::Unavailable)?;
        answer.await.map_err(|_| Error::Unavailable)?
    }

    /// Ends the thread after all that was handed on before.
    pub(super) async fn close(&self) {
        let _ = self.queue.send(Message::Close).await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// Resolves when nothing can be written any more: closed, or failed.
    pub(super) async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // An error means that the thread is gone, which is what is waited for.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Transactions committed so far.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

struct Stopping(watch::Sender<bool>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// What a transaction means to others.
#[derive(Default)]
struct News {
    changed: BTreeSet<SiteId>,
    delivery_written: bool,
}

/// What the thread has.
struct Scribe {
    connection: Connection,
    changes: broadcast::Sender<SiteId>,
    deliveries: Arc<Notify>,
    commits: Arc<AtomicU64>,
    rows_since_checkpoint: usize,
}

impl Scribe {
    fn run(mut self, mut jobs: mpsc::Receiver<Message>) {
        let mut open = true;
        while open {
            let Some(first) = jobs.blocking_recv() else { break };
            let (group, closing) = gather(first, &mut jobs);
            // The group first: what was handed on before the end is done.
            open = self.commit_group(group) && !closing;
            if open && jobs.is_empty() && self.rows_since_checkpoint >= CHECKPOINT_ROWS {
                self.checkpoint("PASSIVE");
            }
        }
        drop(jobs);
        self.checkpoint("TRUNCATE");
    }

    /// Answers whether the thread may go on.
    fn commit_group(&mut self, mut group: Vec<Box<dyn Job>>) -> bool {
        if group.is_empty() {
            return true;
        }
        let rows: usize = group.iter().map(|job| job.rows()).sum();
        match self.transact(&mut group) {
            Ok(news) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                self.rows_since_checkpoint = self.rows_since_checkpoint.saturating_add(rows);
                // Before the answers, so that whoever is answered knows that the sites were told. No receiver is no
                // error: nobody is connected.
                news.changed.into_iter().for_each(|site| drop(self.changes.send(site)));
                if news.delivery_written {
                    self.deliveries.notify_one();
                }
                group.into_iter().for_each(|job| job.answer(Ok(())));
                true
            }
            Err(error) => {
                tracing::error!(%error, jobs = group.len(), "a transaction could not be committed");
                let told = error.to_string();
                group.into_iter().for_each(|job| job.answer(Err(Error::Commit(told.clone()))));
                is_harmless(&error)
            }
        }
    }

    fn transact(&mut self, group: &mut [Box<dyn Job>]) -> rusqlite::Result<News> {
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut news = News::default();
        for job in group {
            let savepoint = transaction.savepoint()?;
            let tx = Tx { connection: &savepoint, changed: RefCell::default(), delivery_written: Cell::default() };
            let stays = job.run(&tx);
            let (changed, delivery_written) = (tx.changed.into_inner(), tx.delivery_written.get());
            if savepoint.is_autocommit() {
                // The database gave up the whole transaction (full disk, failed read): nothing of it is there.
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT),
                    Some("the database rolled the transaction back".to_owned()),
                ));
            }
            if stays {
                savepoint.commit()?;
                news.changed.extend(changed);
                news.delivery_written |= delivery_written;
            } else {
                // A savepoint that is dropped is rolled back; an error in that must not be overlooked.
                savepoint.finish()?;
            }
        }
        transaction.commit()?;
        Ok(news)
    }

    fn checkpoint(&mut self, mode: &str) {
        self.rows_since_checkpoint = 0;
        let result = self.connection.pragma(None, "wal_checkpoint", mode, |_| Ok(()));
        if let Err(error) = result {
            tracing::warn!(%error, "the write-ahead log could not be moved into the database");
        }
    }
}

/// The first message and those that wait behind it, within the bounds; and whether to close after them.
fn gather(first: Message, jobs: &mut mpsc::Receiver<Message>) -> (Vec<Box<dyn Job>>, bool) {
    let (mut group, mut rows) = (Vec::new(), 0);
    let mut next = Some(first);
    while let Some(message) = next {
        let Message::Work(job) = message else { return (group, true) };
        rows += job.rows();
        group.push(job);
        next = if group.len() < MAX_JOBS && rows < MAX_ROWS { jobs.try_recv().ok() } else { None };
    }
    (group, false)
}

/// Whether a failed transaction says nothing about what is on the disk: no space, somebody else's lock, or given up
/// before the commit began.
fn is_harmless(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationAborted)
    )
}

#[cfg(test)]
mod tests;
