//! Whether the hub lives, whether it serves, and its figures.

use super::{Parts, error::Error};
use crate::metrics::Metrics;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use sitewarden_protocol::id::AgentId;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long the database may take to answer that it lives.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
const NOBODY: AgentId = AgentId::from_bytes([0; 16]);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the hub serves, its database answers, and it is not stopping; otherwise 503 with the reason.
pub(super) async fn readyz(State(parts): State<Parts>) -> (StatusCode, &'static str) {
    if !*parts.serving.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not serving\n");
    }
    // Any short look-up shows that the database can be read; one that can no longer be written ends the process.
    match timeout(READ_TIMEOUT, parts.store.cursors(NOBODY, &[1])).await {
        Ok(Ok(_)) => (StatusCode::OK, "ready\n"),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}

/// `GET /metrics`: OpenMetrics text.
pub(super) async fn metrics(State(metrics): State<Arc<Metrics>>) -> Result<impl IntoResponse, Error> {
    let text = metrics.encode().map_err(|error| {
        tracing::error!(%error, "the metrics could not be written");
        Error::Internal
    })?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
}
