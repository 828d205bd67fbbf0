//! Errors as each API's dialect wants them. Fixed texts go to the caller; the whole chain goes to the log.

use super::license_server;
use super::who::KnownInPlant;
use crate::enforcement::{ActivateError, ReserveError};
use crate::journal::AppendError;
use axum::Json;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// `{"error": {"status": N, "message": …}}`: the plant licence API, and everything that is in no other dialect.
#[derive(Debug)]
pub(super) struct Plant(pub(super) StatusCode, pub(super) Value);

/// `{"detail": …}`: the telemetry API.
#[derive(Debug)]
pub(super) struct Detail(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Plant {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": {"status": self.0.as_u16(), "message": self.1}}))).into_response()
    }
}

impl IntoResponse for Detail {
    fn into_response(self) -> Response {
        let mut response = (self.0, Json(json!({"detail": self.1}))).into_response();
        if self.0 == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of the body will not be read, so the connection is of no more use; the caller is to know.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Plant {
    pub(super) fn message(status: StatusCode, message: impl Into<String>) -> Self {
        Self(status, Value::String(message.into()))
    }

    pub(super) fn unauthorised() -> Self {
        Self::message(StatusCode::UNAUTHORIZED, "Unauthorised")
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::message(StatusCode::BAD_REQUEST, message)
    }
}

/// A record that could not be stored.
pub(super) fn append_status(error: &AppendError) -> StatusCode {
    match error {
        AppendError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        AppendError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        AppendError::Busy | AppendError::Failed => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl From<AppendError> for Plant {
    fn from(error: AppendError) -> Self {
        Self::message(append_status(&error), error.to_string())
    }
}

impl From<AppendError> for Detail {
    fn from(error: AppendError) -> Self {
        Self(append_status(&error), error.to_string())
    }
}

impl From<ReserveError> for Plant {
    fn from(error: ReserveError) -> Self {
        use crate::enforcement::Denied;
        match error {
            ReserveError::Journal(error) => error.into(),
            ReserveError::Denied(Denied::Quota(over)) => {
                Self::message(StatusCode::CONFLICT, Denied::Quota(over).to_string())
            }
            ReserveError::Denied(denied) => Self::message(StatusCode::FORBIDDEN, denied.to_string()),
        }
    }
}

impl From<ActivateError> for Plant {
    fn from(error: ActivateError) -> Self {
        use sitewarden_protocol::license::ActivationError;
        match error {
            ActivateError::Journal(error) => error.into(),
            ActivateError::Refused(
                refused @ (ActivationError::QuotaTooSmall { .. } | ActivationError::Occupied { .. }),
            ) => Self::message(StatusCode::CONFLICT, refused.to_string()),
            ActivateError::Refused(refused) => Self::bad_request(refused.to_string()),
        }
    }
}

pub(super) async fn not_found(_known: KnownInPlant, uri: Uri) -> Response {
    refuse(&uri, StatusCode::NOT_FOUND, "Not found")
}

pub(super) async fn method_not_allowed(_known: KnownInPlant, uri: Uri) -> Response {
    refuse(&uri, StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
}

fn refuse(uri: &Uri, status: StatusCode, message: &str) -> Response {
    let path = uri.path();
    if path.starts_with("/api/v1/telemetry") || path.starts_with("/api/v1/auth") {
        Detail(status, message.to_owned()).into_response()
    } else if sitewarden_protocol::license_server::speaks_of(uri.path()) {
        license_server::Refused::plain(status, message).into_response()
    } else {
        Plant::message(status, message).into_response()
    }
}
