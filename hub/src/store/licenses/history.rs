//! Who changed a licence, when, and what.

use super::{LicenseSelector, find};
use crate::store::{MAX_PAGE, Scope, Store, error::Error, page_size};
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::{Map, Value};
use sitewarden_protocol::time::UnixMillis;

/// One state that a licence was in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LicenseRevision {
    /// Which.
    pub revision: u32,
    /// Since when.
    pub at: UnixMillis,
    /// Who made it so.
    pub by: String,
    /// What is otherwise than before; empty for the first.
    pub changes: Vec<LicenseChange>,
}

/// One field that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LicenseChange {
    /// Its name.
    pub field: String,
    /// What it was.
    pub before: Value,
    /// What it is.
    pub after: Value,
}

struct State {
    revision: u32,
    at: UnixMillis,
    by: String,
    fields: Map<String, Value>,
}

impl Store {
    /// The newest revisions of a licence, newest first, at most [`MAX_PAGE`].
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that `scope` does not cover.
    pub async fn license_history(&self, scope: Scope, which: LicenseSelector) -> Result<Vec<LicenseRevision>, Error> {
        self.read(move |connection| {
            let license = find(connection, which)?;
            if !scope.covers(&license) {
                return Err(Error::NotFound { what: "license" });
            }
            let states = states(connection, license.id)?;
            let revisions = states.iter().enumerate().map(|(at, state)| LicenseRevision {
                revision: state.revision,
                at: state.at,
                by: state.by.clone(),
                changes: states.get(at + 1).map_or_else(Vec::new, |older| changes(&older.fields, &state.fields)),
            });
            Ok(revisions.take(MAX_PAGE).collect())
        })
        .await
    }
}

/// Newest first, one more than a page, so that the last on it has something to be compared with.
fn states(connection: &Connection, license: i64) -> Result<Vec<State>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT revision, at, by, state FROM license_revisions WHERE license = ? ORDER BY revision DESC LIMIT ?",
    )?;
    let mut rows = query.query(params![license, page_size(MAX_PAGE) + 1])?;
    let mut states = Vec::new();
    while let Some(row) = rows.next()? {
        let fields = serde_json::from_str(&row.get::<_, String>(3)?);
        states.push(State {
            revision: row.get(0)?,
            at: UnixMillis(row.get(1)?),
            by: row.get(2)?,
            fields: fields.map_err(|_| Error::Damaged { what: "license revision" })?,
        });
    }
    Ok(states)
}

fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<LicenseChange> {
    let changed = after.iter().filter(|(field, value)| *field != "revision" && before.get(*field) != Some(value));
    let change = |(field, value): (&String, &Value)| LicenseChange {
        field: field.clone(),
        before: before.get(field).cloned().unwrap_or_default(),
        after: value.clone(),
    };
    changed.map(change).collect()
}
