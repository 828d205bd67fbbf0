//! What administrators have edited of the settings while the hub runs. What each can be is not known here.

use super::{Act, Scope, Store, audit, error::Error, sites, writer::Tx};
use rusqlite::{Connection, params};
use serde_json::json;
use sitewarden_protocol::time::UnixMillis;

/// A setting that is edited, or was once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSetting {
    /// Which.
    pub key: String,
    /// What it is set to; `None`: that was taken back.
    pub value: Option<u32>,
    /// Grows with every change; of one that nobody ever changed it is 1.
    pub revision: i64,
    /// When.
    pub changed_at: UnixMillis,
    /// By whom.
    pub changed_by: String,
}

/// The revision of a setting that nobody ever changed.
pub const NEVER_CHANGED: i64 = 1;

/// A setting that is to count differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingChange {
    /// Which.
    pub key: &'static str,
    /// What counts until now.
    pub before: u32,
    /// What counts from now on.
    pub after: u32,
    /// Whether it is edited; otherwise an edit is taken back.
    pub is_edit: bool,
    /// Whether every site's snapshot changes with it.
    pub tell_sites: bool,
}

impl Store {
    /// All that were ever edited, by their keys.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_settings(&self) -> Result<Vec<StoredSetting>, Error> {
        self.read(list).await
    }

    /// Changes one, and answers all that were ever edited then. A repeat changes nothing. `begin` makes it count; it is
    /// called when nothing stands in the way of the commit but the disk, without which the hub ends.
    ///
    /// # Errors
    /// [`Error::Changed`], or what the database says.
    pub async fn change_setting(
        &self,
        act: &Act,
        change: SettingChange,
        begin: impl FnOnce() + Send + 'static,
    ) -> Result<Vec<StoredSetting>, Error> {
        let act = act.clone();
        self.write(move |tx| {
            let known = list(tx)?.into_iter().find(|setting| setting.key == change.key);
            let (value, revision) = known.map_or((None, NEVER_CHANGED), |known| (known.value, known.revision));
            act.check_seen(revision)?;
            if value != change.is_edit.then_some(change.after) {
                make(tx, &act, change, revision + 1)?;
            }
            let stored = list(tx)?;
            begin();
            Ok(stored)
        })
        .await
    }
}

fn make(tx: &Tx<'_>, act: &Act, change: SettingChange, revision: i64) -> Result<(), Error> {
    let SettingChange { key, before, after, is_edit, tell_sites } = change;
    let value = json!(is_edit.then_some(after)).to_string();
    tx.prepare_cached(
        "INSERT OR REPLACE INTO settings (key, value, revision, changed_at, changed_by) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![key, value, revision, act.at.0, act.by])?;
    let (action, was, is) =
        (if is_edit { "setting.edit" } else { "setting.reset" }, json!({ "value": before }), json!({ "value": after }));
    audit::write(tx, act, action, &format!("setting {key}"), Some(&was), Some(&is))?;
    if tell_sites && before != after { sites::bump_all(tx, Scope::default()) } else { Ok(()) }
}

fn list(connection: &Connection) -> Result<Vec<StoredSetting>, Error> {
    let mut query =
        connection.prepare_cached("SELECT key, value, changed_at, changed_by, revision FROM settings ORDER BY key")?;
    let mut rows = query.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let value = serde_json::from_str(&row.get::<_, String>(1)?).map_err(|_| Error::Damaged { what: "setting" })?;
        let (changed_at, changed_by, revision) = (UnixMillis(row.get(2)?), row.get(3)?, row.get(4)?);
        found.push(StoredSetting { key: row.get(0)?, value, revision, changed_at, changed_by });
    }
    Ok(found)
}
