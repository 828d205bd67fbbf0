//! What a refused request gets: `{"error": {"code", "message", "details"}}`.

use crate::store;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::time::Duration;

/// A refused request.
#[derive(Debug)]
pub(super) struct Error {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Value,
    retry_after: Option<Duration>,
}

impl Error {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: json!({}), retry_after: None }
    }

    /// A value that cannot be taken, and where it stands.
    pub(super) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self { details: json!({ "field": field }), ..Self::new(StatusCode::BAD_REQUEST, "INVALID", message) }
    }

    pub(super) fn unauthorised() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "log in with a user of this hub")
    }

    pub(super) fn wait(how_long: Duration) -> Self {
        let error =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", "too many wrong passwords; try again later");
        Self { retry_after: Some(how_long), ..error }
    }

    pub(super) fn busy() -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "the hub is busy; try again later");
        Self { retry_after: Some(Duration::from_secs(5)), ..error }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path")
    }

    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "this path does not take this method")
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let message = error.to_string();
        match error {
            store::Error::Invalid { what, .. } => Self::invalid(what, message),
            store::Error::Unavailable | store::Error::Commit(_) => Self::busy(),
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a question about telemetry failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "the hub could not answer; its log says why")
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message, "details": self.details } });
        let mut response = (self.status, Json(body)).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static("Basic realm=\"sitewarden\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}
