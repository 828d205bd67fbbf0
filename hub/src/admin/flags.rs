//! Red flags.

use super::{
    AdminState, Caller,
    edition::Tagged,
    error::Error,
    extract::{Body, Id, Parameters},
    page::{Limit, Page},
    time,
};
use crate::store::{RedFlag, Thing};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sitewarden_protocol::id::{AgentId, SiteId};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Only those that were not put aside.
    #[serde(default)]
    open: bool,
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    /// The list goes from the newest to the oldest.
    after: Option<i64>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resolution {
    note: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    id: i64,
    at: String,
    kind: String,
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    #[schemars(with = "Option<String>")]
    agent: Option<AgentId>,
    license: Option<i64>,
    details: Value,
    resolved_at: Option<String>,
    resolved_by: Option<String>,
    note: Option<String>,
    /// 1 while it is open, then 2.
    revision: i64,
}

pub(super) async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let flags = state.store.list_flags(caller.scope(), query.open, query.site, query.after, query.limit.rows()).await?;
    Ok(Json(Page::of(flags, query.limit, |flag| flag.id.to_string(), View::from)))
}

pub(super) async fn show(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::Flag(id)).await?;
    Ok(View::tagged(state.store.show_flag(id).await?))
}

pub(super) async fn resolve(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
    Body(resolution): Body<Resolution>,
) -> Result<Tagged<View>, Error> {
    Ok(View::tagged(state.store.resolve_flag(&caller.act(), id, &resolution.note).await?))
}

impl View {
    fn tagged(flag: RedFlag) -> Tagged<Self> {
        Tagged(flag.revision(), flag.into())
    }
}

impl From<RedFlag> for View {
    fn from(flag: RedFlag) -> Self {
        Self {
            revision: flag.revision(),
            id: flag.id,
            at: time::text(flag.at),
            kind: flag.kind,
            site: flag.site,
            agent: flag.agent,
            license: flag.license,
            details: flag.details,
            resolved_at: flag.resolved_at.map(time::text),
            resolved_by: flag.resolved_by,
            note: flag.note,
        }
    }
}
