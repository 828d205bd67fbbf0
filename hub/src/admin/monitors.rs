//! Monitors in use at a site.

use super::{
    AdminState, Caller,
    error::Error,
    extract::Parameters,
    page::{Limit, Page},
    time,
};
use crate::store::{Monitor, MonitorFilter};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::id::{AgentId, SiteId};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    #[schemars(with = "String")]
    site: SiteId,
    app: Option<String>,
    after: Option<String>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    monitor: String,
    app: String,
    #[schemars(with = "String")]
    agent: AgentId,
    since: String,
}

pub(super) async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let after = query.after.map(|text| text.parse()).transpose();
    let after = after.map_err(|error| Error::invalid("after", format!("{error}")))?;
    let of = MonitorFilter { site: query.site, plant: None, app: query.app };
    let page = state.store.list_monitors(caller.scope(), of, after, query.limit.rows()).await?;
    let items = page.monitors.into_iter().map(View::from).collect();
    Ok(Json(Page { items, next: page.next.map(|next| next.to_string()) }))
}

impl From<Monitor> for View {
    fn from(monitor: Monitor) -> Self {
        Self { monitor: monitor.monitor, app: monitor.app, agent: monitor.agent, since: time::text(monitor.since) }
    }
}
