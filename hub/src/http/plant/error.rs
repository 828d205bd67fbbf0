//! What a refused request gets: `{"error": {"status", "message"}}`, the texts as documented. The only place that has them.

use crate::store::{self, LicenseRefusal};
use axum::{
    Json,
    extract::rejection::BytesRejection,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use sitewarden_protocol::license::ActivationError;
use std::time::Duration;

/// A refused request.
#[derive(Debug)]
pub(super) struct Error {
    status: StatusCode,
    /// A text; an object for the one question that the API asks back.
    message: Value,
    retry_after: Option<Duration>,
}

/// Structures, so that the fields come in the documented order.
#[derive(Serialize)]
struct Body {
    error: Told,
}

#[derive(Serialize)]
struct Told {
    status: u16,
    message: Value,
}

impl Error {
    pub(super) fn new(status: StatusCode, message: impl Into<Value>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    fn bad(message: impl Into<Value>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn unauthorised() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorised")
    }

    pub(super) fn wait(how_long: Duration) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many wrong passwords; try again later");
        Self { retry_after: Some(how_long), ..error }
    }

    pub(super) fn busy() -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "The hub is busy; try again later");
        Self { retry_after: Some(Duration::from_secs(5)), ..error }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found")
    }

    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
    }

    pub(super) fn content_type() -> Self {
        Self::bad("Invalid content type")
    }

    pub(super) fn insufficient() -> Self {
        Self::bad("Insufficient inputs")
    }

    pub(super) fn data_type() -> Self {
        Self::bad("Invalid input data type")
    }

    pub(super) fn empty() -> Self {
        Self::bad("Invalid license data:Required fields cannot be empty")
    }

    pub(super) fn validity() -> Self {
        Self::bad("License validity is invalid")
    }

    pub(super) fn application() -> Self {
        Self::bad("Invalid application name")
    }

    pub(super) fn quota() -> Self {
        Self::bad("License quota must be a positive integer")
    }

    pub(super) fn place() -> Self {
        Self::bad("Plant id or Site id not found")
    }

    pub(super) fn no_license() -> Self {
        Self::bad("Invalid license")
    }

    pub(super) fn no_data() -> Self {
        Self::bad("Data not found")
    }

    pub(super) fn status_empty() -> Self {
        Self::bad("Status cannot be empty")
    }

    pub(super) fn status_unknown() -> Self {
        Self::bad("Status must be one of Inactive, Active, Expired, Deactivated, Invalid")
    }

    pub(super) fn no_app() -> Self {
        Self::bad("App not given")
    }

    pub(super) fn admin_user() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Admin user")
    }

    pub(super) fn name_taken(name: &str) -> Self {
        Self::new(StatusCode::CONFLICT, format!("License name {name} already exists"))
    }

    pub(super) fn activation_failed() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "License activation failed")
    }

    /// A key is not activated. `question` is made of the two licences if another one is Active.
    pub(super) fn activation(refused: &ActivationError, question: impl FnOnce() -> Value) -> Self {
        match refused {
            ActivationError::Unknown | ActivationError::Spent | ActivationError::NotBegun { .. } => {
                Self::bad(refused.to_string())
            }
            ActivationError::QuotaTooSmall { .. } => Self::new(StatusCode::CONFLICT, refused.to_string()),
            ActivationError::Occupied { .. } => Self::new(StatusCode::ACCEPTED, question()),
        }
    }
}

impl From<LicenseRefusal> for Error {
    fn from(refusal: LicenseRefusal) -> Self {
        let clash = matches!(refusal, LicenseRefusal::AnotherActive(_) | LicenseRefusal::QuotaTooSmall { .. });
        Self::new(if clash { StatusCode::CONFLICT } else { StatusCode::BAD_REQUEST }, refusal.to_string())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Changed { .. } => Self::new(StatusCode::PRECONDITION_FAILED, error.to_string()),
            store::Error::Invalid { .. } => Self::bad(error.to_string()),
            store::Error::Unavailable | store::Error::Commit(_) => Self::busy(),
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request about licenses failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The hub could not answer; its log says why")
            }
        }
    }
}

impl From<BytesRejection> for Error {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            _ => Self::bad("The body could not be read"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let error = Told { status: self.status.as_u16(), message: self.message };
        let mut response = (self.status, Json(Body { error })).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
