//! Transmissions: their history, sending now, and trying again.

use super::super::Api;
use super::super::error::Detail;
use super::caller::{Administrator, Reader};
use super::{bad_request, shown};
use crate::telemetry::{Outcome, Row, WishError};
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// Rows in one answer.
const MAX_LIMIT: usize = 1_000;
/// How long a request waits for its transmission, which goes on after it: less than a request may take in all.
const WAIT: Duration = Duration::from_secs(25);

#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default = "ten")]
    limit: usize,
    #[serde(default)]
    skip: usize,
}

const fn ten() -> usize {
    10
}

pub(super) async fn list(
    _: Reader,
    State(api): State<Api>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Detail> {
    let Query(Page { limit, skip }) = page.map_err(|error| bad_request(error.body_text()))?;
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(bad_request(format!("limit: 1 to {MAX_LIMIT} is allowed")));
    }
    Ok(Json(api.telemetry.transmissions(skip, limit).iter().map(row).collect()))
}

pub(super) async fn send_now(_: Administrator, State(api): State<Api>) -> Result<(StatusCode, Json<Value>), Detail> {
    check_enabled(&api)?;
    let telemetry = api.telemetry.clone();
    // In a task of its own: it goes on if the caller hangs up.
    let sending = tokio::spawn(async move { telemetry.send_now().await });
    let Some(sent) = wait(sending).await? else {
        let body = json!({
            "status": "in_progress", "message": "Transmission in progress; see its history",
            "records_sent": 0, "timestamp": api.clock.now().to_string(),
        });
        return Ok((StatusCode::ACCEPTED, Json(body)));
    };
    let records = records_of(&sent)?;
    Ok((
        StatusCode::OK,
        Json(json!({
            "status": "success", "message": "Telemetry transmitted successfully",
            "records_sent": records, "timestamp": api.clock.now().to_string(),
        })),
    ))
}

pub(super) async fn retry(
    _: Administrator,
    State(api): State<Api>,
    id: Result<Path<u64>, PathRejection>,
) -> Result<(StatusCode, Json<Value>), Detail> {
    let Path(id) = id.map_err(|_| bad_request("log_id: a whole number is needed"))?;
    let known = api.telemetry.transmission(id).ok_or_else(|| refused(WishError::Unknown))?;
    match known.outcome {
        Some(Outcome::Failed { .. }) => {}
        Some(Outcome::Sent { .. }) => return Err(bad_request("Transmission did not fail; there is nothing to retry")),
        None => return Err(bad_request("Transmission is in progress")),
    }
    check_enabled(&api)?;
    let telemetry = api.telemetry.clone();
    let retrying = tokio::spawn(async move { telemetry.retry(id).await });
    let Some(row) = wait(retrying).await? else {
        let body = json!({
            "status": "in_progress", "message": "Transmission in progress; see its history",
            "log_id": id, "retry_count": known.retries + 1,
        });
        return Ok((StatusCode::ACCEPTED, Json(body)));
    };
    records_of(&row)?;
    Ok((
        StatusCode::OK,
        Json(json!({
            "status": "success", "message": "Transmission retry successful",
            "log_id": id, "retry_count": row.retries,
        })),
    ))
}

fn check_enabled(api: &Api) -> Result<(), Detail> {
    if api.telemetry.is_enabled() { Ok(()) } else { Err(bad_request("Telemetry is not enabled")) }
}

/// What became of it, or nothing if that takes longer than a request may.
async fn wait(task: tokio::task::JoinHandle<Result<Row, WishError>>) -> Result<Option<Row>, Detail> {
    match timeout(WAIT, task).await {
        Ok(Ok(done)) => done.map(Some).map_err(refused),
        Ok(Err(_)) => Err(refused(WishError::Failed)),
        Err(_) => Ok(None),
    }
}

fn refused(error: WishError) -> Detail {
    let status = match error {
        WishError::Unknown => StatusCode::NOT_FOUND,
        WishError::Busy => StatusCode::TOO_MANY_REQUESTS,
        WishError::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Detail(status, error.to_string())
}

fn records_of(row: &Row) -> Result<u64, Detail> {
    let error = |reason: &str| Detail(StatusCode::INTERNAL_SERVER_ERROR, format!("Transmission error: {reason}"));
    match &row.outcome {
        Some(Outcome::Sent { records, .. }) => Ok(*records),
        Some(Outcome::Failed { error: reason, .. }) => Err(error(reason)),
        None => Err(error("the agent is stopping")),
    }
}

fn row(row: &Row) -> Value {
    let (status, records, code, message, error, at) = match &row.outcome {
        None => ("in_progress", 0, None, "Transmission in progress", None, None),
        Some(Outcome::Sent { at, records }) => {
            ("success", *records, Some(200), "Transmission successful", None, Some(*at))
        }
        Some(Outcome::Failed { code, error }) => {
            let message = match code {
                403 => "Agent revoked",
                409 => "History conflict",
                503 => "No connection",
                504 => "Connection timeout",
                _ => "Server error",
            };
            ("failed", 0, Some(*code), message, Some(error), None)
        }
    };
    json!({
        "id": row.id,
        "transmission_date": row.due.to_string(),
        "status": status,
        "records_sent": records,
        "response_code": code,
        "response_message": message,
        "error_details": error,
        "retry_count": row.retries,
        "transmitted_at": shown(at),
    })
}
