//! `POST /_config/licenses/_activate`: a key is typed at the plant, with or without a hub.
//!
//! The body is JSON whatever the content type says: the document's own sample sends curl's. Only the very text `yes` gives
//! an Active licence up.

use super::Api;
use super::error::Plant;
use super::who::Technician;
use crate::enforcement::ActivateError;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use sitewarden_protocol::license::{ActivationError, License};
use sitewarden_protocol::message::{Activate, Activated, ActivationOutcome};
use sitewarden_protocol::time::UnixMillis;

pub(super) async fn activate(
    Technician(user): Technician,
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<&'static str>, Plant> {
    let body = body.map_err(|rejection| Plant::message(rejection.status(), "body: it could not be read to its end"))?;
    let fields = fields(&body)?;
    let key = text(&fields, "license_key")?.ok_or_else(|| Plant::bad_request("Insufficient inputs"))?;
    if key.trim().is_empty() {
        return Err(Plant::bad_request("Invalid license data:Required fields cannot be empty"));
    }
    let replace = text(&fields, "deactivate")? == Some("yes");
    match carry_out(&api, key, replace, &user.name).await {
        Ok(_) => Ok(Json("License activated successfully")),
        Err(ActivateError::Refused(ActivationError::Occupied { current, new })) => {
            Err(question(&current, &new, api.clock.now()))
        }
        Err(error @ ActivateError::Refused(_)) => Err(error.into()),
        Err(error @ ActivateError::Journal(_)) => {
            tracing::error!(%error, "an activation could not be made durable");
            Err(Plant::message(StatusCode::INTERNAL_SERVER_ERROR, "License activation failed"))
        }
    }
}

/// At the hub where there is a line, so that a licence of which the site has not heard can be activated too; otherwise the
/// site decides by itself, and the hub hears of it as a record.
///
/// # Errors
/// See [`ActivateError`].
pub(super) async fn carry_out(api: &Api, key: &str, replace: bool, by: &str) -> Result<License, ActivateError> {
    let uses = api.enforcement.state().uses.iter().map(|(app, used)| (app.clone(), used.in_use)).collect();
    let ask = Activate { question: 0, key: key.to_owned(), replace, by: api.anonymity.name(by), in_use: uses };
    if let Some(Activated { outcome, .. }) = api.line.activate(ask).await {
        match outcome {
            ActivationOutcome::Activated(id) => {
                let state = api.enforcement.state();
                if let Some(license) = state.licenses.iter().find(|license| license.id == id) {
                    return Ok(license.clone());
                }
            }
            ActivationOutcome::Refused(refused) => return Err(refused.into()),
            ActivationOutcome::Unavailable => {}
        }
    }
    api.enforcement.activate(key.to_owned(), replace, by.to_owned()).await
}

/// The documented 202: both licences, the new one as it would be if it were activated now.
fn question(current: &License, new: &License, now: UnixMillis) -> Plant {
    let day =
        |end: Option<UnixMillis>| end.and_then(UnixMillis::calendar).map(|day| day.format("%d/%m/%Y").to_string());
    let one = |license: &License, end| json!({"name": license.name, "quota": license.limits.monitors, "expiry_date": day(end)});
    let message = json!({
        "app_name": new.app,
        "current_license": one(current, current.expires_at),
        "new_license": one(new, new.term.expiry(now)),
    });
    Plant(StatusCode::ACCEPTED, message)
}

/// An empty body has no fields; what is no JSON object is data of a wrong type.
fn fields(body: &[u8]) -> Result<Map<String, Value>, Plant> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|_| wrong_type())
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Plant> {
    let given = fields.get(name).filter(|value| !value.is_null());
    given.map(|value| value.as_str().ok_or_else(wrong_type)).transpose()
}

fn wrong_type() -> Plant {
    Plant::bad_request("Invalid input data type")
}
