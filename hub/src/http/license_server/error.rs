//! The dialect's errors as HTTP answers, and which of them the store's own errors become.

use crate::http::api::idempotency;
use crate::store::{self, MachineRefusal};
use axum::{
    Json,
    extract::Request,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{CONNECTION, RETRY_AFTER},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use sitewarden_protocol::{license_server::Refused as Said, rate::TooOften};
use std::time::Duration;
use tokio::time::timeout;

/// How long a request may take: less than any request to the hub, so that the answer is in this dialect.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);

/// An error in this API's words.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Said);

impl Refused {
    pub(super) fn method() -> Self {
        Self(Said::plain(405, "this path takes POST only"))
    }
}

/// Headers as HTTP has them.
pub(super) fn headers(all: &[(&'static str, u64)]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from(*value)))
}

pub(super) async fn in_time(request: Request, next: Next) -> Response {
    let late = |_| Refused(Said::plain(408, "the request took too long")).into_response();
    timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(late)
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0.body())).into_response();
        let told = response.headers_mut();
        told.extend(headers(&self.0.headers));
        match status {
            // The rest of the body will not be read.
            StatusCode::PAYLOAD_TOO_LARGE => {
                told.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                told.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

impl From<Said> for Refused {
    fn from(said: Said) -> Self {
        Self(said)
    }
}

impl From<MachineRefusal> for Refused {
    fn from(refusal: MachineRefusal) -> Self {
        Self(refusal.into())
    }
}

impl From<TooOften> for Refused {
    fn from(too_often: TooOften) -> Self {
        Self(too_often.into())
    }
}

impl From<idempotency::Refused> for Refused {
    fn from(refused: idempotency::Refused) -> Self {
        use idempotency::Refused as Kept;
        match (refused.told(), refused) {
            (None, Kept::Store(error)) => error.into(),
            (None, error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a repeatable call of the license server failed"
                );
                Self(Said::plain(500, "the hub could not answer; its log says why"))
            }
            (Some(_), Kept::Key) => {
                Self(Said::field("Idempotency-Key", "format_invalid", "1 to 255 ASCII characters are needed"))
            }
            (Some((status, code, _)), Kept::Lost) => {
                let message = "the request with this key was done, but its answer is lost; call without a key: the same \
                               hardware gets the same activation, and validate says how it stands";
                Self(Said::new(status.as_u16(), code, message))
            }
            (Some((status, code, wait)), refused) => {
                let said = Said::new(status.as_u16(), code, refused.to_string());
                let wait = wait.map(|wait| ("retry-after", wait.as_secs()));
                Self(said.headed(wait.into_iter().collect::<Vec<_>>()))
            }
        }
    }
}

impl From<store::Error> for Refused {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable | store::Error::Commit(_) => {
                Self(Said::plain(503, "the hub is busy; try again later"))
            }
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a call of the license server failed");
                Self(Said::plain(500, "the hub could not answer; its log says why"))
            }
        }
    }
}
