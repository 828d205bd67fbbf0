//! `POST /api/v1/activate`: a machine comes under a licence. The first one activates the licence at this site too.

use super::body::Asked;
use super::denied;
use super::error::Refused;
use crate::enforcement::{ActivateError, NewMachine, SeatError};
use crate::http::Api;
use crate::http::activation::carry_out;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;
use sitewarden_protocol::license::{ActivationError, KeyDigest, Status};
use sitewarden_protocol::license_server::{self, answer};

pub(super) async fn activate(State(api): State<Api>, asked: Asked) -> Result<Json<Value>, Refused> {
    let Asked { fields, limits } = asked;
    let machine =
        NewMachine { hardware: fields.hardware()?, name: fields.machine_name()?, app_version: fields.app_version()? };
    let key = fields.key();
    limits.activations.take(KeyDigest::of(api.names.site, key), limits.now())?;
    activate_license(&api, key, &machine.name).await?;
    let mut random = [0; 10];
    let unavailable = |_| Refused::plain(StatusCode::SERVICE_UNAVAILABLE, "the system gives no random bytes");
    getrandom::fill(&mut random).map_err(unavailable)?;
    let activated = api.enforcement.activate_machine(key.to_owned(), machine, random).await;
    if let Err(SeatError::Refused(refusal)) = &activated {
        denied(&api, key, "activate", None, refusal);
    }
    let (activation, license) = activated?;
    Ok(Json(answer::activated(activation, &license)))
}

/// Does what typing the key at the plant does, if the licence is not in force yet, or the hub alone may know it.
async fn activate_license(api: &Api, key: &str, machine: &str) -> Result<(), Refused> {
    let status = || api.enforcement.state().licensed(key).map(|license| license.status);
    if status().is_some_and(|status| status != Status::Inactive) {
        return Ok(());
    }
    match carry_out(api, key, false, &format!("machine {machine}")).await {
        Ok(_) => Ok(()),
        Err(ActivateError::Journal(error)) => Err(error.into()),
        // Another machine was first, and the licence is in force.
        Err(ActivateError::Refused(ActivationError::Spent)) if status() == Some(Status::Active) => Ok(()),
        Err(ActivateError::Refused(refused)) => Err(license_server::Refused::not_activated(&refused, status()).into()),
    }
}
