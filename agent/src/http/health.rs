//! `/healthz`, `/readyz`, `/metrics`.

use super::Api;
use super::error::Plant;
use crate::metrics::CONTENT_TYPE;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Value, json};

/// The process answers.
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// It decides and takes records. A hub is not needed for either.
pub(super) async fn readyz(State(api): State<Api>) -> Json<Value> {
    Json(json!({"status": "ready", "snapshot_revision": api.enforcement.state().snapshot.version.revision}))
}

pub(super) async fn metrics(State(api): State<Api>) -> Result<impl IntoResponse, Plant> {
    let text = tokio::task::spawn_blocking(move || {
        let clock = api.clock.standing();
        let state = api.enforcement.state();
        let relieved = state.circumstances(clock.now).relieved_until.is_some();
        api.metrics.render(&api.journal, &clock, relieved)
    })
    .await;
    let text =
        text.map_err(|_| Plant::message(StatusCode::INTERNAL_SERVER_ERROR, "metrics are not available".to_owned()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
