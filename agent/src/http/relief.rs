//! The emergency override: the operator at the machine lets the plant run for some days without the vendor.

use super::Api;
use super::error::Plant;
use crate::enforcement::OverrideError;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::license::ReliefError;

/// The longest reason, characters.
const MAX_REASON: usize = 500;

/// `override --days N --reason TEXT`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideRequest {
    /// For how many days, 1 or more.
    pub days: u16,
    /// Why, 1 to 500 characters.
    pub reason: String,
}

/// An override has begun.
#[derive(Debug, Serialize, Deserialize)]
pub struct OverrideBegun {
    /// When it ends by itself.
    pub until: String,
    /// Days of overrides that are left after it, of any 365.
    pub days_left: u16,
    /// Days of overrides that the vendor allows in any 365.
    pub days_allowed: u16,
}

pub(super) async fn begin(
    State(api): State<Api>,
    body: Result<Json<OverrideRequest>, JsonRejection>,
) -> Result<Json<OverrideBegun>, Plant> {
    let Json(OverrideRequest { days, reason }) =
        body.map_err(|rejection| Plant::message(rejection.status(), rejection.body_text()))?;
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
        return Err(Plant::bad_request(format!("reason: 1 to {MAX_REASON} characters of one line are needed")));
    }
    let until = api.enforcement.begin_override(days, reason.to_owned(), "operator".to_owned()).await?;
    tracing::warn!(days, %until, reason, "an emergency override begins");
    let state = api.enforcement.state();
    let days_allowed = state.snapshot.override_days;
    let days_left = state.reliefs.days_left(days_allowed, api.clock.now());
    Ok(Json(OverrideBegun { until: until.to_string(), days_left, days_allowed }))
}

impl From<OverrideError> for Plant {
    fn from(error: OverrideError) -> Self {
        let status = match &error {
            OverrideError::Journal(error) => return error.clone().into(),
            OverrideError::Refused(ReliefError::NotAllowed) => StatusCode::FORBIDDEN,
            OverrideError::Refused(ReliefError::InForce(_)) => StatusCode::CONFLICT,
            OverrideError::Refused(ReliefError::NoDays | ReliefError::TooLong { .. }) => StatusCode::BAD_REQUEST,
        };
        Self::message(status, error.to_string())
    }
}
