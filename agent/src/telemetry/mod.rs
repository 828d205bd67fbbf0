//! What the site's administrator decides about telemetry, and what became of it: settings, schedule, transmissions,
//! previews, and what the licences let Control Core do.
//!
//! Always true: evidence about licences is recorded whatever is set here; while telemetry is disabled, what apps report
//! and samples of the machine are not recorded at all, so that there is nothing that could leave later.

mod api_key;
mod due;
mod frequency;
pub mod gates;
mod health;
mod history;
mod local_key;
pub mod preview;
mod reach;
mod scheduler;
mod sending;
mod settings;
mod webhook;

pub use api_key::{ApiKeyState, REFUSED as API_KEY_REFUSED, Tested};
pub use frequency::{Frequency, Unknown as UnknownFrequency};
pub use health::Health;
pub use history::{Outcome, Row};
pub use local_key::{Error as KeyError, LocalKey, NotOurs};
pub use scheduler::{WishError, Wishes, run};
pub use settings::{Change, ChangeError, LoadError as SettingsError, MAX_RETENTION_DAYS, Settings, Store};
pub use webhook::{Hint, Refusal};

use crate::anonymity::Anonymity;
use crate::bundle::PartDone;
use crate::clock::Clock;
use crate::enforcement::Enforcement;
use crate::folder::Folder;
use crate::identity::Names;
use crate::journal::Journal;
use crate::sync::Line;
use base64::Engine as _;
use scheduler::{Desk, Wish};
use sitewarden_certs::secret_file;
use sitewarden_protocol::time::UnixMillis;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Failed transmissions that health shows.
const RECENT: usize = 5;

/// A handle on the site's telemetry; clones are the same.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    settings: Store,
    history: history::History,
    webhooks: webhook::Webhooks,
    desk: Desk,
    scanning: Arc<Semaphore>,
    live: bool,
    hub_url: String,
    authority: Option<Vec<u8>>,
    clock: Clock,
    journal: Journal,
    line: Line,
    anonymity: Arc<Anonymity>,
    enforcement: Enforcement,
}

/// What telemetry works with.
pub struct Parts {
    /// What time it is.
    pub clock: Clock,
    /// What is queued.
    pub journal: Journal,
    /// What carries it.
    pub line: Line,
    /// Whether the line sends as soon as it can, or only in transmissions.
    pub live: bool,
    /// Encodes records, and is switched by the settings.
    pub anonymity: Arc<Anonymity>,
    /// Holds the hub's newest word.
    pub enforcement: Enforcement,
}

/// Telemetry cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings cannot be read.
    #[error(transparent)]
    Settings(#[from] settings::LoadError),
    /// The history cannot be read.
    #[error(transparent)]
    History(#[from] history::LoadError),
    /// The site's own key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Another file cannot be read.
    #[error(transparent)]
    File(#[from] secret_file::Error),
}

/// Where the licence server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nothing is set.
    Nowhere,
    /// The hub of the enrolment, whose authority is known.
    Hub {
        /// Without a slash at its end.
        url: String,
        /// Its authority's certificate, DER; `None` if the identity is damaged.
        authority: Option<Vec<u8>>,
    },
    /// Another server.
    Elsewhere {
        /// As it was set.
        url: String,
    },
}

/// How telemetry stands.
#[derive(Debug, Clone)]
pub struct Report {
    /// The state.
    pub health: Health,
    /// Whether a session with the hub stands.
    pub connected: bool,
    /// When the last transmission succeeded.
    pub last_transmission: Option<UnixMillis>,
    /// When the next one is due; `None` while telemetry is disabled.
    pub next_scheduled: Option<UnixMillis>,
    /// The last failures, newest first.
    pub recent_errors: Vec<String>,
    /// How the API key stands.
    pub api_key: ApiKeyState,
}

/// Opens the settings of a data folder.
///
/// # Errors
/// See [`StartError`].
pub fn open_settings(folder: &Folder) -> Result<Store, StartError> {
    Ok(Store::load(folder.state("telemetry.json"), LocalKey::open(folder)?)?)
}

impl Telemetry {
    /// Reads what is kept in the state folder. The task of [`run`] does what is due.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn open(folder: &Folder, names: &Names, parts: Parts) -> Result<(Self, Wishes), StartError> {
        let Parts { clock, journal, line, live, anonymity, enforcement } = parts;
        let (desk, wishes) = Desk::new();
        let authority = names.authorities.first();
        let inner = Inner {
            settings: open_settings(folder)?,
            history: history::History::load(folder.state("transmissions.json"), clock.now())?,
            webhooks: webhook::Webhooks::load(folder.state("webhooks.json"))?,
            desk,
            scanning: Arc::new(Semaphore::new(1)),
            live,
            hub_url: names.hub_url(),
            authority: authority.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok()),
            clock,
            journal,
            line,
            anonymity,
            enforcement,
        };
        let telemetry = Self(Arc::new(inner));
        telemetry.apply();
        Ok((telemetry, wishes))
    }

    /// What is set.
    pub fn settings(&self) -> Arc<Settings> {
        self.0.settings.get()
    }

    /// Whether what apps report and samples of the machine are recorded.
    pub fn is_enabled(&self) -> bool {
        self.settings().enabled
    }

    /// Whether the line sends as soon as it can.
    pub fn is_live(&self) -> bool {
        self.0.live
    }

    /// Changes settings; a schedule that begins or becomes another one makes up for nothing.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change(&self, change: Change) -> Result<(), ChangeError> {
        let now = self.clock().now();
        self.on_disk(move |telemetry| {
            let before = telemetry.0.settings.change(change, now)?;
            let after = telemetry.settings();
            telemetry.apply();
            if before.frequency != after.frequency || (after.enabled && !before.enabled) {
                telemetry.history().reschedule(now)?;
            }
            Ok(())
        })
        .await
    }

    /// Sets what the hub's webhook is signed with.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn set_webhook_secret(&self, secret: zeroize::Zeroizing<String>) -> Result<(), ChangeError> {
        self.on_disk(move |telemetry| telemetry.0.settings.set_webhook_secret(&secret)).await
    }

    /// Where the licence server is.
    pub fn place(&self) -> Place {
        let hub = || Place::Hub { url: self.0.hub_url.clone(), authority: self.0.authority.clone() };
        match self.settings().business_admin_url.as_deref() {
            None => hub(),
            Some("") => Place::Nowhere,
            Some(url) if url.trim_end_matches('/') == self.0.hub_url => hub(),
            Some(url) => Place::Elsewhere { url: url.to_owned() },
        }
    }

    /// The licence server's URL as it is shown.
    pub fn url(&self) -> String {
        self.settings().business_admin_url.clone().unwrap_or_else(|| self.0.hub_url.clone())
    }

    /// Asks the licence server whether it is there; and the hub for its newest word on the API key, if there is one.
    pub async fn test_connection(&self) -> Tested {
        if let Err(error) = reach::test(&self.place(), self.line().way()).await {
            tracing::warn!(%error, "the license server does not answer");
            return Tested::Unreachable;
        }
        if self.api_key() == ApiKeyState::None {
            return Tested::Well;
        }
        let asked = self.line().renew().await;
        match self.api_key() {
            ApiKeyState::Refused => Tested::KeyRefused,
            _ if !asked => Tested::KeyUnchecked,
            ApiKeyState::Known | ApiKeyState::None => Tested::Well,
        }
    }

    /// How the configured API key stands by the hub's newest word.
    pub fn api_key(&self) -> ApiKeyState {
        if !matches!(self.place(), Place::Hub { .. }) {
            return ApiKeyState::None;
        }
        match self.0.settings.api_key() {
            Ok(None) => ApiKeyState::None,
            Ok(Some(key)) => ApiKeyState::of(&key, &self.0.enforcement.state().snapshot.api_keys),
            Err(error) => {
                tracing::warn!(%error, "the API key cannot be read");
                ApiKeyState::Refused
            }
        }
    }

    /// How it stands.
    pub fn report(&self) -> Report {
        let (settings, known, now) = (self.settings(), self.line().known(), self.clock().now());
        let last_transmission = self.history().last_success();
        // Where the line is live, what the hub confirms at any time has been transmitted.
        let receipt = known.last_receipt_at.filter(|_| self.is_live());
        let rows = self.history().rows(0, RECENT);
        let error = |row: &Row| match &row.outcome {
            Some(Outcome::Failed { error, .. }) => Some(format!("{}: {error}", row.started)),
            _ => None,
        };
        let api_key = self.api_key();
        let signs = health::Signs {
            enabled: settings.enabled,
            configured: match self.place() {
                Place::Nowhere => false,
                Place::Hub { .. } => true,
                Place::Elsewhere { .. } => settings.has_api_key(),
            },
            connected: known.connected && known.hold.is_none(),
            key_refused: api_key == ApiKeyState::Refused,
            last_failed: rows.first().is_some_and(|row| error(row).is_some()),
            last_confirmed: last_transmission.max(receipt).unwrap_or(self.history().remembered().through),
        };
        Report {
            health: Health::of(&signs, now),
            connected: known.connected,
            last_transmission,
            next_scheduled: if settings.enabled { settings.frequency.next(now) } else { None },
            recent_errors: rows.iter().filter_map(error).collect(),
            api_key,
        }
    }

    /// Whether the task that does what is due is there.
    pub fn is_scheduler_running(&self) -> bool {
        self.0.desk.is_running()
    }

    /// Sends what is queued now. What is asked for goes on if nobody waits any more.
    ///
    /// # Errors
    /// See [`WishError`].
    pub async fn send_now(&self) -> Result<Row, WishError> {
        self.0.desk.ask(Wish::Send).await
    }

    /// Tries a failed transmission again.
    ///
    /// # Errors
    /// See [`WishError`].
    pub async fn retry(&self, id: u64) -> Result<Row, WishError> {
        self.0.desk.ask(Wish::Retry(id)).await
    }

    /// A part of a bundle is whole, and on its way to the hub. One without records is no transmission.
    pub async fn exported(&self, part: PartDone) {
        if part.records == 0 {
            return;
        }
        let now = self.clock().now();
        let carried = history::Carried { bundle: part.bundle, records: part.records, through: part.through };
        let kept = self.on_disk(move |telemetry| telemetry.history().exported(carried, now)).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "a bundle is not in the history of transmissions");
        }
    }

    /// The hub may have confirmed what bundles brought it.
    pub async fn settle(&self) {
        let (now, acknowledged) = (self.clock().now(), self.line().known().acknowledged);
        let kept = self.on_disk(move |telemetry| {
            let superseded = telemetry.journal().superseded();
            telemetry.history().confirmed(acknowledged, superseded, now)
        });
        if let Err(error) = kept.await {
            tracing::warn!(%error, "what became of a bundle is not in the history of transmissions");
        }
    }

    /// Transmissions, newest first.
    pub fn transmissions(&self, skip: usize, limit: usize) -> Vec<Row> {
        self.history().rows(skip, limit)
    }

    /// One transmission.
    pub fn transmission(&self, id: u64) -> Option<Row> {
        self.history().row(id)
    }

    /// Looks at a webhook of the hub.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn webhook(&self, body: Vec<u8>) -> Result<Hint, Refusal> {
        let now = self.clock().now();
        self.on_disk(move |telemetry| {
            let secret = telemetry.0.settings.webhook_secret().unwrap_or_else(|error| {
                tracing::warn!(%error, "the webhook's secret cannot be read");
                None
            });
            telemetry.0.webhooks.receive(&body, secret.as_ref().map(|secret| secret.as_str()), now)
        })
        .await
    }

    /// Has the settings count for those who do not read them.
    fn apply(&self) {
        let (settings, switches) = (self.settings(), self.0.anonymity.switches());
        switches.set_record(settings.enabled);
        switches.set_anonymize(settings.anonymization_enabled);
        switches.set_seal(settings.encryption_enabled);
        let span = Duration::from_secs(u64::from(settings.local_retention_days) * 86_400);
        self.journal().keep_sent_for(span);
    }

    fn history(&self) -> &history::History {
        &self.0.history
    }

    fn desk(&self) -> &Desk {
        &self.0.desk
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn anonymity(&self) -> &Anonymity {
        &self.0.anonymity
    }

    fn journal(&self) -> &Journal {
        &self.0.journal
    }

    fn line(&self) -> &Line {
        &self.0.line
    }

    fn scanning(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.scanning)
    }

    /// Does something that waits for the disk on a thread that may.
    async fn on_disk<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let telemetry = self.clone();
        match tokio::task::spawn_blocking(move || work(&telemetry)).await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
