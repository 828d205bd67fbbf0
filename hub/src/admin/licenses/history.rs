//! Who changed a licence, when, and what.

use super::Selector;
use crate::admin::{AdminState, Caller, error::Error, extract::Id, time};
use crate::store::{LicenseChange, LicenseRevision};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sitewarden_protocol::time::UnixMillis;

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct Revision {
    revision: u32,
    at: String,
    by: String,
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    changes: Vec<LicenseChange>,
}

pub(in crate::admin) async fn history(
    caller: Caller,
    State(state): State<AdminState>,
    Id(which): Id<Selector>,
) -> Result<Json<Vec<Revision>>, Error> {
    let history = state.store.license_history(caller.scope(), which.0).await?;
    Ok(Json(history.into_iter().map(Revision::from).collect()))
}

/// Moments are stored as numbers, and read as text.
fn readable(change: LicenseChange) -> LicenseChange {
    let moment = |value: Value| value.as_i64().map_or(value, |at| time::text(UnixMillis(at)).into());
    if change.field.ends_with("_at") {
        LicenseChange { before: moment(change.before), after: moment(change.after), ..change }
    } else {
        change
    }
}

impl From<LicenseRevision> for Revision {
    fn from(stored: LicenseRevision) -> Self {
        let changes = stored.changes.into_iter().map(readable).collect();
        Self { revision: stored.revision, at: time::text(stored.at), by: stored.by, changes }
    }
}
