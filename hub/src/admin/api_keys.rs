//! API keys. A key is shown when it is made, and never again.

use super::{
    AdminState, Caller,
    edition::Tagged,
    error::Error,
    extract::{Body, CREATED, Id, Parameters},
    page::{Limit, Page},
    time,
    users::within,
};
use crate::store::{ApiKey, NewApiKey, Purpose, Role, Thing};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::id::SiteId;
use std::time::Duration;

/// The longest that a rotated key counts beside its successor, hours: a year.
const MAX_OVERLAP: u32 = 366 * 24;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    #[serde(default)]
    purpose: Wanted,
    /// Of a key for the API; viewer if not given.
    role: Option<Role>,
    customer: Option<i64>,
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    name: Option<String>,
    expires: Option<String>,
}

/// For telemetry, if nothing else is said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Wanted(Purpose);

impl Default for Wanted {
    fn default() -> Self {
        Self(Purpose::Telemetry)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Hours that the old key still counts.
    overlap: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    customer: Option<i64>,
    purpose: Option<Purpose>,
    after: Option<i64>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    id: i64,
    name: String,
    purpose: Purpose,
    /// Null for a telemetry key, with which nothing can be read.
    role: Option<Role>,
    customer: Option<i64>,
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    hint: String,
    status: &'static str,
    created_at: String,
    expires_at: Option<String>,
    last_used: Option<String>,
    revoked_at: Option<String>,
    /// Grows with every edit; not with its use.
    revision: i64,
}

/// A new key, this once with the key itself. Does not print.
#[derive(Serialize, JsonSchema)]
pub(super) struct Made {
    key: String,
    #[serde(flatten)]
    view: View,
    /// The key before, and until when it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<View>,
}

pub(super) async fn add(
    caller: Caller,
    State(state): State<AdminState>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Tagged<Made>), Error> {
    // One who is limited means his own, if he says nothing else.
    let (customer, site) = match (new.customer, new.site, caller.scope()) {
        (None, None, scope) => (scope.customer, scope.site),
        (customer, site, _) => (customer, site),
    };
    within(&caller, &state, customer, site).await?;
    let expires_at = new.expires.map(|text| time::parse("expires", &text)).transpose()?;
    let (purpose, role) = match (new.purpose.0, new.role) {
        (Purpose::Telemetry, Some(_)) => return Err(Error::invalid("role", "a telemetry key has no role")),
        (purpose, role) => (purpose, role.unwrap_or(Role::Viewer)),
    };
    let name = new.name.unwrap_or_else(|| purpose.name().to_owned());
    let new = NewApiKey { name, purpose, role, customer, site, expires_at };
    let (key, made) = state.store.add_api_key(&caller.act(), new).await?;
    Ok((CREATED, Tagged(made.revision, Made { key: key.to_string(), view: made.into(), replaces: None })))
}

pub(super) async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let keys = state
        .store
        .list_api_keys(caller.scope(), (query.customer, query.purpose), query.after, query.limit.rows())
        .await?;
    Ok(Json(Page::of(keys, query.limit, |key| key.id.to_string(), View::from)))
}

pub(super) async fn show(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::ApiKey(id)).await?;
    Ok(View::tagged(state.store.show_api_key(id).await?))
}

pub(super) async fn rotate(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
    Body(rotation): Body<Rotation>,
) -> Result<(StatusCode, Tagged<Made>), Error> {
    if rotation.overlap > MAX_OVERLAP {
        return Err(Error::invalid("overlap", format!("overlap must be 0 to {MAX_OVERLAP} hours")));
    }
    caller.reach(&state.store, Thing::ApiKey(id)).await?;
    let overlap = Duration::from_secs(u64::from(rotation.overlap) * 3_600);
    let rotated = state.store.rotate_api_key(&caller.act(), id, overlap).await?;
    let (revision, replaces) = (rotated.new.revision, Some(rotated.old.into()));
    Ok((CREATED, Tagged(revision, Made { key: rotated.key.to_string(), view: rotated.new.into(), replaces })))
}

pub(super) async fn revoke(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::ApiKey(id)).await?;
    Ok(View::tagged(state.store.revoke_api_key(&caller.act(), id).await?))
}

impl View {
    fn tagged(key: ApiKey) -> Tagged<Self> {
        Tagged(key.revision, key.into())
    }
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
            purpose: key.purpose,
            role: Some(key.role).filter(|_| key.purpose == Purpose::Api),
            customer: key.customer,
            site: key.site,
            hint: key.hint,
            status,
            created_at: time::text(key.created_at),
            expires_at: key.expires_at.map(time::text),
            last_used: key.last_used.map(time::text),
            revoked_at: key.revoked_at.map(time::text),
            revision: key.revision,
        }
    }
}
