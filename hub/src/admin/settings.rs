//! Settings: all are shown, some can be changed while the hub runs.

use super::{
    AdminState, Caller, Needs, Routes,
    edition::Tagged,
    error::Error,
    extract::{Body, Id},
    page::Page,
    time,
};
use crate::config::Source;
use crate::settings::{Error as Refused, Setting};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Adds the routes of this resource to a table.
pub(super) fn routes(table: Routes<AdminState>) -> Routes<AdminState> {
    let (see, change) = (Needs::SURVEY, Needs::WHOLE_HUB);
    table.get("/settings", see, list).get("/settings/{key}", see, show).put("/settings/{key}", change, edit).delete(
        "/settings/{key}",
        change,
        reset,
    )
}

/// What a setting is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    #[schemars(with = "u32")]
    value: Value,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    key: &'static str,
    /// What counts.
    value: Value,
    /// Whether it can be changed while the hub runs; otherwise in hub.toml, for the next start.
    changeable: bool,
    /// What it can be, in words.
    allowed: String,
    /// What counts without an edit, and where that is from.
    configured: Configured,
    /// Who edited it; null if nobody did.
    edited: Option<Edited>,
    /// Grows with every change.
    revision: i64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Configured {
    value: Value,
    source: Source,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Edited {
    at: String,
    by: String,
}

pub(super) async fn list(State(state): State<AdminState>) -> Result<Json<Page<View>>, Error> {
    let items = state.settings.list().await?.into_iter().map(View::from).collect();
    Ok(Json(Page { items, next: None }))
}

pub(super) async fn show(State(state): State<AdminState>, Id(key): Id<String>) -> Result<Tagged<View>, Error> {
    Ok(View::tagged(state.settings.show(&key).await?))
}

pub(super) async fn edit(
    caller: Caller,
    State(state): State<AdminState>,
    Id(key): Id<String>,
    Body(edit): Body<Edit>,
) -> Result<Tagged<View>, Error> {
    // Whatever is no number that can be is out of bounds, in the same words.
    let value = edit.value.as_u64().and_then(|value| u32::try_from(value).ok()).unwrap_or(u32::MAX);
    Ok(View::tagged(state.settings.change(caller.act(), &key, Some(value)).await?))
}

pub(super) async fn reset(
    caller: Caller,
    State(state): State<AdminState>,
    Id(key): Id<String>,
) -> Result<Tagged<View>, Error> {
    Ok(View::tagged(state.settings.change(caller.act(), &key, None).await?))
}

impl View {
    fn tagged(setting: Setting) -> Tagged<Self> {
        Tagged(setting.revision, setting.into())
    }
}

impl From<Setting> for View {
    fn from(Setting { listed, edited, revision }: Setting) -> Self {
        let configured = Configured { value: listed.value, source: listed.source };
        Self {
            key: listed.key,
            value: edited.as_ref().map_or_else(|| configured.value.clone(), |(value, _)| (*value).into()),
            changeable: listed.changeable.is_some(),
            allowed: listed.allowed,
            configured,
            edited: edited.map(|(_, edit)| Edited { at: time::text(edit.changed_at), by: edit.changed_by }),
            revision,
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::Unknown => Self::not_found("setting"),
            Refused::NeedsRestart(_) => Self::new(StatusCode::CONFLICT, "CONFLICT", message),
            Refused::OutOfBounds(_) => Self::invalid("value", message),
            Refused::Store(error) => error.into(),
        }
    }
}
