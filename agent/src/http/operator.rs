//! What the command line asks over the unix socket. Whoever can open it is the agent's own user, or root.

use super::Api;
use super::activation;
use super::error::Plant;
use super::licenses::AppName;
use super::monitors::{self, check_names};
use super::standing::{self, ClockStatus, Concern, OverrideStatus};
use crate::anonymity::OPERATOR;
use crate::journal::Pressure;
use crate::machine::Standing;
use crate::telemetry::ChangeError;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sitewarden_protocol::license::License;
use sitewarden_protocol::record::Total;
use std::fmt;

/// How the agent stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// The agent's name at the hub.
    pub agent_id: String,
    /// The program's version.
    pub version: String,
    /// Customer, plant and site, by name.
    pub place: String,
    /// The site's id.
    pub site_id: String,
    /// The snapshot in force.
    pub snapshot_revision: u64,
    /// Until when it may be relied on.
    pub fresh_until: String,
    /// The licences as they stand.
    pub licenses: Vec<LicenseLine>,
    /// The clock.
    pub clock: ClockStatus,
    /// The machine's parts.
    pub machine: Standing,
    /// Emergency overrides.
    #[serde(rename = "override")]
    pub relief: OverrideStatus,
    /// The journal.
    pub journal: JournalStatus,
    /// The line to the hub.
    pub sync: SyncStatus,
}

/// One licence in a status.
#[derive(Debug, Serialize, Deserialize)]
pub struct LicenseLine {
    /// The app.
    pub app: String,
    /// The licence's name.
    pub name: String,
    /// Inactive, Active, …
    pub status: String,
    /// When it ends.
    pub expires_at: Option<String>,
    /// Monitors in use.
    pub monitors_in_use: u32,
    /// Monitors permitted.
    pub monitors_permitted: Option<u32>,
    /// What is not plain about it; none if all is as it was sold.
    pub concern: Option<Concern>,
    /// Floating users at this moment.
    pub users_in_use: u32,
    /// Floating users permitted.
    pub users_permitted: Option<u32>,
}

/// The journal in a status.
#[derive(Debug, Serialize, Deserialize)]
pub struct JournalStatus {
    /// The life of the journal.
    pub epoch: u64,
    /// The last record's number in it.
    pub last: u64,
    /// Records that the hub has not acknowledged.
    pub backlog: u64,
    /// When the oldest of them was made.
    pub oldest_unacknowledged: Option<String>,
    /// Bytes on disk.
    pub bytes: u64,
    /// `room`, `folding` (what apps report is summed up) or `full` (nothing is taken).
    pub room: String,
    /// Why it is not `room`.
    pub room_trouble: Option<String>,
    /// Reports in totals that wait for room.
    pub folded: u64,
    /// Reports refused since the agent's start.
    pub dropped: u64,
}

/// The line in a status.
#[derive(Debug, Serialize, Deserialize)]
pub struct SyncStatus {
    /// Whether a session with the hub stands.
    pub connected: bool,
    /// What carries the session, `quic` or `https`; without one, the setting: `auto`, `quic`, `https` or `none`.
    pub carrier: String,
    /// Where the hub is looked for.
    pub hub: String,
    /// Epoch and number of the last record that the hub confirmed.
    pub acknowledged: String,
    /// When the hub last confirmed something.
    pub last_receipt_at: Option<String>,
    /// Why there is no session, or why nothing is sent.
    pub trouble: Option<String>,
}

pub(super) async fn status(State(api): State<Api>) -> Result<Json<Status>, Plant> {
    let journal = api.journal.clone();
    let look = move || (journal.oldest_unacknowledged(), Some(journal.pressure()));
    let (oldest, pressure) = tokio::task::spawn_blocking(look).await.unwrap_or_default();
    let pressure = pressure.unwrap_or(Pressure::Room);
    let (state, head, size) = (api.enforcement.state(), *api.journal.head().borrow(), api.journal.size());
    let (snapshot, clock) = (&state.snapshot, api.clock.standing());
    let line = |license: &License| LicenseLine {
        app: license.app.clone(),
        name: license.name.clone(),
        status: license.status.name().to_owned(),
        expires_at: license.expires_at.map(|end| end.to_string()),
        monitors_in_use: state.used(&license.app).in_use,
        monitors_permitted: license.limits.monitors,
        concern: standing::concern(&state, license, clock.now),
        users_in_use: state.users(license, clock.now),
        users_permitted: license.limits.users,
    };
    Ok(Json(Status {
        agent_id: api.names.agent.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        place: format!("{} / {} / {}", snapshot.customer_name, snapshot.plant_name, snapshot.site_name),
        site_id: api.names.site.to_string(),
        snapshot_revision: snapshot.version.revision,
        fresh_until: snapshot.fresh_until.to_string(),
        licenses: state.licenses.iter().map(line).collect(),
        clock: standing::clock(&clock),
        machine: Standing::clone(&api.machine.standing()),
        relief: standing::overrides(&api, clock.now),
        journal: JournalStatus {
            epoch: head.epoch,
            last: head.seq,
            backlog: size.backlog,
            oldest_unacknowledged: oldest.map(|at| at.to_string()),
            bytes: size.bytes,
            room: pressure.name().to_owned(),
            room_trouble: pressure.why().map(str::to_owned),
            folded: api.journal.folded().iter().map(Total::reports).fold(0, u64::saturating_add),
            dropped: api.metrics.journal.dropped.get(),
        },
        sync: api.line.status(),
    }))
}

/// `activate KEY [--replace]`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivateRequest {
    /// The licence's key.
    pub key: String,
    /// Whether a licence in force for the same app is given up.
    pub replace: bool,
}

impl fmt::Debug for ActivateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActivateRequest(…)")
    }
}

pub(super) async fn activate(
    State(api): State<Api>,
    body: Result<Json<ActivateRequest>, JsonRejection>,
) -> Result<Json<Value>, Plant> {
    let ActivateRequest { key, replace } = accept(body)?;
    let license = activation::carry_out(&api, &key, replace, OPERATOR).await?;
    Ok(Json(json!({
        "message": "License activated successfully",
        "app": license.app,
        "name": license.name,
        "expires_at": license.expires_at.map(|end| end.to_string()),
        "monitors_permitted": license.limits.monitors,
    })))
}

/// `monitors add|remove`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitorRequest {
    /// The app.
    pub app: String,
    /// The monitor's identifier.
    pub monitor: String,
}

pub(super) async fn monitors(State(api): State<Api>, AppName(app): AppName) -> Result<Json<Value>, Plant> {
    let monitors = api.enforcement.monitors(app.clone()).await;
    let monitors = monitors.map_err(|error| Plant::message(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    Ok(Json(json!({"app": app, "monitors": monitors})))
}

pub(super) async fn reserve(
    State(api): State<Api>,
    body: Result<Json<MonitorRequest>, JsonRejection>,
) -> Result<Json<Value>, Plant> {
    let MonitorRequest { app, monitor } = accept(body)?;
    check_names(&app, &monitor)?;
    let reserved = monitors::one(&api, &app, &monitor, "operator").await?;
    Ok(Json(
        json!({"app": app, "monitor": monitor, "in_use": reserved.in_use, "quota": reserved.quota, "reserved_before": reserved.before}),
    ))
}

pub(super) async fn release(
    State(api): State<Api>,
    body: Result<Json<MonitorRequest>, JsonRejection>,
) -> Result<Json<Value>, Plant> {
    let MonitorRequest { app, monitor } = accept(body)?;
    let released = api.enforcement.release(app.clone(), monitor.clone()).await?;
    Ok(Json(json!({"app": app, "monitor": monitor, "released": released})))
}

/// `webhook-secret set`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSecretRequest {
    /// The secret; empty for none.
    pub secret: String,
}

impl fmt::Debug for WebhookSecretRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecretRequest(…)")
    }
}

pub(super) async fn set_webhook_secret(
    State(api): State<Api>,
    body: Result<Json<WebhookSecretRequest>, JsonRejection>,
) -> Result<Json<Value>, Plant> {
    let WebhookSecretRequest { secret } = accept(body)?;
    match api.telemetry.set_webhook_secret(secret.into()).await {
        Ok(()) => Ok(Json(json!({"message": "Webhook secret set"}))),
        Err(error @ ChangeError::Secret { .. }) => Err(Plant::bad_request(error.to_string())),
        Err(error) => {
            tracing::error!(%error, "the webhook's secret could not be stored");
            let reason = "the webhook's secret could not be stored; see the agent's log";
            Err(Plant::message(StatusCode::INTERNAL_SERVER_ERROR, reason))
        }
    }
}

pub(super) fn accept<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Plant> {
    body.map(|Json(value)| value).map_err(|rejection| Plant::message(rejection.status(), rejection.body_text()))
}
