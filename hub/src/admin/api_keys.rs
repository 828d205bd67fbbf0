//! API keys. A key is shown when it is made, and never again.

use super::{
    AdminState, act,
    error::Error,
    extract::{Body, CREATED, Id, Parameters},
    page::{Limit, Page},
    time,
};
use crate::store::{ApiKey, NewApiKey};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use sitewarden_protocol::id::SiteId;
use std::time::Duration;

/// The longest that a rotated key counts beside its successor, hours: a year.
const MAX_OVERLAP: u32 = 366 * 24;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    customer: i64,
    site: Option<SiteId>,
    name: Option<String>,
    expires: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Hours that the old key still counts.
    overlap: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    customer: Option<i64>,
    after: Option<i64>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize)]
pub(super) struct View {
    id: i64,
    name: String,
    customer: i64,
    site: Option<SiteId>,
    hint: String,
    status: &'static str,
    created_at: String,
    expires_at: Option<String>,
    last_used: Option<String>,
    revoked_at: Option<String>,
}

/// A new key, this once with the key itself. Does not print.
#[derive(Serialize)]
pub(super) struct Made {
    key: String,
    #[serde(flatten)]
    view: View,
    /// The key before, and until when it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<View>,
}

pub(super) async fn add(
    State(state): State<AdminState>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<Made>), Error> {
    let expires_at = new.expires.map(|text| time::parse("expires", &text)).transpose()?;
    let name = new.name.unwrap_or_else(|| "telemetry".to_owned());
    let new = NewApiKey { name, customer: new.customer, site: new.site, expires_at };
    let (key, made) = state.store.add_api_key(&act(), new).await?;
    Ok((CREATED, Json(Made { key: key.to_string(), view: made.into(), replaces: None })))
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let keys = state.store.list_api_keys(query.customer, query.after, query.limit.rows()).await?;
    Ok(Json(Page::of(keys, query.limit, |key| key.id.to_string(), View::from)))
}

pub(super) async fn rotate(
    State(state): State<AdminState>,
    Id(id): Id<i64>,
    Body(rotation): Body<Rotation>,
) -> Result<(StatusCode, Json<Made>), Error> {
    if rotation.overlap > MAX_OVERLAP {
        return Err(Error::invalid("overlap", format!("overlap must be 0 to {MAX_OVERLAP} hours")));
    }
    let overlap = Duration::from_secs(u64::from(rotation.overlap) * 3_600);
    let rotated = state.store.rotate_api_key(&act(), id, overlap).await?;
    let replaces = Some(rotated.old.into());
    Ok((CREATED, Json(Made { key: rotated.key.to_string(), view: rotated.new.into(), replaces })))
}

pub(super) async fn revoke(State(state): State<AdminState>, Id(id): Id<i64>) -> Result<Json<View>, Error> {
    Ok(Json(state.store.revoke_api_key(&act(), id).await?.into()))
}

impl From<ApiKey> for View {
    fn from(key: ApiKey) -> Self {
        let status = match (key.counts(crate::wall_clock()), key.revoked_at) {
            (true, _) => "active",
            (false, Some(_)) => "revoked",
            (false, None) => "expired",
        };
        Self {
            id: key.id,
            name: key.name,
            customer: key.customer,
            site: key.site,
            hint: key.hint,
            status,
            created_at: time::text(key.created_at),
            expires_at: key.expires_at.map(time::text),
            last_used: key.last_used.map(time::text),
            revoked_at: key.revoked_at.map(time::text),
        }
    }
}
