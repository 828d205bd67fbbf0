//! `/_config/monitors/…`: how apps take and give back units of their quota.

use super::Api;
use super::error::Plant;
use super::licenses::ForApp;
use super::who::PlantUser;
use crate::enforcement::Reserved;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

/// The longest monitor identifier, bytes.
const MAX_ID: usize = 128;

pub(super) async fn reserve(
    _user: PlantUser,
    State(api): State<Api>,
    Path(monitor): Path<String>,
    Query(query): Query<ForApp>,
) -> Result<Json<Value>, Plant> {
    let app = query.named()?;
    check_names(&app, &monitor)?;
    let Reserved { before, in_use, quota } = api.enforcement.reserve(app.clone(), monitor.clone()).await?;
    Ok(Json(json!({"monitor_id": monitor, "app": app, "reserved_before": before, "in_use": in_use, "quota": quota})))
}

pub(super) async fn release(
    _user: PlantUser,
    State(api): State<Api>,
    Path(monitor): Path<String>,
    Query(query): Query<ForApp>,
) -> Result<Json<Value>, Plant> {
    let app = query.named()?;
    let released = api.enforcement.release(app.clone(), monitor.clone()).await?;
    Ok(Json(json!({"monitor_id": monitor, "app": app, "released": released})))
}

pub(super) async fn list(
    _user: PlantUser,
    State(api): State<Api>,
    Query(query): Query<ForApp>,
) -> Result<Json<Value>, Plant> {
    let app = query.named()?;
    let stopping = |_| Plant(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping".to_owned());
    let monitors = api.enforcement.monitors(app.clone()).await.map_err(stopping)?;
    Ok(Json(json!({"app": app, "in_use": monitors.len(), "monitors": monitors})))
}

/// Names that can be shown and stored.
pub(super) fn check_names(app: &str, monitor: &str) -> Result<(), Plant> {
    let printable = |text: &str| !text.chars().any(char::is_control);
    if monitor.is_empty() || monitor.len() > MAX_ID || !printable(monitor) {
        return Err(Plant::bad_request(format!(
            "monitor_id: 1 to {MAX_ID} bytes without control characters are allowed"
        )));
    }
    if app.len() > 32 || !printable(app) {
        return Err(Plant::bad_request("app: 1 to 32 bytes without control characters are allowed"));
    }
    Ok(())
}
