//! What a refused request gets: `{"error": {"code", "message", "details"}}` with fixed words. What exactly was wrong inside goes to
//! the log, where it happened.

use axum::{
    Json,
    extract::rejection::BytesRejection,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

/// A refused request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Error {
    NotFound,
    Method,
    MediaType,
    TooLarge,
    Body,
    NotAnEnrolment,
    NotARenewal,
    Slow,
    Internal,
}

impl Error {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path"),
            Self::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "this path does not take this method")
            }
            Self::MediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "MEDIA_TYPE", "the body must be application/octet-stream")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", "the body is larger than this path takes"),
            Self::Body => (StatusCode::BAD_REQUEST, "BAD_BODY", "the body could not be read"),
            Self::NotAnEnrolment => (StatusCode::BAD_REQUEST, "BAD_BODY", "the body is not an enrolment request"),
            Self::NotARenewal => (StatusCode::BAD_REQUEST, "BAD_BODY", "the body is not a request for a certificate"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "TIMEOUT", "the request took too long"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "the hub could not answer; see its log"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code, message) = self.parts();
        (status, Json(json!({ "error": { "code": code, "message": message, "details": {} } }))).into_response()
    }
}

impl From<BytesRejection> for Error {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { Self::TooLarge } else { Self::Body }
    }
}
