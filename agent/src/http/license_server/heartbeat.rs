//! `POST /api/v1/heartbeat`: a machine is alive, and has so many users. 200 means that it is on disk.

use super::body::Fields;
use super::denied;
use super::error::Refused;
use crate::enforcement::{Claim, SeatError};
use crate::http::Api;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde_json::json;
use sitewarden_protocol::license::seats::{self, HEARTBEAT_INTERVAL, Refusal};

pub(super) async fn heartbeat(State(api): State<Api>, fields: Fields) -> Result<impl IntoResponse, Refused> {
    let (activation, users, features) = (fields.activation()?, fields.required_users()?, fields.features()?);
    let Fields { key, limits, .. } = fields;
    {
        // Only activations that there are have a place among those whose calls are counted.
        let state = api.enforcement.state();
        let license = state.licensed(&key).ok_or(SeatError::UnknownKey)?;
        seats::machine(license, activation, &state.machines).map_err(SeatError::from)?;
    }
    let left = limits.heartbeats.take(activation)?;
    let claim = Claim { activation, users, features: Some(features) };
    match api.enforcement.claim(key.clone(), claim).await {
        Ok(()) => {
            let next = api.clock.now().after(HEARTBEAT_INTERVAL);
            Ok((left.headers(), Json(json!({"success": true, "next_heartbeat": next.to_string()}))))
        }
        Err(error) => {
            if let SeatError::Refused(refusal) = &error {
                denied(&api, &key, "heartbeat", Some(activation), refusal);
            }
            // Whoever was released may claim at once, and what could not be stored may come again at once.
            if matches!(error, SeatError::Refused(Refusal::Released { .. }) | SeatError::Journal(_)) {
                limits.heartbeats.give_back(&activation);
            }
            Err(Refused::from(error).headed(left.headers()))
        }
    }
}
