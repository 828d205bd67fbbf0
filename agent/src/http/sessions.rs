//! Machines and their floating users, for the operator: seen, released, forgotten.

use super::Api;
use super::error::Plant;
use crate::enforcement::SeatError;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sitewarden_protocol::id::ActivationId;
use sitewarden_protocol::license::License;
use sitewarden_protocol::license_server::{activation_of, activation_text};

/// What the operator's records say of who did it.
const OPERATOR: &str = "operator";

/// `sessions list [--app APP]`.
#[derive(Debug, Deserialize)]
pub(super) struct OfApp {
    app: Option<String>,
}

/// `sessions release|forget`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// `act_` and 32 hexadecimal digits.
    pub activation: String,
}

pub(super) async fn list(
    State(api): State<Api>,
    query: Result<Query<OfApp>, QueryRejection>,
) -> Result<Json<Value>, Plant> {
    let Query(OfApp { app }) = query.map_err(|_| Plant::bad_request("app: one app can be given, as ?app=NAME"))?;
    let (state, now) = (api.enforcement.state(), api.clock.now());
    let wanted = |license: &&License| app.as_deref().is_none_or(|app| app == license.app);
    let mut sessions = Vec::new();
    for license in state.licenses.iter().filter(wanted) {
        let scene = state.scene(&license.app, now);
        sessions.extend(state.machines.of(license.id).map(|(activation, machine)| {
            json!({
                "activation_id": activation_text(activation),
                "app": license.app,
                "license": license.name,
                "machine_name": machine.name,
                "app_version": machine.app_version,
                "users": scene.live(machine),
                "activated_at": machine.activated_at.to_string(),
                "last_heartbeat": machine.heard.to_string(),
            })
        }));
    }
    let limits = state.licenses.iter().filter(wanted).map(|license| {
        json!({
            "app": license.app, "license": license.name, "users": state.users(license, now),
            "max_users": license.limits.users, "activations": state.machines.of(license.id).count(),
            "max_activations": license.limits.activations,
        })
    });
    Ok(Json(json!({"sessions": sessions, "licenses": limits.collect::<Vec<_>>()})))
}

pub(super) async fn release(
    State(api): State<Api>,
    body: Result<Json<SessionRequest>, JsonRejection>,
) -> Result<Json<Value>, Plant> {
    let (activation, text) = named(body)?;
    let users = api.enforcement.release_users(activation, OPERATOR.to_owned()).await?;
    Ok(Json(json!({"activation_id": text, "users_released": users})))
}

pub(super) async fn forget(
    State(api): State<Api>,
    body: Result<Json<SessionRequest>, JsonRejection>,
) -> Result<Json<Value>, Plant> {
    let (activation, text) = named(body)?;
    api.enforcement.deactivate_machine(None, activation, format!("forgotten by {OPERATOR}")).await?;
    Ok(Json(json!({"activation_id": text, "forgotten": true})))
}

fn named(body: Result<Json<SessionRequest>, JsonRejection>) -> Result<(ActivationId, String), Plant> {
    let Json(SessionRequest { activation }) =
        body.map_err(|rejection| Plant::message(rejection.status(), rejection.body_text()))?;
    let wrong = || Plant::bad_request("activation: act_ and 32 hexadecimal digits, as sessions list shows it");
    Ok((activation_of(&activation).ok_or_else(wrong)?, activation))
}

impl From<SeatError> for Plant {
    fn from(error: SeatError) -> Self {
        match error {
            SeatError::Journal(error) => error.into(),
            SeatError::UnknownKey | SeatError::Refused(_) => {
                Self::message(StatusCode::NOT_FOUND, "there is no such activation; see sessions list")
            }
        }
    }
}
