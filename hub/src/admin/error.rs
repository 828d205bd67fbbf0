//! What a refused request gets: `{"error": {"code", "message", "details"}}`, and which status goes with what.

use crate::store::{self, LicenseRefusal, UserRefusal};
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// A refused request.
#[derive(Debug)]
pub(super) struct Error {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Value,
}

impl Error {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: json!({}) }
    }

    /// A value that cannot be taken, and where it stands.
    pub(super) fn invalid(field: &str, message: impl Into<String>) -> Self {
        let details = json!({ "field": field });
        Self { details, ..Self::new(StatusCode::BAD_REQUEST, "INVALID", message) }
    }

    pub(super) fn media_type() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "MEDIA_TYPE", "the body must be application/json")
    }

    pub(super) fn body(status: StatusCode) -> Self {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(status, "TOO_LARGE", "the body is larger than 64 KiB"),
            _ => Self::new(StatusCode::BAD_REQUEST, "BAD_BODY", "the body could not be read"),
        }
    }

    /// The hub's own fault. What it was is in the log only.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = chain(error), "an administrator's request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "the hub could not do that; its log says why")
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let message = error.to_string();
        match error {
            store::Error::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message),
            store::Error::Conflict { .. } => Self::new(StatusCode::CONFLICT, "CONFLICT", message),
            store::Error::Invalid { what, .. } => Self::invalid(what, message),
            store::Error::Unavailable | store::Error::Commit(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "UNAVAILABLE",
                "the hub's database is not available; nothing was changed",
            ),
            error => Self::internal(&error),
        }
    }
}

impl From<LicenseRefusal> for Error {
    fn from(refusal: LicenseRefusal) -> Self {
        Self::new(StatusCode::CONFLICT, "CONFLICT", refusal.to_string())
    }
}

impl From<UserRefusal> for Error {
    fn from(refusal: UserRefusal) -> Self {
        Self::new(StatusCode::CONFLICT, "CONFLICT", refusal.to_string())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message, "details": self.details } });
        (self.status, Json(body)).into_response()
    }
}

pub(super) async fn no_such_path() -> Error {
    Error::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path")
}

pub(super) async fn no_such_method() -> Error {
    Error::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "this path does not take this method")
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
