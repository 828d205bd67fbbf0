//! The store: everything the hub keeps, in one SQLite database. The only module that names rusqlite.
//!
//! Always true: at this boundary there are whole operations, not rows; an operation that answers is on disk, one that
//! fails changed nothing; every change by an administrator leaves a row in the audit log, in the same transaction; time
//! is an argument. Read it in this order: `writer` (how many writes share one commit), `ingest` (a batch's way in),
//! then one file a noun. The layout is in `migrations/`.

mod act;
mod agents;
mod api_keys;
mod apps;
mod audit;
mod backup;
mod bundles;
mod check;
mod connection;
mod customers;
mod enrolments;
mod error;
mod flags;
mod idempotency;
mod ingest;
mod keys;
mod leads;
mod licenses;
mod machines;
mod monitors;
mod plants;
mod reach;
mod readers;
mod records;
mod secrets;
mod sessions;
mod settings;
mod sites;
mod snapshots;
mod telemetry;
mod test_license;
mod usage;
mod users;
mod waiting;
mod webhooks;
mod writer;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use act::{Act, Actor};
pub use agents::{Agent, AgentPage, AgentStatus, EpochState, RenewedBy, Revocation, Standing};
pub use api_keys::{ApiKey, NewApiKey, Purpose, RotatedApiKey};
pub use audit::{AuditCheck, AuditEntry, AuditFilter};
pub use backup::{KeptFile, back_up, restore};
pub use bundles::{BundleRow, Direction, KnownBundle};
pub use check::{Checked, Damage, check};
pub use customers::Customer;
pub use enrolments::{NewEnrolment, Redeemed, Redemption, Shown};
pub use error::Error;
pub use flags::{ForkEvidence, RedFlag, StoredHalf};
pub use idempotency::{KeyOwner, KeyedRequest, Repeat, Turn};
pub use ingest::{IngestOutcome, OpenedRecords, VerifiedBatch};
pub use keys::{KeyChange, Reliance};
pub use leads::{
    Contact, ContactEdit, Institution, InstitutionEdit, InstitutionFilter, MAX_COUNTED, MAX_WANTED_TAGS, NewContact,
    NewInstitution, NewNote, Note, NoteEdit, Part, Refusal as LeadRefusal, Span,
};
pub use licenses::{
    Holder, Issued, LicenseChange, LicenseDetail, LicenseEdit, LicenseFilter, LicensePage, LicenseRefusal,
    LicenseRevision, LicenseRow, LicenseSelector, LicenseStanding, ListedLicense, NewLicense, PolicyEdit, SeenLicense,
    SiteInForce,
};
pub use machines::{ActivationFilter, ActivationPage, Examined, ListedActivation, MachineRefusal, Moment, NewMachine};
pub use monitors::{Monitor, MonitorCursor, MonitorFilter, MonitorPage};
pub use plants::Plant;
pub use reach::Thing;
pub use records::{RecordCursor, RecordFilter, RecordOrder, RecordPage, StoredRecord};
pub use secrets::StoreSecrets;
pub use sessions::{Begun, Refresh, SessionId};
pub use settings::{NEVER_CHANGED, SettingChange, StoredSetting};
pub use sites::{Site, SiteEdit};
pub use snapshots::SnapshotParts;
pub use telemetry::{
    Granularity, MAX_POINTS, MeasuredRow, NotACursor, ReportedRow, SeriesPoint, SeriesQuery, TelemetryCursor,
    TelemetryFilter, TelemetryPage, TelemetryRow, TransmissionPage, TransmissionRow,
};
pub use usage::{FeatureUse, MAX_SPAN_DAYS, Statistics, Usage, UsageOf, UsagePoint, UsageSpan};
pub use users::{Account, MAX_ON_SITE, Role, Scope, User, UserEdit, UserRefusal};
pub use waiting::{Replayed, WaitingBatch};
pub use webhooks::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, DueDelivery, Health, Message, NewWebhook, NotADelivery, Outbox,
    OutboxStanding, Room, RotatedWebhook, SiteAddress, SiteNews, Standing as WebhookStanding, Webhook, WebhookEdit,
    WebhookEvent,
};

use readers::Readers;
use rusqlite::Connection;
use sitewarden_protocol::id::SiteId;
use std::{path::Path, sync::Arc};
use tokio::sync::{Notify, broadcast};
use writer::{Tx, Writer};

/// The most rows of a list that are read at once.
pub const MAX_PAGE: usize = 1_000;

/// Changes that a slow listener may be behind; one that is further behind is told so, and looks at everything anew.
const CHANGES: usize = 1_024;

/// The store. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    writer: Writer,
    readers: Readers,
    changes: broadcast::Sender<SiteId>,
    deliveries: Arc<Notify>,
    secrets: Arc<StoreSecrets>,
    running: Arc<idempotency::Running>,
}

impl Store {
    /// Makes a new database, with nothing in it but its layout.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is a file, else what the file system or the database says.
    pub async fn create(path: &Path, secrets: StoreSecrets) -> Result<Self, Error> {
        let owned = path.to_owned();
        blocking(move || connection::create_file(&owned)).await?;
        Self::open(path, secrets).await
    }

    /// Opens a database and brings its layout up to date.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no file, else what the database says.
    pub async fn open(path: &Path, secrets: StoreSecrets) -> Result<Self, Error> {
        let path = path.to_owned();
        blocking(move || {
            let (changes, _) = broadcast::channel(CHANGES);
            let connection = connection::writer(&path)?;
            let readers = Readers::open(&path)?;
            let deliveries = Arc::<Notify>::default();
            let writer = Writer::start(connection, changes.clone(), Arc::clone(&deliveries))?;
            let (secrets, running) = (Arc::new(secrets), Arc::default());
            Ok(Self(Arc::new(Inner { writer, readers, changes, deliveries, secrets, running })))
        })
        .await
    }

    /// Finishes what was begun, moves the write-ahead log into the database and closes it. Later operations answer
    /// [`Error::Unavailable`].
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }

    /// Resolves when nothing can be written any more: after [`Store::close`], or because the disk failed. In the second
    /// case the process is to end, and to be started again.
    pub async fn stopped(&self) {
        self.0.writer.stopped().await;
    }

    /// Tells the sites whose snapshot changed, after each commit. One who lags behind must look at all sites anew.
    pub fn changes(&self) -> broadcast::Receiver<SiteId> {
        self.0.changes.subscribe()
    }

    /// Transactions committed since the store was opened, for metrics: many writes share one.
    pub fn commits(&self) -> u64 {
        self.0.writer.commits()
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.write_rows(1, work).await
    }

    /// The same, of about so many rows. All writes come this way but those that keep the record of requests under a key, so
    /// that none of a request is missing on its record.
    async fn write_rows<T: Send + 'static>(
        &self,
        rows: usize,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.writer.write(rows, idempotency::doing(), work).await
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.readers.read(query).await
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Unavailable)?
}

/// How many rows a list may give, from how many were asked for.
fn page_size(limit: usize) -> i64 {
    i64::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(1)
}

/// A number that is never negative, as SQLite keeps it.
fn counted(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// An unsigned number as SQLite keeps it. What is over its largest integer cannot be reached by counting.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
