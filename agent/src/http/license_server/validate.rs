//! `POST /api/v1/validate`: may this machine go on, and with so many users? Where their number has not changed the answer
//! comes from memory alone.

use super::activate::MAX_VERSION;
use super::body::Fields;
use super::denied;
use super::error::Refused;
use crate::enforcement::{Claim, SeatError};
use crate::http::Api;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use sitewarden_protocol::fingerprint::Parts;
use sitewarden_protocol::id::ActivationId;
use sitewarden_protocol::license::seats::{self, Refusal};

pub(super) async fn validate(State(api): State<Api>, fields: Fields) -> Result<Json<Value>, Refused> {
    let (activation, hardware, users) = (fields.activation(), fields.hardware()?, fields.users()?);
    fields.text("app_version", MAX_VERSION)?;
    let key = fields.key.as_str();
    let named = activation.as_ref().ok().copied();
    let decided = match check(&api, key, activation, &hardware, users)? {
        Ok(None) => Ok(()),
        Ok(Some(claim)) => {
            fields.limits.claims.take(claim.activation)?;
            match api.enforcement.claim(key.to_owned(), claim).await {
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
    match decided {
        Ok(()) => Ok(Json(json!({
            "valid": true, "features": features, "max_users": max_users, "message": "License valid",
        }))),
        Err(refusal @ Refusal::UnknownActivation) => Err(refusal.into()),
        Err(refusal) => {
            // Who asks for too many users keeps those that it has, and what they use.
            let kept =
                matches!(refusal, Refusal::TooManyUsers { .. } | Refusal::BlockedNew(_) | Refusal::Released { .. });
            let features = if kept { features } else { vec![] };
            let Refused { code, message, details, .. } = refusal.into();
            Ok(Json(json!({
                "valid": false, "features": features, "max_users": max_users,
                "message": message, "code": code, "details": details,
            })))
        }
    }
}

/// The claim that is to be made, if all else is in order and the number of users is another one.
fn check(
    api: &Api,
    key: &str,
    activation: Result<ActivationId, Refused>,
    hardware: &Parts,
    users: Option<u32>,
) -> Result<Result<Option<Claim>, Refusal>, Refused> {
    let state = api.enforcement.state();
    let license = state.licensed(key).ok_or(SeatError::UnknownKey)?;
    let scene = state.scene(&license.app, api.clock.now());
    if let Err(cause) = seats::may_go_on(license, &scene) {
        return Ok(Err(cause.into()));
    }
    let activation = activation?;
    let machine = match seats::machine(license, activation, scene.machines) {
        Ok(machine) => machine,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Err(refusal) = seats::same_hardware(&machine.hardware, hardware) {
        return Ok(Err(refusal));
    }
    let has = scene.live(machine);
    let changed = users.filter(|users| *users != has || machine.released_by.is_some());
    Ok(Ok(changed.map(|users| Claim { activation, users, features: None })))
}
