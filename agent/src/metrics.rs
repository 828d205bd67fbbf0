//! What `/metrics` shows, in the OpenMetrics text format.

use crate::clock::Standing;
use crate::journal::{Counters, Journal};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Apps whose denials are counted apart, in the life of a process.
const MAX_APPS: usize = 64;

/// The agent's metrics.
pub struct Metrics {
    registry: Registry,
    /// The journal's counters.
    pub journal: Arc<Counters>,
    /// Access checks that were answered yes.
    pub allowed: Counter,
    /// Access checks that were answered no.
    pub denied: Counter,
    /// Requests whose credentials prove nobody.
    pub unauthorised: Counter,
    /// 1 while a session with the hub stands.
    pub connected: Gauge,
    carriers: Family<Vec<(String, String)>, Gauge>,
    /// Sessions and tries that ended, by reason.
    pub sync_failures: Family<Vec<(String, String)>, Counter>,
    /// Batches sent to the hub, repeats included.
    pub batches_sent: Counter,
    /// Those of them that were sealed to the hub's key.
    pub batches_sealed: Counter,
    /// Snapshots taken into force.
    pub snapshots: Counter,
    /// Denials by app.
    pub denials: DenialCounters,
    backlog: Gauge,
    journal_bytes: Gauge,
    oldest_age: Gauge,
    clock_offset: Gauge,
    relieved: Gauge,
}

/// Denials by app. No more than `MAX_APPS` are told apart: a caller may name any app.
#[derive(Clone, Default)]
pub struct DenialCounters {
    family: Family<Vec<(String, String)>, Counter>,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

impl DenialCounters {
    /// The counter of an app, to be kept by those who count often.
    pub fn of(&self, app: &str) -> Counter {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.contains(app) || (seen.len() < MAX_APPS && seen.insert(app.to_owned()));
        let app = if known { app } else { "others" };
        self.family.get_or_create(&vec![("app".to_owned(), app.to_owned())]).clone()
    }
}

impl Metrics {
    /// All of them, at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("sitewarden_agent"),
            journal: Arc::default(),
            allowed: Counter::default(),
            denied: Counter::default(),
            unauthorised: Counter::default(),
            connected: Gauge::default(),
            carriers: Family::default(),
            sync_failures: Family::default(),
            batches_sent: Counter::default(),
            batches_sealed: Counter::default(),
            snapshots: Counter::default(),
            denials: DenialCounters::default(),
            clock_offset: Gauge::default(),
            relieved: Gauge::default(),
            backlog: Gauge::default(),
            journal_bytes: Gauge::default(),
            oldest_age: Gauge::default(),
        };
        metrics.register();
        metrics.over(None);
        metrics
    }

    /// Shows which carrier a session goes over; `None` if there is none.
    pub fn over(&self, carrier: Option<&str>) {
        for name in ["quic", "https"] {
            let labels = vec![("carrier".to_owned(), name.to_owned())];
            self.carriers.get_or_create(&labels).set((carrier == Some(name)).into());
        }
    }

    fn register(&mut self) {
        let journal = &self.journal;
        let registry = &mut self.registry;
        registry.register("journal_syncs", "Disk syncs of the journal", journal.syncs.clone());
        registry.register("journal_records", "Records written to the journal", journal.records.clone());
        registry.register(
            "journal_refused",
            "Records refused because quota or disk is full",
            journal.refused_full.clone(),
        );
        registry.register("journal_dropped", "Reports refused that nobody brings again", journal.dropped.clone());
        registry.register("journal_folded", "Reports that became part of totals", journal.folded.clone());
        registry.register("journal_set_aside", "Damaged generations set aside", journal.set_aside.clone());
        registry.register("journal_backlog", "Records that the hub has not acknowledged", self.backlog.clone());
        registry.register("journal_bytes", "Bytes of the journal on disk", self.journal_bytes.clone());
        registry.register(
            "journal_oldest_unacknowledged_seconds",
            "Age of the oldest unacknowledged record",
            self.oldest_age.clone(),
        );
        registry.register("access_allowed", "Access checks answered yes", self.allowed.clone());
        registry.register("access_denied", "Access checks answered no", self.denied.clone());
        registry.register("unauthorised", "Requests whose credentials prove nobody", self.unauthorised.clone());
        registry.register("sync_connected", "1 while a session with the hub stands", self.connected.clone());
        registry.register("sync_carrier", "1 for what carries the session with the hub", self.carriers.clone());
        registry.register("sync_failures", "Sessions and tries that ended", self.sync_failures.clone());
        registry.register("sync_batches_sent", "Batches sent to the hub, repeats included", self.batches_sent.clone());
        registry.register("denials", "Denials by app", self.denials.family.clone());
        registry.register("clock_offset_seconds", "The wall clock minus licence time", self.clock_offset.clone());
        registry.register("override_active", "1 while an emergency override is in force", self.relieved.clone());
        registry.register("sync_batches_sealed", "Batches sent sealed, repeats included", self.batches_sealed.clone());
        registry.register("snapshots_installed", "Snapshots taken into force", self.snapshots.clone());
    }

    /// The text for a scrape. Reads the journal; not for an async thread.
    pub fn render(&self, journal: &Journal, clock: &Standing, relieved: bool) -> String {
        let now = clock.now;
        self.clock_offset.set(clock.wall.seconds().saturating_sub(now.seconds()));
        self.relieved.set(relieved.into());
        let size = journal.size();
        let age = journal.oldest_unacknowledged().map_or(0, |oldest| now.since(oldest).as_secs());
        self.backlog.set(i64::try_from(size.backlog).unwrap_or(i64::MAX));
        self.journal_bytes.set(i64::try_from(size.bytes).unwrap_or(i64::MAX));
        self.oldest_age.set(i64::try_from(age).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
