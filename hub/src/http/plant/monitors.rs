//! `GET /_config/monitors/_list`: monitors in use at a site, as far as its agent's records have arrived. The path and the
//! words are those of the agent's own list; reserving and releasing is the agent's alone, so that anything else below
//! `/_config/monitors/` is "Method not allowed" here.
//!
//! Parameters: `site_id` (required), `plant_id` (if given, the site must be in it), `app` (if given, of that app only),
//! `limit` (1 to 1,000 a page, 100 if not given; more is taken for 1,000), `after` (what the page before gave as `next`).
//!
//! ```json
//! {
//!   "site_id": "0190c8a0-…", "app": "CBM", "in_use": 2,
//!   "monitors": [{ "monitor_id": "pump-1", "app": "CBM", "agent_id": "0190c8a1-…", "since": 1769846400 }],
//!   "next": null
//! }
//! ```
//!
//! `app` is what was asked for, `null` if nothing was; `in_use` counts all pages; `since` is in Unix seconds by the site's
//! clock; monitors are ordered by app and identifier; `next` is `null` on the last page. Monitors of a revoked agent are
//! not shown. A site that the user may not see is answered as one that does not exist.

use super::{Plant, error::Error, who::Caller};
use crate::store::{self, MAX_PAGE, Monitor, MonitorFilter, MonitorPage};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};
use sitewarden_protocol::id::{AgentId, SiteId};
use std::{str::FromStr, sync::Arc};

/// Monitors on a page if the request does not say how many.
const DEFAULT_PAGE: usize = 100;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    site_id: Option<String>,
    plant_id: Option<String>,
    app: Option<String>,
    limit: Option<String>,
    after: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Listed {
    site_id: SiteId,
    app: Option<String>,
    in_use: u64,
    monitors: Vec<View>,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct View {
    monitor_id: String,
    app: String,
    agent_id: AgentId,
    since: i64,
}

pub(super) async fn list(
    caller: Caller,
    State(plant): State<Arc<Plant>>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Listed>, Error> {
    let Query(asked) = query.map_err(|_| Error::insufficient())?;
    let site: SiteId = read(asked.site_id, Error::place)?.ok_or_else(Error::insufficient)?;
    let of_plant = read(asked.plant_id, Error::place)?;
    let app = asked.app.filter(|app| !app.trim().is_empty());
    let limit = read(asked.limit, Error::data_type)?.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
    let after = read(asked.after, Error::data_type)?;
    if let Some(app) = &app
        && !plant.store.knows_app(app).await?
    {
        return Err(Error::application());
    }
    let of = MonitorFilter { site, plant: of_plant, app: app.clone() };
    match plant.store.list_monitors(caller.0.scope, of, after, limit).await {
        Ok(MonitorPage { in_use, monitors, next }) => {
            let monitors = monitors.into_iter().map(View::from).collect();
            Ok(Json(Listed { site_id: site, app, in_use, monitors, next: next.map(|next| next.to_string()) }))
        }
        Err(store::Error::NotFound { .. }) => Err(Error::place()),
        Err(error) => Err(error.into()),
    }
}

/// Whoever may call learns that monitors are reserved and released at the plant.
pub(super) async fn elsewhere(_: Caller) -> Error {
    Error::method()
}

fn read<T: FromStr>(text: Option<String>, wrong: fn() -> Error) -> Result<Option<T>, Error> {
    let given = text.filter(|text| !text.trim().is_empty());
    given.map(|text| text.trim().parse().map_err(|_| wrong())).transpose()
}

impl From<Monitor> for View {
    fn from(monitor: Monitor) -> Self {
        Self { monitor_id: monitor.monitor, app: monitor.app, agent_id: monitor.agent, since: monitor.since.seconds() }
    }
}
