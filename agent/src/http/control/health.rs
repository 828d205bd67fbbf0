//! How telemetry stands, and its scheduler.

use super::super::Api;
use super::caller::Reader;
use super::shown;
use crate::telemetry::{API_KEY_REFUSED, ApiKeyState, Health, Report};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

pub(super) async fn health(_: Reader, State(api): State<Api>) -> Json<Value> {
    let (settings, report) = (api.telemetry.settings(), api.telemetry.report());
    Json(json!({
        "status": report.health.name(),
        "enabled": settings.enabled,
        "connection_status": if report.connected { "connected" } else { "disconnected" },
        "license_admin_url": api.telemetry.url(),
        "api_key_configured": settings.has_api_key(),
        "last_transmission_at": shown(report.last_transmission),
        "next_scheduled_at": shown(report.next_scheduled),
        "frequency": settings.frequency.name(),
        "recent_errors": report.recent_errors,
        "message": message(&report),
    }))
}

/// The state in words; of a key that does not count, because everything else may be well.
fn message(report: &Report) -> &'static str {
    match report.health {
        Health::Unhealthy if report.api_key == ApiKeyState::Refused => API_KEY_REFUSED,
        health => health.message(),
    }
}

pub(super) async fn scheduler(_: Reader, State(api): State<Api>) -> Json<Value> {
    let (settings, report) = (api.telemetry.settings(), api.telemetry.report());
    let running = api.telemetry.is_scheduler_running();
    let message = match (running, settings.enabled) {
        (false, _) => "Scheduler is not running",
        (true, false) => "Telemetry is disabled",
        (true, true) => "Scheduler active",
    };
    Json(json!({
        "scheduler_running": running,
        "enabled": settings.enabled,
        "frequency": settings.frequency.name(),
        "next_scheduled_at": shown(report.next_scheduled),
        "last_transmission_at": shown(report.last_transmission),
        "message": message,
    }))
}
