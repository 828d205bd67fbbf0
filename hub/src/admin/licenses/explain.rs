//! Why an app may or may not be used at a site.

use crate::admin::{AdminState, Caller, error::Error, extract::Parameters, time};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Deserialize;
use sitewarden_protocol::{id::SiteId, license::Explanation};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Query {
    #[schemars(with = "String")]
    site: SiteId,
    app: String,
    /// RFC 3339; now, if not given.
    at: Option<String>,
}

pub(in crate::admin) async fn explain(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Explanation>, Error> {
    let at = query.at.map_or_else(|| Ok(crate::wall_clock()), |at| time::parse("at", &at))?;
    Ok(Json(
        state.store.explain(caller.scope(), query.site, query.app, at, state.settings.live().now().fresh_days).await?,
    ))
}
