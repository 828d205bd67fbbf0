//! `Idempotency-Key`: a POST that is sent again, because its answer was lost, is answered again and not done again.
//!
//! The work goes on when the client has left, so that its answer is there when he comes back. What fails inside (5xx) has
//! changed nothing, and may be tried again under the same key.

use super::{Caller, Error, caller::Who};
use crate::store::{KeyedRequest, Repeat, Store};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::time::Duration;
use zeroize::Zeroizing;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The most characters of a key.
const MAX_KEY: usize = 255;
/// The most bytes of a request's body, which is what the API takes anyway.
const MAX_BODY: usize = 64 << 10;
/// The most bytes of an answer that is kept; a larger one is no answer to a POST of this API.
const MAX_ANSWER: usize = 256 << 10;

/// The key of a request, if it has one.
///
/// # Errors
/// A 400 for one that cannot be.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Error> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| (1..=MAX_KEY).contains(&key.len()));
    let wrong =
        || Error::invalid("Idempotency-Key", format!("Idempotency-Key must be 1 to {MAX_KEY} ASCII characters"));
    key.map(|key| Some(blake3::derive_key("sitewarden hub idempotency key 1", key.as_bytes()))).ok_or_else(wrong)
}

/// Does a request, or answers as it was answered before.
pub(super) async fn once(
    store: Store,
    caller: &Caller,
    key: [u8; 32],
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.map_err(|_| Error::body(StatusCode::PAYLOAD_TOO_LARGE))?;
    let mut digest = blake3::Hasher::new_derive_key("sitewarden hub idempotent request 1");
    for part in [parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), &body] {
        digest.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes()).update(part);
    }
    let asked = KeyedRequest { caller: name(caller), key, request: *digest.finalize().as_bytes() };
    match store.begin_keyed(asked.clone(), crate::wall_clock()).await? {
        Repeat::First => {}
        Repeat::Done(status, answer) => return Ok(replayed(status, &answer)),
        Repeat::Begun => return Err(Error::in_doubt()),
        Repeat::Another => return Err(Error::key_of_another()),
        Repeat::TooMany => return Err(Error::too_many_keys()),
    }
    let request = Request::from_parts(parts, Body::from(body));
    let work = tokio::spawn(async move {
        let answer = next.run(request).await;
        kept(&store, asked, answer).await
    });
    work.await.map_err(|error| Error::internal(&error))?
}

/// Puts an answer on record, and gives it.
async fn kept(store: &Store, asked: KeyedRequest, answer: Response) -> Result<Response, Error> {
    let (parts, body) = answer.into_parts();
    let bytes = to_bytes(body, MAX_ANSWER).await.map_err(|error| Error::internal(&error))?;
    let text = String::from_utf8(bytes.to_vec()).ok().map(Zeroizing::new);
    let answer = text.filter(|_| !parts.status.is_server_error()).map(|text| (parts.status.as_u16(), text));
    // Whoever asks again is told that nobody has seen the end of it, which is true.
    if let Err(error) = store.end_keyed(asked, answer).await {
        tracing::error!(error = &error as &dyn std::error::Error, "the answer to an idempotent request was not kept");
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn replayed(status: u16, answer: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers =
        [(CONTENT_TYPE, HeaderValue::from_static("application/json")), (REPLAYED, HeaderValue::from_static("true"))];
    (status, headers, answer.to_owned()).into_response()
}

fn name(caller: &Caller) -> String {
    match caller.who() {
        Who::Local => "local".to_owned(),
        Who::User { name, .. } => format!("user {name}"),
        Who::Key { id, .. } => format!("key {id}"),
    }
}

impl Error {
    fn in_doubt() -> Self {
        let message = "a request with this key has begun, and nobody has seen its end; look whether it was done \
                       before you use another key";
        Self::new(StatusCode::CONFLICT, "IDEMPOTENCY_IN_DOUBT", message).retry_after(Duration::from_secs(1))
    }

    fn key_of_another() -> Self {
        let message = "this key was used for another request";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_MISMATCH", message)
    }

    fn too_many_keys() -> Self {
        let message = "too many idempotency keys in one day";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message).retry_after(Duration::from_secs(3_600))
    }
}
