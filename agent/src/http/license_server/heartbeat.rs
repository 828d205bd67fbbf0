//! `POST /api/v1/heartbeat`: a machine is alive, and has so many users. 200 means that it is on disk.

use super::body::Asked;
use super::denied;
use super::error::{Refused, headers};
use crate::enforcement::{Claim, SeatError};
use crate::http::Api;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use sitewarden_protocol::license::seats::{self, Refusal};
use sitewarden_protocol::license_server::answer;

pub(super) async fn heartbeat(State(api): State<Api>, asked: Asked) -> Result<impl IntoResponse, Refused> {
    let Asked { fields, limits } = asked;
    let (activation, users, features) = (fields.activation()?, fields.required_users()?, fields.features()?);
    let key = fields.key();
    {
        // Only activations that there are have a place among those whose calls are counted.
        let state = api.enforcement.state();
        let license = state.licensed(key).ok_or(SeatError::UnknownKey)?;
        seats::machine(license, activation, &state.machines).map_err(SeatError::from)?;
    }
    let left = limits.heartbeats.take(activation, limits.now())?;
    let claim = Claim { activation, users, features: Some(features) };
    match api.enforcement.claim(key.to_owned(), claim).await {
        Ok(()) => {
            let told: HeaderMap = headers(&left.headers()).collect();
            Ok((told, Json(answer::alive(api.clock.now()))))
        }
        Err(error) => {
            if let SeatError::Refused(refusal) = &error {
                denied(&api, key, "heartbeat", Some(activation), refusal);
            }
            // Whoever was released may claim at once, and what could not be stored may come again at once.
            if matches!(error, SeatError::Refused(Refusal::Released { .. }) | SeatError::Journal(_)) {
                limits.heartbeats.give_back(&activation);
            }
            let Refused(said) = error.into();
            Err(said.headed(left.headers()).into())
        }
    }
}
