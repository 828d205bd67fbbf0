//! `POST /_config/licenses/_activate`: for a plant that calls the hub directly.
//!
//! The body is JSON whatever the content type says: the document's own sample sends curl's. Only the very text `yes` gives
//! an Active licence up. A quota without limit is `null`, an end that never comes is `null`.

use super::{Plant, act, body::Fields, error::Error, who::Activator};
use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use serde_json::{Value, json};
use sitewarden_protocol::{
    license::{ActivationError, License},
    time::UnixMillis,
};
use std::sync::Arc;

pub(super) async fn activate(
    Activator(caller): Activator,
    State(plant): State<Arc<Plant>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<&'static str>, Error> {
    let fields = Fields::of_anything(&body?)?;
    let key = fields.text("license_key")?.ok_or_else(Error::insufficient)?;
    if key.trim().is_empty() {
        return Err(Error::empty());
    }
    let replace = fields.text("deactivate")? == Some("yes");
    let act = act(&caller);
    match plant.store.activate_license(&act, caller.0.scope, key, replace).await {
        Ok(Ok(_)) => Ok(Json("License activated successfully")),
        Ok(Err(refused)) => Err(Error::activation(&refused, || question(&refused, act.at))),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a license could not be activated");
            Err(Error::activation_failed())
        }
    }
}

/// Both licences; the new one as it would be if it were activated now.
fn question(refused: &ActivationError, now: UnixMillis) -> Value {
    let ActivationError::Occupied { current, new } = refused else { return Value::Null };
    json!({
        "app_name": new.app,
        "current_license": one(current, current.expires_at),
        "new_license": one(new, new.term.expiry(now)),
    })
}

fn one(license: &License, end: Option<UnixMillis>) -> Value {
    let day = end.and_then(UnixMillis::calendar).map(|day| day.format("%d/%m/%Y").to_string());
    json!({ "name": license.name, "quota": license.limits.monitors, "expiry_date": day })
}
