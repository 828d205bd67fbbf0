//! `POST /api/v1/telemetry/webhook/license-update`: the hub hints that licences have changed. What counts is the signed
//! snapshot, which is asked for at once; the answer says what that one says.

use super::super::Api;
use super::super::error::Detail;
use super::Body;
use crate::telemetry::{Refusal, gates};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

pub(super) async fn license_update(State(api): State<Api>, body: Body) -> Result<Json<Value>, Response> {
    let body = body.map_err(|rejection| Detail(rejection.status(), rejection.body_text()).into_response())?;
    let hint = api.telemetry.webhook(body.to_vec()).await.map_err(refused)?;
    let before = api.enforcement.state().snapshot.version.revision;
    let heard = api.line.renew().await;
    let (state, now) = (api.enforcement.state(), api.clock.now());
    let updated = u32::from(state.snapshot.version.revision > before);
    let standing = gates::standing(&state, now);
    if !heard {
        tracing::warn!("the hub cannot be asked about the webhook's news; the licences stay as they are");
    }
    Ok(Json(json!({
        "status": "success",
        "message": format!("Subscription tier updated for {updated} user(s)"),
        "customer_id": hint.customer_id,
        "subscription_tier": standing.tier,
        "subscription_status": standing.status,
        "updated_users": updated,
        "timestamp": now.to_string(),
    })))
}

fn refused(refusal: Refusal) -> Response {
    let status = match refusal {
        Refusal::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Body | Refusal::Stale => StatusCode::BAD_REQUEST,
        Refusal::Signature => StatusCode::UNAUTHORIZED,
        Refusal::Replayed => StatusCode::CONFLICT,
    };
    let body = Detail(status, refusal.to_string());
    match refusal {
        Refusal::TooMany(wait) => ([(RETRY_AFTER, (wait.as_secs() + 1).to_string())], body).into_response(),
        _ => body.into_response(),
    }
}
