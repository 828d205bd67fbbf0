//! `GET /api/v1/telemetry/preview`: what would be sent now.

use super::super::Api;
use super::super::error::Detail;
use super::caller::Reader;
use super::{bad_request, internal};
use crate::telemetry::{gates, preview};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

/// Records in one answer.
const MAX_LIMIT: u64 = 1_000;

#[derive(Deserialize)]
pub(super) struct Parameters {
    #[serde(default)]
    raw: bool,
    #[serde(default)]
    skip: u64,
    #[serde(default = "first_page")]
    limit: u64,
}

const fn first_page() -> u64 {
    100
}

pub(super) async fn preview(
    _: Reader,
    State(api): State<Api>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Value>, Detail> {
    let Query(Parameters { raw, skip, limit }) = parameters.map_err(|error| bad_request(error.body_text()))?;
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(bad_request(format!("limit: 1 to {MAX_LIMIT} is allowed")));
    }
    let unreadable = |error: preview::Unreadable| internal(&error, "the journal could not be read");
    if raw {
        let records = preview::records(&api.telemetry, skip, limit).await.map_err(unreadable)?;
        let waiting = api.journal.size().backlog;
        return Ok(Json(json!({"total": waiting, "skip": skip, "limit": limit, "records": records})));
    }
    let sums = preview::sums(&api.telemetry).await.map_err(unreadable)?;
    let (state, now) = (api.enforcement.state(), api.clock.now());
    let mut body = json!({
        "customer_id": customer_id(state.snapshot.customer),
        "current_period": now.calendar().map(|time| time.date_naive().to_string()),
        "policy_decision_count": sums.policy_decisions,
        "active_bouncer_count": sums.bouncers,
        "total_events": sums.events,
        "successful_decisions": sums.successful_decisions,
        "sandbox_events": sums.sandbox,
        "production_events": sums.production,
        "health_status": api.telemetry.report().health.name(),
        "deployment_version": env!("CARGO_PKG_VERSION"),
        "tier": gates::standing(&state, now).tier,
    });
    if !sums.whole {
        body["note"] = json!(format!("only the oldest {} records that wait are summed up", preview::MAX_SCANNED));
    }
    Ok(Json(body))
}

/// The customer's number at the hub, as text as the document has it; null from a hub that does not tell it.
fn customer_id(number: u64) -> Option<String> {
    (number != 0).then(|| number.to_string())
}
