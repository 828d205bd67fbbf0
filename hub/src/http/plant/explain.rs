//! `GET /_config/licenses/_explain?app=&site_id=[&at=]` (ours): what an app may do at a site, why, since when, and what will
//! change on which date. At the hub it is as the site's agent last said; the agent itself answers for its own site.
//!
//! `at` is RFC 3339 and stands for now if it is not given.

use super::{Plant, error::Error, who::Caller};
use crate::store;
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use sitewarden_protocol::{license::Explanation, time::UnixMillis};
use std::sync::Arc;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    app: Option<String>,
    site_id: Option<String>,
    at: Option<String>,
}

pub(super) async fn explain(
    caller: Caller,
    State(plant): State<Arc<Plant>>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Explanation>, Error> {
    let Query(asked) = query.map_err(|_| Error::insufficient())?;
    let app = asked.app.filter(|app| !app.trim().is_empty()).ok_or_else(Error::no_app)?;
    let site = asked.site_id.ok_or_else(Error::insufficient)?.trim().parse().map_err(|_| Error::place())?;
    let at = asked.at.map_or_else(|| Ok(crate::wall_clock()), |at| moment(&at))?;
    match plant.store.explain(caller.0.scope, site, app, at, plant.settings.now().fresh_days).await {
        Ok(told) => Ok(Json(told)),
        Err(store::Error::NotFound { .. }) => Err(Error::place()),
        Err(error) => Err(error.into()),
    }
}

fn moment(text: &str) -> Result<UnixMillis, Error> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| Error::data_type())?;
    Ok(time.with_timezone(&Utc).into())
}
