//! `POST /api/v1/validate`: may this machine go on, and with so many users? Where their number has not changed the answer
//! comes from memory alone.

use super::body::Asked;
use super::denied;
use super::error::Refused;
use crate::enforcement::{Claim, SeatError};
use crate::http::Api;
use axum::Json;
use axum::extract::State;
use serde_json::Value;
use sitewarden_protocol::license_server::answer;

pub(super) async fn validate(State(api): State<Api>, asked: Asked) -> Result<Json<Value>, Refused> {
    let Asked { fields, limits } = asked;
    let (activation, hardware, users) = (fields.activation(), fields.hardware()?, fields.users()?);
    fields.app_version()?;
    let key = fields.key();
    let named = activation.as_ref().ok().copied();
    let examined = {
        let state = api.enforcement.state();
        let license = state.licensed(key).ok_or(SeatError::UnknownKey)?;
        let scene = state.scene(&license.app, api.clock.now());
        answer::examined(license, &scene, activation, &hardware, users)?
    };
    let decided = match examined {
        Ok(None) => Ok(()),
        Ok(Some((activation, users))) => {
            limits.claims.take(activation, limits.now())?;
            match api.enforcement.claim(key.to_owned(), Claim { activation, users, features: None }).await {
                Err(SeatError::Refused(refusal)) => Err(refusal),
                decided => Ok(decided?),
            }
        }
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = &decided {
        denied(&api, key, "validate", named, refusal);
    }
    let (features, max_users) = {
        let state = api.enforcement.state();
        let license = state.licensed(key).ok_or(SeatError::UnknownKey)?;
        (license.features.clone(), license.limits.users)
    };
    Ok(Json(answer::validated(decided, features, max_users)?))
}
