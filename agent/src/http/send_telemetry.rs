//! `POST /api/v1/send-telemetry-data`: what programs send of themselves, as at the hub, without needing one.
//!
//! Always true: every answer is in the envelope that the agent signs; 830 and 831 mean that it is on disk, as one record
//! nearly always; no licence is asked for. An API key is recognised by the digests in the snapshot, so one that the hub
//! revoked counts until the next snapshot. No key is in a record or in the log: of the licence's key there is the digest
//! by which the site recognises it. Whether a product is one, the hub says when the record arrives.

use super::Api;
use crate::journal::AppendError;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use sitewarden_protocol::api_key::ApiKeyDigest;
use sitewarden_protocol::license::KeyDigest;
use sitewarden_protocol::record::{Sent, TooLarge};
use sitewarden_protocol::telemetry::{Answer, Fields, MAX_BODY, Parsed};

/// Where the key may stand too.
const API_KEY: &str = "x-api-key";

/// The endpoint, with a bound on its bodies of its own.
pub(super) fn route() -> MethodRouter<Api> {
    post(send).layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn send(State(api): State<Api>, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Response {
    let now = api.clock.now();
    let answer = match take(&api, &headers, body).await {
        Ok(answer) => answer,
        Err(Refused::Unauthorised { given }) => {
            api.metrics.unauthorised.inc();
            Answer::unauthorised(given, now)
        }
        Err(refused) => {
            let (status, message) = refused.told();
            Answer::refused(status, message, now)
        }
    };
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, api.prover.envelope(&answer)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match status {
        StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"))),
        // The rest of the body will not be read.
        StatusCode::PAYLOAD_TOO_LARGE => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

async fn take(api: &Api, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Answer, Refused> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refused::BodyTooLarge,
        _ => Refused::Cut,
    })?;
    let fields = Fields::read(text(headers, header::CONTENT_TYPE.as_str()), &body);
    let given = fields.api_key().or_else(|| text(headers, API_KEY).filter(|key| !key.trim().is_empty()));
    let key = given.map(ApiKeyDigest::of).filter(|key| is_known(api, key));
    let key = key.ok_or(Refused::Unauthorised { given: given.is_some() })?;
    let Parsed { reading, license_key } = fields.parse();
    let (at, problems) = (api.clock.now(), reading.problems.clone());
    let license = license_key.map(|license_key| KeyDigest::of(api.names.site, &license_key));
    let records = Sent { key, license, reading: api.anonymity.reading(reading) }.into_records(at)?;
    api.journal.report(records).await?;
    Ok(Answer::saved(&problems, at))
}

/// Looks at all of them, so that the time does not tell which one it was.
fn is_known(api: &Api, key: &ApiKeyDigest) -> bool {
    let state = api.enforcement.state();
    state.snapshot.api_keys.iter().fold(false, |known, one| known | one.same(key))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Why data is not saved.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no API key that counts")]
    Unauthorised { given: bool },
    #[error("the body is too large")]
    BodyTooLarge,
    #[error("the body broke off")]
    Cut,
    #[error(transparent)]
    Record(#[from] TooLarge),
    #[error(transparent)]
    Journal(#[from] AppendError),
}

impl Refused {
    /// HTTP status and words.
    fn told(&self) -> (u16, &'static str) {
        match self {
            Self::Unauthorised { .. } => (401, "Unauthorised"),
            Self::BodyTooLarge => (413, "The body is too large"),
            Self::Cut => (400, "The body could not be read"),
            Self::Record(_) | Self::Journal(AppendError::TooLarge(_)) => (413, "The data is too large"),
            Self::Journal(AppendError::Full(_)) => (507, "The agent's journal is full"),
            Self::Journal(AppendError::Busy | AppendError::Failed) => (503, "The agent is busy, try again later"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::enforcement::tests::seats::{Hand, start_by};
    use crate::enforcement::tests::{Running, SITE, plain, prepare_with, sign};
    use crate::http::app_routes;
    use crate::http::testing::{api, signing_key};

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};
    use sitewarden_protocol::chain::Position;

    use sitewarden_protocol::license::Limits;
    use sitewarden_protocol::record::{self, Measured, Measurement, Record};
    use sitewarden_protocol::signing::Signature;

    use tower::ServiceExt;

    const KEY: &str = "swk_a key of this site";

    /// The routes of an agent whose snapshot holds the key.
    fn site() -> (tempfile::TempDir, Running, Router) {
        let mut snapshot = plain(1, Limits { monitors: None, users: None, activations: None });
        snapshot.api_keys = vec![ApiKeyDigest::of("another"), ApiKeyDigest::of(KEY)];
        let (temporary, folder) = prepare_with(&sign(&snapshot));
        let running = start_by(&folder, &Hand::new());
        let api = api(&folder, &running);
        (temporary, running, app_routes(api))
    }

    async fn post(routes: &Router, content_type: &str, body: impl Into<Body>) -> (u16, Value) {
        let request = Request::post("/api/v1/send-telemetry-data").header(header::CONTENT_TYPE, content_type);
        let answer = routes.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let envelope: Value = serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap();
        let decoded = |name: &str| STANDARD.decode(envelope[name].as_str().unwrap()).unwrap();
        let signature = Signature(decoded("signature").try_into().unwrap());
        let public = signing_key().public();
        public.verify_object(&decoded("response_base64"), &signature).unwrap();
        assert_eq!(envelope["private_key_used"], "global");
        (status, envelope["response"].clone())
    }

    fn sample(key: &str) -> Value {
        json!({
            "api_key": key, "data_type": "numeric-single-value", "numeric_data_single_value": "50", "product_id": "1",
            "user_identifier": "u", "license_key": "9cc2cc83-4c74", "activation_identifier": "12135644",
            "product_version": "1.0.1", "data_group": "test_group",
        })
    }

    fn records(running: &Running) -> Vec<Vec<u8>> {
        let draft = running.journal.read_after(Position::default()).unwrap();
        draft.map(|draft| draft.records.iter().map(<[u8]>::to_vec).collect()).unwrap_or_default()
    }

    #[tokio::test]
    async fn right_and_wrong_data_are_one_durable_record_each_without_any_key() {
        let (_folder, running, routes) = site();
        let before = records(&running).len();
        let (status, answer) = post(&routes, "application/json", sample(KEY).to_string()).await;
        assert_eq!((status, &answer["code"], &answer["errors"]), (200, &json!(830), &json!([])));
        let form = format!("api_key={}&data_group=g", KEY.replace(' ', "+"));
        let (status, answer) = post(&routes, "application/x-www-form-urlencoded", form).await;
        assert_eq!((status, &answer["code"]), (200, &json!(831)));
        let multipart = format!("--b\r\nContent-Disposition: form-data; name=\"api_key\"\r\n\r\n{KEY}\r\n--b--");
        assert_eq!(post(&routes, "multipart/form-data; boundary=b", multipart).await.1["code"], 831);
        let records = records(&running);
        assert_eq!(records.len(), before + 3);
        let first = Record::decode(&records[before]).unwrap().decode_body().unwrap();
        let record::Body::Measurement(Measurement::Sent(sent)) = first else { panic!("{first:?}") };
        assert_eq!((&sent.reading.value, sent.key), (&Measured::Number(50.0), ApiKeyDigest::of(KEY)));
        assert_eq!(sent.license, Some(KeyDigest::of(SITE, "9cc2cc83-4c74")));
        for secret in [KEY, "9cc2cc83-4c74"] {
            let holds = |record: &Vec<u8>| record.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!records.iter().any(holds));
        }
    }

    #[tokio::test]
    async fn without_a_key_that_counts_nothing_is_written() {
        let (_folder, running, routes) = site();
        let before = records(&running).len();
        for (body, told) in [
            (sample("swk_wrong").to_string(), "The selected api key is invalid."),
            (sample("").to_string(), "The api key field is required."),
            ("{".to_owned(), "The api key field is required."),
        ] {
            let (status, answer) = post(&routes, "application/json", body).await;
            assert_eq!((status, &answer["errors"]["api_key"][0]), (401, &json!(told)));
        }
        assert_eq!(post(&routes, "text/plain", "x".repeat(MAX_BODY + 1)).await.0, 413);
        assert_eq!(records(&running).len(), before);
    }

    #[tokio::test]
    async fn the_longest_text_in_any_script_is_taken() {
        let (_folder, running, routes) = site();
        let before = records(&running).len();
        let mut body = sample(KEY);
        (body["data_type"], body["text_data"]) = (json!("text"), json!("😀".repeat(2_000)));
        assert_eq!(post(&routes, "application/json", body.to_string()).await.1["code"], 830);
        assert_eq!(records(&running).len(), before + 4, "with what did not fit behind it");
    }
}
