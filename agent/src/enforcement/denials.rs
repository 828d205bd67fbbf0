//! Every denial becomes a record with its cause, and an app that asks in a loop cannot fill the journal.
//!
//! Always true: noting a denial takes no disk and waits for nothing but a short lock; the first one of an app, action,
//! user and cause is written at once, what follows is counted and written once a minute as one record; what could not be
//! written stays counted and is tried again; when too many are told apart, the rest is one count of `others`.

mod keeper;

use super::site::Denied;
use crate::anonymity::Anonymity;
use crate::clock::Clock;
use crate::journal::{AppendError, Journal};
use crate::metrics::DenialCounters;
use prometheus_client::metrics::counter::Counter;
use sitewarden_protocol::license::seats::Refusal;
use sitewarden_protocol::license::{BlockedNew, Cause};
use sitewarden_protocol::record::{self, Body};
use sitewarden_protocol::time::UnixMillis;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often what was counted is written.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Denials that are told apart at a time. Each is a record a minute at most: some 90,000 a day from a caller that does
/// all it can, of about 100 bytes.
const MAX_KEYS: usize = 64;
/// First denials that wait to be written; more are counted until the next minute. One for each that is told apart.
const QUEUE: usize = MAX_KEYS;
/// The longest app, bytes: as long as the names that monitors may be reserved for.
const MAX_APP: usize = 32;
/// The longest user, bytes: 64 characters of four bytes.
const MAX_USER: usize = 256;
/// The longest cause, bytes; with the names it fits into a record.
const MAX_CAUSE: usize = 1_024;
/// What stands in the place of all names when too many are told apart.
const OTHERS: &str = "others";

/// Who asked for what.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The app it was asked for; any text.
    pub app: &'a str,
    /// What was asked, such as `verify`.
    pub action: &'static str,
    /// Who asked.
    pub user: &'a str,
}

/// Why not: in words, and by a name that stays the same when the numbers in the words do not.
pub trait Ground: fmt::Display {
    /// The name.
    fn name(&self) -> &'static str;
}

/// Counts denials; clones count together.
#[derive(Clone)]
pub struct Denials(Arc<Inner>);

struct Inner {
    journal: Journal,
    anonymity: Arc<Anonymity>,
    clock: Clock,
    counters: DenialCounters,
    first: mpsc::Sender<Unwritten>,
    hasher: RandomState,
    counted: Mutex<HashMap<u64, Counted>>,
}

/// One kind of denial, of which the first was or is about to be written.
struct Counted {
    action: &'static str,
    ground: &'static str,
    /// The last of them.
    last: UnixMillis,
    /// Those that are not written.
    denials: record::Denials,
    total: Counter,
}

/// What is to be written: the record, and what it was counted under.
struct Unwritten {
    action: &'static str,
    ground: &'static str,
    last: UnixMillis,
    denials: record::Denials,
}

impl Denials {
    /// The second value writes them down.
    pub fn new(
        (journal, anonymity): (Journal, Arc<Anonymity>),
        clock: Clock,
        counters: DenialCounters,
    ) -> (Self, keeper::Keeper) {
        let (first, waiting) = mpsc::channel(QUEUE);
        let (hasher, counted) = (RandomState::new(), Mutex::default());
        let denials = Self(Arc::new(Inner { journal, anonymity, clock, counters, first, hasher, counted }));
        (denials.clone(), keeper::Keeper::new(denials, waiting))
    }

    /// Notes a denial. For where every microsecond counts: it may be lost if the process is killed within a minute.
    pub fn note(&self, asked: Asked<'_>, cause: &impl Ground) {
        if let Some(first) = self.count(asked, cause)
            && let Err(unsent) = self.0.first.try_send(first)
        {
            self.put_back(&unsent.into_inner());
        }
    }

    /// Notes a denial; the first one of its kind is on disk when this returns.
    pub async fn record(&self, asked: Asked<'_>, cause: &impl Ground) {
        let Some(first) = self.count(asked, cause) else { return };
        let record::Denials { app, action, cause, .. } = first.denials.clone();
        if let Err(error) = self.append(first.last, &Body::Denial(record::Denial { app, action, cause })).await {
            tracing::warn!(%error, "a denial is not recorded yet; it stays counted");
            self.put_back(&first);
        }
    }

    /// Counts one; what is to be written at once if it is the first of its kind.
    fn count(&self, asked: Asked<'_>, cause: &impl Ground) -> Option<Unwritten> {
        let asked = Asked { app: cut(asked.app, MAX_APP), user: cut(asked.user, MAX_USER), ..asked };
        let (key, now) = (self.key(asked, cause.name()), self.0.clock.now());
        let mut counted = self.lock();
        if let Some(known) = counted.get_mut(&key) {
            known.total.inc();
            if known.denials.count == 0 {
                // The first since the last record: its numbers are of today.
                known.denials.cause = words(cause);
            }
            known.add(1, now, now);
            return None;
        }
        if counted.len() >= MAX_KEYS {
            let others = self.others(&mut counted, now);
            others.total.inc();
            others.add(1, now, now);
            return None;
        }
        let begun = counted.entry(key).or_insert(self.begin(asked, cause.name(), words(cause), now));
        begun.total.inc();
        let denials = record::Denials { count: 1, ..begun.denials.clone() };
        Some(Unwritten { action: asked.action, ground: cause.name(), last: now, denials })
    }

    /// What could not be written is counted on.
    fn put_back(&self, unwritten: &Unwritten) {
        let Unwritten { action, ground, last, denials } = unwritten;
        let asked = Asked { app: &denials.app, action, user: &denials.user };
        let key = self.key(asked, ground);
        let mut counted = self.lock();
        let known = if counted.contains_key(&key) || counted.len() < MAX_KEYS {
            counted.entry(key).or_insert_with(|| self.begin(asked, ground, denials.cause.clone(), denials.since))
        } else {
            self.others(&mut counted, *last)
        };
        known.add(denials.count, denials.since, *last);
    }

    /// What was counted since the last time. Kinds that have not come since are forgotten: their next one is a first one.
    fn take(&self) -> Vec<Unwritten> {
        let mut counted = self.lock();
        counted.retain(|_, known| known.denials.count > 0);
        let take = |known: &mut Counted| {
            let denials = known.denials.clone();
            known.denials.count = 0;
            Unwritten { action: known.action, ground: known.ground, last: known.last, denials }
        };
        counted.values_mut().map(take).collect()
    }

    async fn append(&self, at: UnixMillis, body: &Body) -> Result<(), AppendError> {
        let record = self.0.anonymity.encode(at, body).map_err(|error| AppendError::TooLarge(error.0))?;
        self.0.journal.append([record].into_iter().collect()).await.map(drop)
    }

    fn others<'a>(&self, counted: &'a mut HashMap<u64, Counted>, now: UnixMillis) -> &'a mut Counted {
        let asked = Asked { app: OTHERS, action: OTHERS, user: OTHERS };
        let words = "more different denials in a minute than are told apart".to_owned();
        counted.entry(self.key(asked, OTHERS)).or_insert_with(|| self.begin(asked, OTHERS, words, now))
    }

    fn begin(&self, asked: Asked<'_>, ground: &'static str, cause: String, since: UnixMillis) -> Counted {
        let (app, action, user) = (asked.app.to_owned(), asked.action.to_owned(), asked.user.to_owned());
        let total = self.0.counters.of(asked.app);
        let denials = record::Denials { app, action, user, cause, count: 0, since };
        Counted { action: asked.action, ground, last: since, denials, total }
    }

    /// With 64 bits under a random key and so few of them, no two are taken for one.
    fn key(&self, asked: Asked<'_>, ground: &'static str) -> u64 {
        self.0.hasher.hash_one((asked.app, asked.action, asked.user, ground))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Counted>> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn add(&mut self, count: u64, since: UnixMillis, last: UnixMillis) {
        let before = self.denials.count;
        self.denials.since = if before == 0 { since } else { self.denials.since.min(since) };
        self.denials.count = before.saturating_add(count);
        self.last = self.last.max(last);
    }
}

fn words(cause: &impl Ground) -> String {
    cut(&cause.to_string(), MAX_CAUSE).to_owned()
}

impl Ground for Cause {
    fn name(&self) -> &'static str {
        match self {
            Self::NoLicense { .. } => "no_license",
            Self::NotActivated { .. } => "not_activated",
            Self::Expired { .. } => "expired",
            Self::NotYet { .. } => "not_yet",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Stale { .. } => "stale",
            Self::OverQuota { .. } => "over_quota",
        }
    }
}

impl Ground for Denied {
    fn name(&self) -> &'static str {
        match self {
            Self::Access(cause) => cause.name(),
            Self::BlockedNew(BlockedNew::Expired(_)) => "expired",
            Self::BlockedNew(BlockedNew::Stale(_)) => "stale",
            Self::Quota(_) => "quota",
        }
    }
}

impl Ground for Refusal {
    fn name(&self) -> &'static str {
        match self {
            Self::License(cause) => cause.name(),
            Self::BlockedNew(blocked) => Denied::BlockedNew(*blocked).name(),
            Self::UnknownActivation => "unknown_activation",
            Self::OtherHardware { .. } => "other_hardware",
            Self::TooManyMachines { .. } => "machines",
            Self::TooManyUsers { .. } => "users",
            Self::Released { .. } => "released",
        }
    }
}

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests;
