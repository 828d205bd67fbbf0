//! `/_config/monitors/…`: how apps take and give back units of their quota.

use super::Api;
use super::error::Plant;
use super::licenses::AppName;
use super::who::PlantUser;
use crate::enforcement::{Asked, ReserveError, Reserved};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

/// Monitors in one request.
const MAX_BULK: usize = 1_000;
/// The longest monitor identifier, bytes.
const MAX_ID: usize = 128;
/// What a denial of a monitor is a denial of.
const RESERVE: &str = "reserve";

/// The monitor that the path names.
pub(super) struct MonitorId(String);

impl<S: Send + Sync> FromRequestParts<S> for MonitorId {
    type Rejection = Plant;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Plant> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(monitor)| Self(monitor)).map_err(|_| Plant::bad_request("monitor_id: it is not UTF-8"))
    }
}

pub(super) async fn reserve(
    PlantUser(user): PlantUser,
    State(api): State<Api>,
    MonitorId(monitor): MonitorId,
    AppName(app): AppName,
) -> Result<Json<Value>, Plant> {
    check_names(&app, &monitor)?;
    let Reserved { before, in_use, quota } = one(&api, &app, &monitor, &user.name).await?;
    Ok(Json(json!({"monitor_id": monitor, "app": app, "reserved_before": before, "in_use": in_use, "quota": quota})))
}

/// Reserves one monitor. That it is denied is on disk before the caller hears of it, but for repeats.
pub(super) async fn one(api: &Api, app: &str, monitor: &str, user: &str) -> Result<Reserved, ReserveError> {
    let reserved = api.enforcement.reserve(app.to_owned(), monitor.to_owned()).await;
    if let Err(ReserveError::Denied(denied)) = &reserved {
        api.denials.record(Asked { app, action: RESERVE, user }, denied).await;
    }
    reserved
}

pub(super) async fn release(
    _user: PlantUser,
    State(api): State<Api>,
    MonitorId(monitor): MonitorId,
    AppName(app): AppName,
) -> Result<Json<Value>, Plant> {
    let released = api.enforcement.release(app.clone(), monitor.clone()).await?;
    Ok(Json(json!({"monitor_id": monitor, "app": app, "released": released})))
}

/// Several monitors in one step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bulk {
    app: String,
    monitors: Vec<String>,
    #[serde(default)]
    mode: Mode,
}

/// What happens if not all of them fit.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// None is reserved.
    #[default]
    AllOrNothing,
    /// As many as fit are, in the order given.
    AsManyAsFit,
}

pub(super) async fn bulk(
    PlantUser(user): PlantUser,
    State(api): State<Api>,
    body: Result<Json<Bulk>, JsonRejection>,
) -> Result<Json<Value>, Plant> {
    let Json(bulk) = body.map_err(|rejection| Plant::message(rejection.status(), rejection.body_text()))?;
    if bulk.monitors.is_empty() || bulk.monitors.len() > MAX_BULK {
        return Err(Plant::bad_request(format!("monitors: 1 to {MAX_BULK} are taken at a time")));
    }
    for monitor in &bulk.monitors {
        check_names(&bulk.app, monitor)?;
    }
    let some = api.enforcement.reserve_some(bulk.app.clone(), bulk.monitors, bulk.mode == Mode::AllOrNothing).await;
    let denied = match &some {
        Ok(some) => some.denied.as_ref(),
        Err(ReserveError::Denied(denied)) => Some(denied),
        Err(ReserveError::Journal(_)) => None,
    };
    if let Some(denied) = denied {
        api.denials.record(Asked { app: &bulk.app, action: RESERVE, user: &user.name }, denied).await;
    }
    let some = some?;
    Ok(Json(json!({
        "app": bulk.app, "reserved": some.reserved, "refused": some.refused, "in_use": some.in_use, "quota": some.quota,
    })))
}

pub(super) async fn list(
    _user: PlantUser,
    State(api): State<Api>,
    AppName(app): AppName,
) -> Result<Json<Value>, Plant> {
    let stopping = |_| Plant::message(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping".to_owned());
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
