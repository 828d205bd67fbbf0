//! `{"error": {"code", "message", "details"}}`: codes are stable, texts are for people.

use crate::enforcement::SeatError;
use crate::http::error::append_status;
use crate::journal::AppendError;
use axum::Json;
use axum::http::header::CONNECTION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sitewarden_protocol::license::seats::Refusal;
use sitewarden_protocol::license::{BlockedNew, Cause};

/// An error in this API's words.
#[derive(Debug)]
pub(in crate::http) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) details: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refused {
    pub(in crate::http) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: json!({}), headers: vec![] }
    }

    /// An error that has no more to say than its status.
    pub(in crate::http) fn plain(status: StatusCode, message: &str) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => "NOT_FOUND",
            StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
            StatusCode::PAYLOAD_TOO_LARGE => "PAYLOAD_TOO_LARGE",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "UNSUPPORTED_MEDIA_TYPE",
            StatusCode::INSUFFICIENT_STORAGE => "STORAGE_FULL",
            StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
            _ => "INVALID_REQUEST",
        };
        Self::new(status, code, message)
    }

    /// A field is not what it has to be; `reason` is one word for programs.
    pub(super) fn field(field: &str, reason: &str, message: &str) -> Self {
        let message = format!("{field}: {message}");
        let refused = Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message);
        refused.with(json!({"field": field, "reason": reason}))
    }

    /// The key is no key, or nobody's here.
    pub(super) fn key(status: StatusCode, reason: &str) -> Self {
        let refused = Self::new(status, "INVALID_LICENSE", SeatError::UnknownKey.to_string());
        refused.with(json!({"field": "license_key", "reason": reason}))
    }

    pub(super) fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }

    pub(super) fn headed(self, headers: impl Into<Vec<(HeaderName, HeaderValue)>>) -> Self {
        Self { headers: headers.into(), ..self }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let error = json!({"code": self.code, "message": self.message, "details": self.details});
        let mut response = (self.status, Json(json!({"error": error}))).into_response();
        response.headers_mut().extend(self.headers);
        if self.status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of the body will not be read, so the connection is of no more use.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<AppendError> for Refused {
    fn from(error: AppendError) -> Self {
        Self::plain(append_status(&error), &error.to_string())
    }
}

impl From<SeatError> for Refused {
    fn from(error: SeatError) -> Self {
        match error {
            SeatError::UnknownKey => Self::key(StatusCode::NOT_FOUND, "unknown"),
            SeatError::Refused(refusal) => refusal.into(),
            SeatError::Journal(error) => error.into(),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let (status, code, details) = match &refusal {
            Refusal::License(cause) => of_license(cause),
            Refusal::BlockedNew(BlockedNew::Expired(since)) => {
                (StatusCode::FORBIDDEN, "LICENSE_EXPIRED", json!({"expired_at": since.to_string()}))
            }
            Refusal::BlockedNew(BlockedNew::Stale(since)) => {
                (StatusCode::FORBIDDEN, "LICENSE_STALE", json!({"since": since.to_string()}))
            }
            Refusal::UnknownActivation => (StatusCode::NOT_FOUND, "NOT_FOUND", json!({"field": "activation_id"})),
            Refusal::OtherHardware { matched, of } => {
                (StatusCode::FORBIDDEN, "HARDWARE_MISMATCH", json!({"matched": matched, "of": of}))
            }
            Refusal::TooManyMachines { permitted } => {
                (StatusCode::CONFLICT, "ACTIVATION_LIMIT", json!({"max_activations": permitted}))
            }
            Refusal::TooManyUsers { claimed, others, permitted } => {
                let details = json!({"current_users": claimed, "users_elsewhere": others, "max_users": permitted});
                (StatusCode::CONFLICT, "USER_LIMIT", details)
            }
            Refusal::Released { by } => (StatusCode::CONFLICT, "SESSION_RELEASED", json!({"by": by})),
        };
        Self::new(status, code, refusal.to_string()).with(details)
    }
}

fn of_license(cause: &Cause) -> (StatusCode, &'static str, Value) {
    let (code, details) = match cause {
        Cause::NoLicense { .. } => ("INVALID_LICENSE", json!({})),
        Cause::NotActivated { .. } => ("LICENSE_INACTIVE", json!({})),
        Cause::Expired { on, .. } => ("LICENSE_EXPIRED", json!({"expired_at": on.to_string()})),
        Cause::NotYet { on, .. } => ("LICENSE_NOT_STARTED", json!({"valid_from": on.to_string()})),
        Cause::Withdrawn { status, .. } => ("LICENSE_REVOKED", json!({"status": status.name()})),
        Cause::Stale { since } => ("LICENSE_STALE", json!({"since": since.to_string()})),
        Cause::OverQuota { in_use, permitted, .. } => {
            ("MONITOR_LIMIT", json!({"in_use": in_use, "permitted": permitted}))
        }
    };
    (StatusCode::FORBIDDEN, code, details)
}
