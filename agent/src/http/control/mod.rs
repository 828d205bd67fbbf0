//! Telemetry and licence control for the site's administrators: `/api/v1/telemetry/…` and `/api/v1/auth/…`, as the
//! control core's document has them. Bearer tokens; errors are `{"detail": …}`.

mod auth;
mod caller;
mod config;
mod connection;
mod gates;
mod health;
mod history;
mod preview;
mod webhook;

use super::Api;
use super::error::Detail;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::routing::{get, post};
use sitewarden_protocol::time::UnixMillis;

/// All of its routes.
pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/auth/login", post(auth::login))
        .route("/api/v1/auth/refresh", post(auth::refresh))
        .route("/api/v1/auth/logout", post(auth::logout))
        .route("/api/v1/telemetry/config", get(config::show).put(config::change))
        .route("/api/v1/telemetry/test-connection", post(connection::test))
        .route("/api/v1/telemetry/preview", get(preview::preview))
        .route("/api/v1/telemetry/history", get(history::list))
        .route("/api/v1/telemetry/history/{log_id}/retry", post(history::retry))
        .route("/api/v1/telemetry/send-now", post(history::send_now))
        .route("/api/v1/telemetry/license-status", get(gates::status))
        .route("/api/v1/telemetry/license-check/test-policies", get(gates::test_policies))
        .route("/api/v1/telemetry/license-check/promote-production", get(gates::promote_production))
        .route("/api/v1/telemetry/health", get(health::health))
        .route("/api/v1/telemetry/scheduler-status", get(health::scheduler))
        .route("/api/v1/telemetry/webhook/license-update", post(webhook::license_update))
}

/// A request's body, whatever content type it claims.
type Body = Result<Bytes, BytesRejection>;

fn json_body(body: Body) -> Result<serde_json::Map<String, serde_json::Value>, Detail> {
    let body = body.map_err(|rejection| Detail(rejection.status(), rejection.body_text()))?;
    serde_json::from_slice(&body).map_err(|_| bad_request("the body must be a JSON object"))
}

fn bad_request(reason: impl Into<String>) -> Detail {
    Detail(StatusCode::BAD_REQUEST, reason.into())
}

/// The log has the cause, the caller a fixed text.
fn internal(error: &dyn std::error::Error, what: &'static str) -> Detail {
    tracing::error!(error = %error, what);
    Detail(StatusCode::INTERNAL_SERVER_ERROR, format!("{what}; see the agent's log"))
}

fn shown(time: Option<UnixMillis>) -> Option<String> {
    time.map(|time| time.to_string())
}
