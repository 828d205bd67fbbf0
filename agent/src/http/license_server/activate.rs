//! `POST /api/v1/activate`: a machine comes under a licence. The first one activates the licence at this site too.

use super::body::Fields;
use super::error::Refused;
use super::{activation_text, denied};
use crate::enforcement::{ActivateError, NewMachine, SeatError};
use crate::http::Api;
use crate::http::activation::carry_out;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use sitewarden_protocol::license::{ActivationError, KeyDigest, Status};

/// The longest machine name, bytes.
const MAX_MACHINE: usize = 128;
/// The longest version of an app, bytes.
pub(super) const MAX_VERSION: usize = 64;

pub(super) async fn activate(State(api): State<Api>, fields: Fields) -> Result<Json<Value>, Refused> {
    let machine = NewMachine {
        hardware: fields.hardware()?,
        name: fields.text("machine_name", MAX_MACHINE)?.unwrap_or_default().to_owned(),
        app_version: fields.text("app_version", MAX_VERSION)?.unwrap_or_default().to_owned(),
    };
    fields.limits.activations.take(KeyDigest::of(api.names.site, &fields.key))?;
    activate_license(&api, &fields.key, &machine.name).await?;
    let mut random = [0; 10];
    let unavailable = |_| Refused::plain(StatusCode::SERVICE_UNAVAILABLE, "the system gives no random bytes");
    getrandom::fill(&mut random).map_err(unavailable)?;
    let activated = api.enforcement.activate_machine(fields.key.clone(), machine, random).await;
    if let Err(SeatError::Refused(refusal)) = &activated {
        denied(&api, &fields.key, "activate", None, refusal);
    }
    let (activation, license) = activated?;
    Ok(Json(json!({
        "success": true,
        "activation_id": activation_text(activation),
        "features": license.features,
        "max_users": license.limits.users,
        "valid_until": license.expires_at.map(|end| end.to_string()),
    })))
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
        Err(ActivateError::Refused(ActivationError::Unknown)) => Err(SeatError::UnknownKey.into()),
        // Another machine was first, and the licence is in force.
        Err(ActivateError::Refused(ActivationError::Spent)) if status() == Some(Status::Active) => Ok(()),
        Err(ActivateError::Refused(refused @ ActivationError::Spent)) => {
            let code = if status() == Some(Status::Inactive) { "LICENSE_EXPIRED" } else { "LICENSE_REVOKED" };
            Err(Refused::new(StatusCode::FORBIDDEN, code, refused.to_string()))
        }
        Err(ActivateError::Refused(ActivationError::Occupied { current, .. })) => {
            let message = format!(
                "another license, {}, is active for {}; an operator can replace it: sitewarden-agent activate KEY --replace",
                current.name, current.app
            );
            let details = json!({"app": current.app, "active_license": current.name});
            Err(Refused::new(StatusCode::CONFLICT, "LICENSE_CONFLICT", message).with(details))
        }
        Err(ActivateError::Refused(refused @ ActivationError::QuotaTooSmall { in_use, permitted })) => {
            let details = json!({"in_use": in_use, "permitted": permitted});
            Err(Refused::new(StatusCode::CONFLICT, "MONITOR_LIMIT", refused.to_string()).with(details))
        }
        Err(ActivateError::Refused(ref refused @ ActivationError::NotBegun { ref current, from, .. })) => {
            let details = json!({"valid_from": from.to_string(), "active_license": current});
            Err(Refused::new(StatusCode::FORBIDDEN, "LICENSE_NOT_STARTED", refused.to_string()).with(details))
        }
    }
}
