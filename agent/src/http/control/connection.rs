//! `POST /api/v1/telemetry/test-connection`.

use super::super::Api;
use super::caller::Administrator;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

pub(super) async fn test(_: Administrator, State(api): State<Api>) -> Json<Value> {
    let (status, message) = if api.telemetry.test_connection().await {
        ("success", "Successfully connected to License Admin server")
    } else {
        ("failed", "Failed to connect to License Admin server. Please verify URL and network connectivity.")
    };
    let (url, timestamp) = (api.telemetry.url(), api.clock.now().to_string());
    Json(json!({"status": status, "message": message, "url": url, "timestamp": timestamp}))
}
