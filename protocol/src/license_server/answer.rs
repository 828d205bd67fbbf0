//! The bodies of answers, and what `validate` looks at.

use super::{Refused, activation_text};
use crate::fingerprint::Parts;
use crate::id::ActivationId;
use crate::license::License;
use crate::license::seats::{self, HEARTBEAT_INTERVAL, Refusal, Scene};
use crate::time::UnixMillis;
use serde_json::{Value, json};

/// A machine is activated.
pub fn activated(activation: ActivationId, license: &License) -> Value {
    json!({
        "success": true,
        "activation_id": activation_text(activation),
        "features": license.features,
        "max_users": license.limits.users,
        "valid_until": license.expires_at.map(|end| end.to_string()),
    })
}

/// Looks at a machine that wants to go on; answers the number of users that it claims, if that is another one than it has.
///
/// # Errors
/// The inner [`Refusal`]; that no activation is named, if the licence may be used at all.
pub fn examined(
    license: &License,
    scene: &Scene<'_>,
    activation: Result<ActivationId, Refused>,
    hardware: &Parts,
    users: Option<u32>,
) -> Result<Result<Option<(ActivationId, u32)>, Refusal>, Refused> {
    if let Err(cause) = seats::may_go_on(license, scene) {
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
    Ok(Ok(changed.map(|users| (activation, users))))
}

/// Whether a machine may go on.
///
/// # Errors
/// An activation that is not known is no answer but an error.
pub fn validated(
    decided: Result<(), Refusal>,
    features: Vec<String>,
    max_users: Option<u32>,
) -> Result<Value, Refused> {
    match decided {
        Ok(()) => Ok(json!({
            "valid": true, "features": features, "max_users": max_users, "message": "License valid",
        })),
        Err(refusal @ Refusal::UnknownActivation) => Err(refusal.into()),
        Err(refusal) => {
            // Who asks for too many users keeps those that it has, and what they use.
            let kept =
                matches!(refusal, Refusal::TooManyUsers { .. } | Refusal::BlockedNew(_) | Refusal::Released { .. });
            let features = if kept { features } else { vec![] };
            let Refused { code, message, details, .. } = refusal.into();
            Ok(json!({
                "valid": false, "features": features, "max_users": max_users,
                "message": message, "code": code, "details": details,
            }))
        }
    }
}

/// A heartbeat was taken in at `now`.
pub fn alive(now: UnixMillis) -> Value {
    json!({"success": true, "next_heartbeat": now.after(HEARTBEAT_INTERVAL).to_string()})
}

/// A machine gave its activation back.
pub fn deactivated() -> Value {
    json!({"success": true, "message": "License deactivated successfully"})
}
