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
use super::described::control as described;
use super::error::Detail;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use sitewarden_openapi::Routes;
use sitewarden_protocol::time::UnixMillis;

/// All of its routes.
pub(super) fn routes() -> Routes<Api> {
    Routes::new()
        .post("/api/v1/auth/login", auth::login, described::login())
        .post("/api/v1/auth/refresh", auth::refresh, described::refresh())
        .post("/api/v1/auth/logout", auth::logout, described::logout())
        .get("/api/v1/telemetry/config", config::show, described::config())
        .put("/api/v1/telemetry/config", config::change, described::change_config())
        .post("/api/v1/telemetry/test-connection", connection::test, described::test_connection())
        .get("/api/v1/telemetry/preview", preview::preview, described::preview())
        .get("/api/v1/telemetry/history", history::list, described::history())
        .post("/api/v1/telemetry/history/{log_id}/retry", history::retry, described::retry())
        .post("/api/v1/telemetry/send-now", history::send_now, described::send_now())
        .get("/api/v1/telemetry/license-status", gates::status, described::license_status())
        .get("/api/v1/telemetry/license-check/test-policies", gates::test_policies, described::test_policies())
        .get(
            "/api/v1/telemetry/license-check/promote-production",
            gates::promote_production,
            described::promote_production(),
        )
        .get("/api/v1/telemetry/health", health::health, described::health())
        .get("/api/v1/telemetry/scheduler-status", health::scheduler, described::scheduler())
        .post("/api/v1/telemetry/webhook/license-update", webhook::license_update, described::license_update())
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
