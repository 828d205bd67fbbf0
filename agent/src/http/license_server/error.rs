//! The dialect's errors as HTTP answers, and which of them the site's own errors become.

use crate::enforcement::SeatError;
use crate::http::error::append_status;
use crate::journal::AppendError;
use axum::Json;
use axum::http::header::CONNECTION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sitewarden_protocol::license::seats::Refusal;
use sitewarden_protocol::license_server::Refused as Said;
use sitewarden_protocol::rate::TooOften;

/// An error in this API's words.
#[derive(Debug)]
pub(in crate::http) struct Refused(pub(super) Said);

impl Refused {
    /// An error that has no more to say than its status.
    pub(in crate::http) fn plain(status: StatusCode, message: &str) -> Self {
        Self(Said::plain(status.as_u16(), message))
    }
}

/// Headers as HTTP has them.
pub(super) fn headers(all: &[(&'static str, u64)]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from(*value)))
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0.body())).into_response();
        response.headers_mut().extend(headers(&self.0.headers));
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of the body will not be read, so the connection is of no more use.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Said> for Refused {
    fn from(said: Said) -> Self {
        Self(said)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.into())
    }
}

impl From<TooOften> for Refused {
    fn from(too_often: TooOften) -> Self {
        Self(too_often.into())
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
            SeatError::UnknownKey => Self(Said::unknown_key()),
            SeatError::Refused(refusal) => refusal.into(),
            SeatError::Journal(error) => error.into(),
        }
    }
}
