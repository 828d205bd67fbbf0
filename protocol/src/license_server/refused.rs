//! `{"error": {"code", "message", "details"}}`: codes are stable, texts are for people.

use crate::license::seats::Refusal;
use crate::license::{ActivationError, BlockedNew, Cause, Status};
use crate::rate::TooOften;
use serde_json::{Value, json};

const FORBIDDEN: u16 = 403;
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// An error in this API's words.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// Of HTTP.
    pub status: u16,
    /// What programs decide by.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// An object.
    pub details: Value,
    /// Headers beside those of every answer; names in lower case.
    pub headers: Vec<(&'static str, u64)>,
}

impl Refused {
    /// An error without details.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: json!({}), headers: vec![] }
    }

    /// An error that has no more to say than its status.
    pub fn plain(status: u16, message: &str) -> Self {
        let code = match status {
            404 => "NOT_FOUND",
            405 => "METHOD_NOT_ALLOWED",
            408 => "TIMEOUT",
            413 => "PAYLOAD_TOO_LARGE",
            415 => "UNSUPPORTED_MEDIA_TYPE",
            500 => "INTERNAL",
            503 => "UNAVAILABLE",
            507 => "STORAGE_FULL",
            _ => "INVALID_REQUEST",
        };
        Self::new(status, code, message)
    }

    /// A field is not what it has to be; `reason` is one word for programs.
    pub fn field(field: &str, reason: &str, message: &str) -> Self {
        let message = format!("{field}: {message}");
        let refused = Self::new(400, "INVALID_REQUEST", message);
        refused.with(json!({"field": field, "reason": reason}))
    }

    /// The key is no key, or nobody's here.
    pub fn key(status: u16, reason: &str) -> Self {
        let refused = Self::new(status, "INVALID_LICENSE", "The provided license key is invalid");
        refused.with(json!({"field": "license_key", "reason": reason}))
    }

    /// No licence here has the key.
    pub fn unknown_key() -> Self {
        Self::key(NOT_FOUND, "unknown")
    }

    /// The body is not said to be JSON.
    pub fn media_type() -> Self {
        Self::plain(415, "the body has to be JSON, with content-type: application/json")
    }

    /// The licence does not come into force. `now` is its status, `None` if it is not known here.
    pub fn not_activated(refused: &ActivationError, now: Option<Status>) -> Self {
        let message = refused.to_string();
        match refused {
            ActivationError::Unknown => Self::unknown_key(),
            ActivationError::Spent if now == Some(Status::Inactive) => Self::new(FORBIDDEN, "LICENSE_EXPIRED", message),
            ActivationError::Spent => Self::new(FORBIDDEN, "LICENSE_REVOKED", message),
            ActivationError::Occupied { current, .. } => {
                let message = format!(
                    "another license, {}, is active for {}; an operator can replace it: sitewarden-agent activate KEY --replace",
                    current.name, current.app
                );
                let details = json!({"app": current.app, "active_license": current.name});
                Self::new(CONFLICT, "LICENSE_CONFLICT", message).with(details)
            }
            ActivationError::QuotaTooSmall { in_use, permitted } => {
                Self::new(CONFLICT, "MONITOR_LIMIT", message).with(json!({"in_use": in_use, "permitted": permitted}))
            }
            ActivationError::NotBegun { current, from, .. } => {
                let details = json!({"valid_from": from.to_string(), "active_license": current});
                Self::new(FORBIDDEN, "LICENSE_NOT_STARTED", message).with(details)
            }
        }
    }

    /// With details: an object.
    #[must_use]
    pub fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }

    /// With headers.
    #[must_use]
    pub fn headed(self, headers: impl Into<Vec<(&'static str, u64)>>) -> Self {
        Self { headers: headers.into(), ..self }
    }

    /// The body.
    pub fn body(&self) -> Value {
        json!({"error": {"code": self.code, "message": self.message, "details": self.details}})
    }
}

impl From<TooOften> for Refused {
    fn from(too_often: TooOften) -> Self {
        let seconds = too_often.seconds();
        let message = format!("Rate limit exceeded; try again in {seconds} seconds");
        let details = json!({"limit": too_often.limit, "retry_after": seconds});
        Self::new(429, "RATE_LIMITED", message).with(details).headed(too_often.headers())
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let (status, code, details) = match &refusal {
            Refusal::License(cause) => of_license(cause),
            Refusal::BlockedNew(BlockedNew::Expired(since)) => {
                (FORBIDDEN, "LICENSE_EXPIRED", json!({"expired_at": since.to_string()}))
            }
            Refusal::BlockedNew(BlockedNew::Stale(since)) => {
                (FORBIDDEN, "LICENSE_STALE", json!({"since": since.to_string()}))
            }
            Refusal::UnknownActivation => (NOT_FOUND, "NOT_FOUND", json!({"field": "activation_id"})),
            Refusal::OtherHardware { matched, of } => {
                (FORBIDDEN, "HARDWARE_MISMATCH", json!({"matched": matched, "of": of}))
            }
            Refusal::TooManyMachines { permitted } => {
                (CONFLICT, "ACTIVATION_LIMIT", json!({"max_activations": permitted}))
            }
            Refusal::TooManyUsers { claimed, others, permitted } => {
                let details = json!({"current_users": claimed, "users_elsewhere": others, "max_users": permitted});
                (CONFLICT, "USER_LIMIT", details)
            }
            Refusal::Released { by } => (CONFLICT, "SESSION_RELEASED", json!({"by": by})),
        };
        Self::new(status, code, refusal.to_string()).with(details)
    }
}

fn of_license(cause: &Cause) -> (u16, &'static str, Value) {
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
    (FORBIDDEN, code, details)
}
