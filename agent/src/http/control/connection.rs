//! `POST /api/v1/telemetry/test-connection`.

use super::super::Api;
use super::caller::Administrator;
use crate::telemetry::{API_KEY_REFUSED, Tested};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

pub(super) async fn test(_: Administrator, State(api): State<Api>) -> Json<Value> {
    let (status, message) = match api.telemetry.test_connection().await {
        Tested::Well => ("success", "Successfully connected to License Admin server"),
        Tested::Unreachable => {
            ("failed", "Failed to connect to License Admin server. Please verify URL and network connectivity.")
        }
        Tested::KeyRefused => ("failed", API_KEY_REFUSED),
        Tested::KeyUnchecked => (
            "failed",
            "The License Admin server answers, but there is no session with it over which the API key could be checked.",
        ),
    };
    let (url, timestamp) = (api.telemetry.url(), api.clock.now().to_string());
    Json(json!({"status": status, "message": message, "url": url, "timestamp": timestamp}))
}
