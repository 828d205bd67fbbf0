//! What the licences let Control Core do.

use super::super::Api;
use super::caller::{Anybody, Reader};
use super::shown;
use crate::telemetry::gates::{self, Closed, Gate, Standing};
use crate::telemetry::{API_KEY_REFUSED, ApiKeyState};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

pub(super) async fn status(_: Reader, State(api): State<Api>) -> Json<Value> {
    let standing = standing(&api);
    let (settings, known) = (api.telemetry.settings(), api.line.known());
    let last_word = api.enforcement.state().snapshot.version.issued_at;
    let refused = api.telemetry.api_key() == ApiKeyState::Refused;
    let promote_warning = standing.warning.clone().filter(|_| standing.tier == "trial");
    Json(json!({
        "connected": known.connected,
        "tier": standing.tier,
        "trial_expired": standing.trial_expired,
        "trial_end_date": shown(standing.trial_end),
        "trial_days_remaining": standing.trial_days,
        "license_admin_url": api.telemetry.url(),
        "api_key_configured": settings.has_api_key(),
        "last_verification": shown(known.last_receipt_at.max(Some(last_word))),
        "can_test_policies": standing.test_policies.is_ok(),
        "can_promote_to_production": standing.promote_production.is_ok(),
        "features_gated": standing.test_policies.is_err() || standing.promote_production.is_err(),
        "warning": standing.warning.or_else(|| refused.then(|| API_KEY_REFUSED.to_owned())),
        "test_policies_message": Gate::TestPolicies.message(standing.test_policies),
        "promote_message": Gate::PromoteProduction.message(standing.promote_production),
        "promote_warning": promote_warning,
    }))
}

pub(super) async fn test_policies(_: Anybody, State(api): State<Api>) -> Json<Value> {
    let standing = standing(&api);
    Json(checked(Gate::TestPolicies, standing.test_policies, &standing))
}

pub(super) async fn promote_production(_: Anybody, State(api): State<Api>) -> Json<Value> {
    let standing = standing(&api);
    Json(checked(Gate::PromoteProduction, standing.promote_production, &standing))
}

fn standing(api: &Api) -> Standing {
    gates::standing(&api.enforcement.state(), api.clock.now())
}

fn checked(gate: Gate, open: Result<(), Closed>, standing: &Standing) -> Value {
    let mut body = json!({"allowed": open.is_ok(), "reason": gates::reason(open), "message": gate.message(open)});
    if open == Err(Closed::TrialExpired) {
        body["trial_end_date"] = json!(shown(standing.trial_end));
    }
    body
}
