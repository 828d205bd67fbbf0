//! `POST /api/v1/send-telemetry-data`: what programs send of themselves, to the letter of its document.
//!
//! Always true: every answer is in the signed envelope; 830 and 831 mean that it is on disk; no licence is asked for. The
//! rules of the fields are in `protocol::telemetry`, and the same at the agents.

use super::{Rate, address, rate::neighbourhood};
use crate::store::{self, ApiKey, Purpose, Store};
use crate::sync::Signer;
use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sitewarden_protocol::{
    snapshot::Trust,
    telemetry::{Answer, Fields},
    time::UnixMillis,
};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long a body may take, and how long its commit: together less than any request to the hub, so that the answer is in
/// the envelope.
const PATIENCE: Duration = Duration::from_secs(12);

/// What a key may send at once after it was silent: programs that come back after an outage.
const BURST: u32 = 10_000;
/// After so long it may again: a thousand a second for ever, which is many times what an agent's plant makes.
const BURST_SPAN: Duration = Duration::from_secs(10);
/// Keys that are remembered (about 64 bytes each). Only keys that count are, so that it takes as many customers.
const MAX_KEYS: usize = 100_000;

/// Where the key may stand too.
const API_KEY: &str = "x-api-key";

/// Takes what programs send.
pub(crate) struct SendTelemetry {
    store: Store,
    signer: Arc<Signer>,
    /// By address, of those who come without a key that counts.
    strangers: Rate,
    /// By key. A customer's programs share one, so it is a bound against runaways, not a quota.
    keys: Rate<i64>,
}

impl SendTelemetry {
    pub(crate) fn new(store: Store, signer: Arc<Signer>) -> Self {
        Self { store, signer, strangers: Rate::default(), keys: Rate::new(BURST, BURST_SPAN, MAX_KEYS) }
    }

    /// What the hub's word is verified with.
    pub(super) fn trust(&self) -> Trust {
        self.signer.trust()
    }

    async fn answer(&self, request: Request, now: UnixMillis) -> Result<Answer, Refused> {
        let address = address::client(request.extensions());
        let headers = request.headers().clone();
        let body = timeout(PATIENCE, Bytes::from_request(request, &())).await.map_err(|_| Refused::Slow)?;
        let body = body.map_err(|rejection| match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refused::TooLarge,
            _ => Refused::Cut,
        })?;
        let fields = Fields::read(text(&headers, header::CONTENT_TYPE.as_str()), &body);
        let key = self.recognise(&fields, &headers, address, now).await?;
        if !self.keys.take(key.id, Instant::now()) {
            return Err(Refused::TooMany);
        }
        let stored = timeout(PATIENCE, self.store.take_measurement(now, &key, fields.parse())).await;
        let problems = stored.map_err(|_| Refused::Busy)??;
        Ok(Answer::saved(&problems, now))
    }

    async fn recognise(
        &self,
        fields: &Fields,
        headers: &HeaderMap,
        address: IpAddr,
        now: UnixMillis,
    ) -> Result<ApiKey, Refused> {
        let given = fields.api_key().or_else(|| text(headers, API_KEY).filter(|key| !key.trim().is_empty()));
        let known = match given {
            Some(key) => self.store.recognise_api_key(key, Purpose::Telemetry, now).await?,
            None => None,
        };
        match known {
            Some(key) => Ok(key),
            None if self.strangers.take(neighbourhood(address), Instant::now()) => {
                Err(Refused::Unauthorised { given: given.is_some() })
            }
            None => Err(Refused::TooMany),
        }
    }
}

/// The handler.
pub(super) async fn send(State(hub): State<Arc<SendTelemetry>>, request: Request) -> Response {
    let now = crate::wall_clock();
    let answer = hub.answer(request, now).await.unwrap_or_else(|refused| refused.answer(now));
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, hub.signer.envelope(&answer)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // The rest of the body will not be read.
        StatusCode::PAYLOAD_TOO_LARGE => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

/// Why data is not saved.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no API key that counts")]
    Unauthorised { given: bool },
    #[error("the body is too large")]
    TooLarge,
    #[error("the body broke off")]
    Cut,
    #[error("the body took too long")]
    Slow,
    #[error("too many")]
    TooMany,
    #[error("the commit took too long")]
    Busy,
    #[error("the store failed")]
    Store(#[from] store::Error),
}

impl Refused {
    fn answer(&self, now: UnixMillis) -> Answer {
        let (status, message) = match self {
            Self::Unauthorised { given } => return Answer::unauthorised(*given, now),
            Self::TooLarge => (413, "The body is too large"),
            Self::Cut => (400, "The body could not be read"),
            Self::Slow => (408, "The request took too long"),
            Self::TooMany => (429, "Too many requests"),
            Self::Busy | Self::Store(store::Error::Unavailable | store::Error::Commit(_)) => {
                (503, "The hub is busy, try again later")
            }
            Self::Store(error) => {
                tracing::error!(error = error as &dyn std::error::Error, "a measurement could not be stored");
                (500, "The hub could not store it, its log says why")
            }
        };
        Answer::refused(status, message, now)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
