//! The agent's durable, ordered queue of records.
//!
//! On disk: `journal/<epoch>-<first seq>/`, one sled database for each 50,000 records (a generation), because a
//! drained sled database never gives its space back, and a removed folder does. In a generation: pages of at most
//! 4 KiB, keyed by their first record's number, each carrying the chain before it.
//!
//! Beside them: a mark, the counts of what was refused (`dropped`), totals of what was folded (`totals`), what the beginnings
//! of epochs said is lost (`cuts`), and the hub's last clearance (`cleared`).
//!
//! Always true: an append is answered only after `flush` and `fdatasync`; one thread writes; records have consecutive
//! numbers within an epoch; a generation is removed only when its records are acknowledged by the hub *and* held by a
//! checkpoint of what was derived from them, and after the time for which the site keeps what was sent; a mark outside
//! sled tells a journal that has lost its end; a failed sync ends the process, because nothing says what is on disk after
//! one; what is refused for want of room is counted, and a record says so as soon as there is room.

mod clearing;
mod cuts;
mod drops;
mod folding;
mod generation;
mod mark;
mod page;
mod recovery;
mod retention;
mod room;
mod shelf;
mod store;
mod writer;

pub use room::Pressure;
pub use store::Error as StoreError;
pub use writer::AppendError;

use clearing::Cleared;
use shelf::Shelf;
use sitewarden_protocol::batch::Draft;
use sitewarden_protocol::chain::{Chain, Position};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::EpochExtent;
use sitewarden_protocol::record::{Run, Total};
use sitewarden_protocol::time::UnixMillis;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// Sizes that a site may choose.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The most bytes that the journal may take on disk; past three quarters of it reports are folded, past it appends are
    /// refused.
    pub quota: u64,
    /// Bytes that are left free on the disk whatever the quota says.
    pub reserve: u64,
}

/// A handle on the journal; clones are the same journal.
#[derive(Clone)]
pub struct Journal {
    shelf: Arc<Shelf>,
    writer: writer::Handle,
    head: watch::Receiver<Position>,
    settings: Settings,
    /// The last record that came over from a forked epoch.
    carried: Arc<OnceLock<Position>>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    /// Records that the hub has not acknowledged.
    pub backlog: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Counts of what the journal did since it was opened.
#[derive(Debug, Default)]
pub struct Counters {
    /// Disk syncs.
    pub syncs: prometheus_client::metrics::counter::Counter,
    /// Records written.
    pub records: prometheus_client::metrics::counter::Counter,
    /// Appends refused because the disk or the quota is full.
    pub refused_full: prometheus_client::metrics::counter::Counter,
    /// Those of them that nobody brings again: what apps reported, and looks at the machine.
    pub dropped: prometheus_client::metrics::counter::Counter,
    /// Reports that became part of totals.
    pub folded: prometheus_client::metrics::counter::Counter,
    /// Generations set aside because they were damaged.
    pub set_aside: prometheus_client::metrics::counter::Counter,
}

impl Journal {
    /// Opens the journal below `folder`, or begins one. What is damaged is set aside in `quarantine`, and a new epoch
    /// begins whose first record says so.
    ///
    /// `acknowledged` is what the agent remembers of the hub's receipts; `now` stamps that first record.
    ///
    /// # Errors
    /// If the folder cannot be read or written. Damage is not an error.
    pub fn open(
        folder: &Path,
        agent: AgentId,
        settings: Settings,
        acknowledged: Position,
        counters: Arc<Counters>,
        now: UnixMillis,
    ) -> Result<Self, StoreError> {
        let recovered = recovery::recover(folder, acknowledged, &counters)?;
        let shelf = Arc::new(Shelf::new(
            folder.to_owned(),
            recovered.closed,
            recovered.heads,
            acknowledged,
            settings.quota,
            counters,
        ));
        let (writer, head) = writer::start(Arc::clone(&shelf), agent, settings, recovered.tail, now)?;
        let carried = Cleared::carried(folder, head.borrow().epoch).map_or_else(OnceLock::new, OnceLock::from);
        let journal = Self { shelf, writer, head, settings, carried: Arc::new(carried) };
        journal.shelf.supersede(journal.superseded());
        Ok(journal)
    }

    /// Appends encoded records and answers when they are on disk: the position of the last one. They come as one run,
    /// because thousands of small pieces handed from thread to thread tear the heap.
    ///
    /// # Errors
    /// See [`AppendError`]. After `Full` or `Busy` none of them is stored.
    pub async fn append(&self, records: Run) -> Result<Position, AppendError> {
        // What may not be folded has a position.
        self.writer.append(records, false).await?.ok_or(AppendError::Failed)
    }

    /// The same for what apps report, which becomes part of totals when there is little room: `true` if it did.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub async fn report(&self, records: Run) -> Result<bool, AppendError> {
        Ok(self.writer.append(records, true).await?.is_none())
    }

    /// How much room there is. Asks the file system.
    pub fn pressure(&self) -> Pressure {
        room::pressure(&self.shelf.folder, self.settings, self.shelf.size().bytes)
    }

    /// Totals that will become records when there is room.
    pub fn folded(&self) -> Vec<Total> {
        self.shelf.folded()
    }

    /// The next records after `after`, at most one batch; `None` if there are none. Reads from disk.
    ///
    /// # Errors
    /// If the disk fails. A damaged generation is set aside and reading goes on behind it, with the loss in the draft.
    pub fn read_after(&self, after: Position) -> Result<Option<Draft>, StoreError> {
        self.shelf.read_after(after)
    }

    /// The chain after a record; `None` if the record is not held. Reads from disk.
    ///
    /// # Errors
    /// If the disk fails, or the generation is damaged.
    pub fn chain_at(&self, position: Position) -> Result<Option<Chain>, StoreError> {
        self.shelf.chain_at(position)
    }

    /// The hub has everything up to here. May remove files.
    pub fn acknowledge(&self, through: Position) {
        self.shelf.acknowledge(through);
    }

    /// The last record of this journal that the hub is known to have.
    pub fn acknowledged(&self) -> Position {
        self.shelf.acknowledged()
    }

    /// What was derived from the records up to here is durable elsewhere.
    pub fn checkpointed(&self, through: Position) {
        self.shelf.checkpointed(through);
    }

    /// Keeps records that the hub has for so long, as far as half of the quota has room; zero for no longer than needed.
    /// May remove files.
    pub fn keep_sent_for(&self, span: Duration) {
        self.shelf.keep_sent_for(span);
    }

    /// Lets go of what was kept for long enough. May remove files.
    pub fn tidy(&self) {
        self.shelf.tidy();
    }

    /// What is held of each epoch, of acknowledged ones too: a hub that was restored from a backup may lack their end.
    pub fn extents(&self) -> Vec<EpochExtent> {
        self.shelf.extents()
    }

    /// The last record on disk, now and as it grows.
    pub fn head(&self) -> watch::Receiver<Position> {
        self.head.clone()
    }

    /// How much there is.
    pub fn size(&self) -> Size {
        self.shelf.size()
    }

    /// When the oldest unacknowledged record was made. Reads from disk.
    pub fn oldest_unacknowledged(&self) -> Option<UnixMillis> {
        self.shelf.oldest_unacknowledged()
    }

    /// Says that the journal cannot go on, as when what is being written turns out to be damaged: the process stops, and
    /// the next start looks at the disk.
    pub fn fail(&self, reason: String) {
        self.writer.fail(reason);
    }

    /// Ends when the journal has failed: the process is to stop and be started again.
    pub async fn failed(&self) -> String {
        self.writer.failed().await
    }
}

/// Where damaged generations are put, beside the journal's own folder.
fn quarantine(folder: &Path) -> PathBuf {
    folder.with_file_name("quarantine")
}

#[cfg(test)]
mod tests;
