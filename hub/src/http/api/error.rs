//! What a refused request gets: `{"error": {"code", "message", "details"}}`, and which status goes with what. The one file of
//! this dialect.

use super::limits::{say, whole_seconds};
use crate::http::rate::Standing;
use crate::store::{self, LicenseRefusal, Role, UserRefusal};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::time::Duration;

/// A refused request.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Value,
    retry_after: Option<Duration>,
    /// How the caller stands, who has asked too often.
    standing: Option<Box<Standing>>,
    /// How one may say who one is, for a 401.
    challenge: &'static str,
}

impl Error {
    /// A refusal. `code` is stable, and programs decide by it; `message` is for people.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let (message, challenge) = (message.into(), "Bearer realm=\"sitewarden\"");
        Self { status, code, message, details: json!({}), retry_after: None, standing: None, challenge }
    }

    /// With an object of details.
    pub(crate) fn with_details(self, details: Value) -> Self {
        Self { details, ..self }
    }

    /// With the time after which a repeat makes sense.
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// For a path that takes Basic authentication too.
    pub(crate) fn or_basic(self) -> Self {
        Self { challenge: "Basic realm=\"sitewarden\"", ..self }
    }

    /// No credential, or one that proves nobody.
    pub(crate) fn unauthorised() -> Self {
        let message = "log in with a user of this hub, or come with an API key that is valid";
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    }

    pub(crate) fn wrong_password() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "wrong username or password")
    }

    /// Too many wrong credentials.
    pub(crate) fn wait(how_long: Duration) -> Self {
        let message = "too many wrong credentials; try again later";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message).retry_after(how_long)
    }

    /// More requests than one may make.
    pub(crate) fn too_many(standing: Standing) -> Self {
        let message = format!("at most {} requests a minute; try again later", standing.limit);
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message);
        Self { standing: Some(Box::new(standing)), ..error.retry_after(standing.wait.unwrap_or_default()) }
    }

    pub(crate) fn busy() -> Self {
        let message = "the hub is busy; try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message).retry_after(Duration::from_secs(5))
    }

    /// Another role is needed.
    pub(crate) fn role(has: Role, needs: Role) -> Self {
        let message = format!("this needs the role {}; yours is {}", needs.name(), has.name());
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", message).with_details(json!({ "needs": needs }))
    }

    /// For callers who are limited to no customer or site.
    pub(crate) fn limited() -> Self {
        let message = "this concerns the whole hub, and you are limited to one customer or site";
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
    }

    /// There is no such thing, or it is another customer's.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("there is no such {what}"))
    }

    /// A value that cannot be taken, and where it stands.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID", message).with_details(json!({ "field": field }))
    }

    pub(crate) fn media_type() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "MEDIA_TYPE", "the body must be application/json")
    }

    pub(crate) fn body(status: StatusCode) -> Self {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(status, "TOO_LARGE", "the body is larger than 64 KiB"),
            _ => Self::new(StatusCode::BAD_REQUEST, "BAD_BODY", "the body could not be read"),
        }
    }

    /// The hub's own fault. What it was is in the log only.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = chain(error), "a request to the API failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "the hub could not do that; its log says why")
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let message = error.to_string();
        match error {
            store::Error::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message),
            store::Error::Conflict { .. } => Self::new(StatusCode::CONFLICT, "CONFLICT", message),
            store::Error::Changed { revision } => Self::new(StatusCode::PRECONDITION_FAILED, "CHANGED", message)
                .with_details(json!({ "revision": revision })),
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
        let mut response = (self.status, Json(body)).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if let Some(standing) = self.standing {
            say(*standing, response.headers_mut());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(self.challenge));
        }
        response
    }
}

pub(crate) async fn no_such_path() -> Error {
    Error::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path")
}

pub(crate) async fn no_such_method() -> Error {
    Error::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "this path does not take this method")
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
