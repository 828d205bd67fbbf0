//! What the site's administrator set: `state/telemetry.json`, replaced whole.
//!
//! Always true: readers see one immutable value behind an atomic pointer; the API key and the webhook's secret are
//! sealed on disk and never shown again.

use super::frequency::Frequency;
use super::local_key::{LocalKey, NotOurs, Sealed};
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::time::UnixMillis;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// The longest time that what was sent is kept on site, days.
pub const MAX_RETENTION_DAYS: u16 = 3_650;
/// The longest API key, and the longest secret of the webhook, bytes.
const MAX_SECRET: usize = 1_024;
/// The shortest secret of the webhook, bytes: as many as an HMAC-SHA256 is strong.
const MIN_WEBHOOK_SECRET: usize = 32;

const API_KEY: &str = "api key";
const WEBHOOK_SECRET: &str = "webhook secret";

/// What is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where the licence server is; `None` for the hub of the enrolment, empty for nowhere.
    pub business_admin_url: Option<String>,
    /// The customer's key at the hub.
    api_key: Option<Sealed>,
    /// Whether telemetry is recorded at all.
    pub enabled: bool,
    /// How often what is queued is sent.
    pub frequency: Frequency,
    /// Whether batches are sealed to the hub's key.
    pub encryption_enabled: bool,
    /// Whether names, users, hosts and addresses become pseudonyms.
    pub anonymization_enabled: bool,
    /// How long what was sent is kept on site, days, 0 to [`MAX_RETENTION_DAYS`].
    pub local_retention_days: u16,
    /// When it was last changed; `None` for never.
    pub updated_at: Option<UnixMillis>,
    /// What the hub's webhook is signed with.
    #[serde(default)]
    webhook_secret: Option<Sealed>,
}

/// What is to be changed; `None` leaves a thing as it is.
#[derive(Default)]
pub struct Change {
    /// Where the licence server is; checked by whoever made this.
    pub business_admin_url: Option<String>,
    /// The customer's key at the hub; empty for none.
    pub api_key: Option<Zeroizing<String>>,
    /// Whether telemetry is recorded.
    pub enabled: Option<bool>,
    /// How often.
    pub frequency: Option<Frequency>,
    /// Whether batches are sealed.
    pub encryption_enabled: Option<bool>,
    /// Whether there are pseudonyms.
    pub anonymization_enabled: Option<bool>,
    /// Days.
    pub local_retention_days: Option<u16>,
}

/// The settings cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A secret is too short or too long.
    #[error("{what}: {min} to {max} bytes are allowed", max = MAX_SECRET)]
    Secret {
        /// Which.
        what: &'static str,
        /// The fewest bytes.
        min: usize,
    },
    /// It cannot be sealed.
    #[error(transparent)]
    Key(#[from] super::local_key::Error),
    /// They cannot be stored.
    #[error(transparent)]
    File(#[from] secret_file::Error),
}

/// The stored settings cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// It holds something else.
    #[error("state/telemetry.json is damaged ({0}); move it away and set telemetry up again")]
    Damaged(#[from] serde_json::Error),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            business_admin_url: None,
            api_key: None,
            enabled: true,
            frequency: Frequency::default(),
            encryption_enabled: true,
            anonymization_enabled: true,
            local_retention_days: 30,
            updated_at: None,
            webhook_secret: None,
        }
    }
}

impl Settings {
    /// Whether there is an API key.
    pub const fn has_api_key(&self) -> bool {
        self.api_key.is_some()
    }
}

/// The settings, and their place on disk.
pub struct Store {
    file: PathBuf,
    key: LocalKey,
    settings: ArcSwap<Settings>,
    /// Held by whoever changes them.
    changing: Mutex<()>,
}

impl Store {
    /// Reads the settings; there need be none.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(file: PathBuf, key: LocalKey) -> Result<Self, LoadError> {
        let settings =
            if file.exists() { serde_json::from_slice(&secret_file::read(&file)?)? } else { Settings::default() };
        Ok(Self { file, key, settings: ArcSwap::from_pointee(settings), changing: Mutex::new(()) })
    }

    /// What is set.
    pub fn get(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Changes what is given, and answers what was set before. Waits for the disk; not for an async thread.
    ///
    /// # Errors
    /// See [`ChangeError`]; then nothing has changed.
    pub fn change(&self, change: Change, now: UnixMillis) -> Result<Arc<Settings>, ChangeError> {
        let api_key = change.api_key.map(|key| self.sealed(API_KEY, &key, 1)).transpose()?;
        self.replace(|settings| {
            if let Some(url) = change.business_admin_url {
                settings.business_admin_url = Some(url);
            }
            settings.api_key = api_key.unwrap_or_else(|| settings.api_key.clone());
            settings.enabled = change.enabled.unwrap_or(settings.enabled);
            settings.frequency = change.frequency.unwrap_or(settings.frequency);
            settings.encryption_enabled = change.encryption_enabled.unwrap_or(settings.encryption_enabled);
            settings.anonymization_enabled = change.anonymization_enabled.unwrap_or(settings.anonymization_enabled);
            settings.local_retention_days = change.local_retention_days.unwrap_or(settings.local_retention_days);
            settings.updated_at = Some(now);
        })
    }

    /// Sets what the hub's webhook is signed with; empty for none, and then no webhook is taken. Waits for the disk; not
    /// for an async thread.
    ///
    /// # Errors
    /// See [`ChangeError`]; then nothing has changed.
    pub fn set_webhook_secret(&self, secret: &str) -> Result<(), ChangeError> {
        let sealed = self.sealed(WEBHOOK_SECRET, secret.trim(), MIN_WEBHOOK_SECRET)?;
        self.replace(|settings| settings.webhook_secret = sealed).map(drop)
    }

    /// The customer's key at the hub; `None` if there is none.
    ///
    /// # Errors
    /// If it was sealed with another key.
    pub fn api_key(&self) -> Result<Option<Zeroizing<String>>, NotOurs> {
        self.get().api_key.as_ref().map(|sealed| self.key.open_sealed(API_KEY, sealed)).transpose()
    }

    /// What the hub's webhook is signed with; `None` if there is none.
    ///
    /// # Errors
    /// If it was sealed with another key.
    pub fn webhook_secret(&self) -> Result<Option<Zeroizing<String>>, NotOurs> {
        self.get().webhook_secret.as_ref().map(|sealed| self.key.open_sealed(WEBHOOK_SECRET, sealed)).transpose()
    }

    fn sealed(&self, what: &'static str, secret: &str, min: usize) -> Result<Option<Sealed>, ChangeError> {
        if secret.is_empty() {
            return Ok(None);
        }
        if !(min..=MAX_SECRET).contains(&secret.len()) {
            return Err(ChangeError::Secret { what, min });
        }
        Ok(Some(self.key.seal(what, secret)?))
    }

    fn replace(&self, change: impl FnOnce(&mut Settings)) -> Result<Arc<Settings>, ChangeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.settings.load_full();
        let mut settings = Settings::clone(&before);
        change(&mut settings);
        // Texts, numbers and flags always have a JSON form.
        secret_file::write(&self.file, &serde_json::to_vec_pretty(&settings).unwrap_or_default())?;
        self.settings.store(Arc::new(settings));
        Ok(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    fn store(folder: &tempfile::TempDir) -> Store {
        let at = Folder::at(folder.path());
        secret_file::create_folder(&at.identity()).unwrap();
        Store::load(folder.path().join("telemetry.json"), LocalKey::open(&at).unwrap()).unwrap()
    }

    fn secret(text: &str) -> Option<Zeroizing<String>> {
        Some(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn what_is_set_outlives_a_restart_and_what_is_not_named_stays() {
        let folder = tempfile::TempDir::new().unwrap();
        let first = store(&folder);
        assert_eq!(*first.get(), Settings::default());
        let change = Change { api_key: secret("swk_1"), frequency: Some(Frequency::Daily), ..Change::default() };
        first.change(change, UnixMillis(5)).unwrap();
        first.change(Change { enabled: Some(false), ..Change::default() }, UnixMillis(6)).unwrap();
        let again = store(&folder);
        let settings = again.get();
        assert_eq!((settings.frequency, settings.enabled), (Frequency::Daily, false));
        assert_eq!((settings.updated_at, settings.has_api_key()), (Some(UnixMillis(6)), true));
        assert_eq!(again.api_key().unwrap().unwrap().as_str(), "swk_1");
        again.change(Change { api_key: secret(""), ..Change::default() }, UnixMillis(7)).unwrap();
        assert_eq!(again.api_key().unwrap(), None);
    }

    #[test]
    fn no_secret_is_on_disk_in_clear_nor_in_debug_output() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = store(&folder);
        let webhook = "0123456789abcdef0123456789abcdef";
        store.change(Change { api_key: secret("swk_precious"), ..Change::default() }, UnixMillis(1)).unwrap();
        store.set_webhook_secret(&format!("{webhook}\n")).unwrap();
        let shown = format!("{}{:?}", std::fs::read_to_string(&store.file).unwrap(), store.get());
        assert!(!shown.contains("precious") && !shown.contains(webhook), "{shown}");
        assert_eq!(store.webhook_secret().unwrap().unwrap().as_str(), webhook);
    }

    #[test]
    fn a_weak_or_endless_secret_is_refused_and_changes_nothing() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = store(&folder);
        assert!(store.set_webhook_secret("short").unwrap_err().to_string().contains("webhook secret: 32 to 1024"));
        let endless = Change { api_key: secret(&"x".repeat(2_000)), enabled: Some(false), ..Change::default() };
        assert!(store.change(endless, UnixMillis(1)).is_err());
        assert_eq!(*store.get(), Settings::default());
    }
}
