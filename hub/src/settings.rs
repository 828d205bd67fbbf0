//! Settings that are changed while the hub runs.
//!
//! Always true: what an administrator has edited wins over file, environment and command line until it is taken back; it counts
//! for the next thing that asks, and is there again after a restart. An edit that this version cannot take (of another version,
//! out of bounds) does not count, and the log says so.

use crate::config::{Changeable, Config, Key, Listed, OutOfBounds};
use crate::store::{self, Act, NEVER_CHANGED, SettingChange, Store, StoredSetting};
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// The settings of a running hub.
#[derive(Debug)]
pub(crate) struct Settings {
    store: Store,
    /// As file, environment and command line have them.
    configured: Changeable,
    listed: Vec<Listed>,
    live: watch::Sender<Changeable>,
    /// One change after the other, so that what counts is what was stored last.
    changing: Mutex<()>,
}

/// What counts now, for those who decide by it. Clones see the same.
#[derive(Debug, Clone)]
pub(crate) struct Live(watch::Receiver<Changeable>);

/// A setting, and who edited it, if anybody did.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) listed: Listed,
    /// The number that counts, and who set it when.
    pub(crate) edited: Option<(u32, StoredSetting)>,
    /// Grows with every change.
    pub(crate) revision: i64,
}

/// Why a setting is not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is none of this name.
    #[error("there is no such setting")]
    Unknown,
    /// It is not one of those that can be changed while the hub runs.
    #[error("{0} is changed in hub.toml, and counts from the next start of the hub")]
    NeedsRestart(&'static str),
    /// It cannot have this value.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// The database says no.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Settings {
    /// The settings that a hub starts with.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn load(store: Store, config: &Config) -> Result<Arc<Self>, store::Error> {
        let (configured, listed) = (config.changeable, config.listed.clone());
        let (live, _) = watch::channel(overlaid(configured, &store.list_settings().await?));
        Ok(Arc::new(Self { store, configured, listed, live, changing: Mutex::default() }))
    }

    /// What counts now and later.
    pub(crate) fn live(&self) -> Live {
        Live(self.live.subscribe())
    }

    /// All of them.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn list(&self) -> Result<Vec<Setting>, store::Error> {
        let edited = self.store.list_settings().await?;
        Ok(self.listed.iter().map(|listed| setting(listed, &edited)).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error::Unknown`], or what the database says.
    pub(crate) async fn show(&self, name: &str) -> Result<Setting, Error> {
        let listed = self.listed.iter().find(|listed| listed.key == name).ok_or(Error::Unknown)?;
        Ok(setting(listed, &self.store.list_settings().await?))
    }

    /// Edits one; `None` takes the edit back. It counts from now on.
    ///
    /// # Errors
    /// [`Error`]; nothing has changed then.
    pub(crate) async fn change(self: &Arc<Self>, act: Act, name: &str, value: Option<u32>) -> Result<Setting, Error> {
        let (this, name) = (Arc::clone(self), name.to_owned());
        // To its end, also if nobody waits for it any more.
        let work = tokio::spawn(async move { this.make(&act, &name, value).await });
        work.await.map_err(|_| store::Error::Unavailable)?
    }

    async fn make(&self, act: &Act, name: &str, value: Option<u32>) -> Result<Setting, Error> {
        let listed = self.listed.iter().find(|listed| listed.key == name).ok_or(Error::Unknown)?;
        let key = listed.changeable.ok_or(Error::NeedsRestart(listed.key))?;
        // Checked before anything is written.
        let after = self.configured.with(key, value.unwrap_or_else(|| self.configured.get(key)))?.get(key);
        let _turn = self.changing.lock().await;
        let counted = *self.live.borrow();
        let change = SettingChange {
            key: listed.key,
            before: counted.get(key),
            after,
            is_edit: value.is_some(),
            tell_sites: key.is_in_snapshots(),
        };
        let (live, counts) = (self.live.clone(), counted.with(key, after)?);
        // Before the sites are told, which is with the commit: their snapshots are made with it.
        let edited = self.store.change_setting(act, change, move || _ = live.send_replace(counts)).await?;
        Ok(setting(listed, &edited))
    }
}

impl Live {
    /// What counts now.
    pub(crate) fn now(&self) -> Changeable {
        *self.0.borrow()
    }

    /// Waits for the next change; for ever once the settings are gone.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// For tests: these, for ever.
    #[cfg(test)]
    pub(crate) fn of(settings: Changeable) -> Self {
        Self(watch::channel(settings).1)
    }
}

fn overlaid(configured: Changeable, edited: &[StoredSetting]) -> Changeable {
    let values = edited.iter().filter_map(|edit| Some((&edit.key, edit.value?)));
    values.fold(configured, |settings, (key, value)| {
        let counts = Key::named(key).and_then(|key| settings.with(key, value).ok());
        if counts.is_none() {
            tracing::warn!(key, value, "an edited setting cannot be taken, and does not count");
        }
        counts.unwrap_or(settings)
    })
}

fn setting(listed: &Listed, edited: &[StoredSetting]) -> Setting {
    let stored = edited.iter().find(|edit| edit.key == listed.key);
    let counts = |value: &u32| listed.changeable.is_some_and(|key| key.bounds().contains(value));
    Setting {
        listed: listed.clone(),
        edited: stored.and_then(|edit| Some((edit.value.filter(counts)?, edit.clone()))),
        revision: stored.map_or(NEVER_CHANGED, |edit| edit.revision),
    }
}
