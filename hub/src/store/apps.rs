//! The apps that licences are sold for, and what was released of them.
//!
//! Apps have numbers, 1 for the first, in the order in which the hub came to know them: some APIs name a product by one.

use super::{Act, Store, audit, error::Error, writer::Tx};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

/// The most characters of a version.
const MAX_VERSION: usize = 255;

impl Store {
    /// Whether there is an app of this code. Licences issued on the command line make new ones known.
    ///
    /// # Errors
    /// What the database says.
    pub async fn knows_app(&self, code: &str) -> Result<bool, Error> {
        let code = code.to_owned();
        self.read(move |connection| knows(connection, &code)).await
    }

    /// All apps, in the order of their numbers, with the versions that were released of each.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_apps(&self) -> Result<Vec<(String, Vec<String>)>, Error> {
        self.read(|connection| {
            let mut query = connection.prepare_cached("SELECT code FROM apps ORDER BY created_at, code")?;
            let codes = query.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
            let mut query = connection
                .prepare_cached("SELECT version FROM app_versions WHERE app = ? ORDER BY created_at, version")?;
            let of = |code: String| {
                let versions = query.query_map([&code], |row| row.get(0))?.collect::<Result<_, _>>()?;
                Ok((code, versions))
            };
            codes.into_iter().map(of).collect()
        })
        .await
    }

    /// Says that a version was released. From the first one on, telemetry of versions that were not is flagged.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the app, [`Error::Conflict`] if it is known, [`Error::Invalid`].
    pub async fn add_app_version(&self, act: &Act, app: &str, version: &str) -> Result<(), Error> {
        let (act, app, version) = (act.clone(), app.to_owned(), version.trim().to_owned());
        let characters = version.chars().count();
        if characters == 0 || characters > MAX_VERSION || version.chars().any(char::is_control) {
            return Err(Error::Invalid { what: "version", allowed: "1 to 255 characters, without control characters" });
        }
        self.write(move |tx| {
            if !knows(tx, &app)? {
                return Err(Error::NotFound { what: "app" });
            }
            tx.prepare_cached("INSERT INTO app_versions (app, version, created_at) VALUES (?, ?, ?)")?
                .execute(params![app, version, act.at.0])
                .map_err(|error| Error::or_conflict(error, "version of this app"))?;
            let after = json!({ "app": app, "version": version });
            audit::write(tx, &act, "app.version.add", &format!("app {app}"), None, Some(&after))
        })
        .await
    }
}

fn knows(connection: &Connection, code: &str) -> Result<bool, Error> {
    let mut query = connection.prepare_cached("SELECT 1 FROM apps WHERE code = ?")?;
    Ok(query.query_row([code], |_| Ok(())).optional()?.is_some())
}

/// The app that a product names, by code or number.
pub(super) fn of_product(tx: &Tx<'_>, product: &str) -> Result<Option<String>, Error> {
    if knows(tx, product)? {
        return Ok(Some(product.to_owned()));
    }
    let Some(number) = product.parse::<i64>().ok().filter(|number| *number > 0) else { return Ok(None) };
    let mut query = tx.prepare_cached("SELECT code FROM apps ORDER BY created_at, code LIMIT 1 OFFSET ?")?;
    Ok(query.query_row([number - 1], |row| row.get(0)).optional()?)
}

/// Whether the vendor keeps a list of this app's versions, and this one is not on it.
pub(super) fn is_unreleased(tx: &Tx<'_>, app: &str, version: &str) -> Result<bool, Error> {
    let mut query = tx.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM app_versions WHERE app = ?1)
            AND NOT EXISTS (SELECT 1 FROM app_versions WHERE app = ?1 AND version = ?2)",
    )?;
    Ok(query.query_row([app, version], |row| row.get(0))?)
}
