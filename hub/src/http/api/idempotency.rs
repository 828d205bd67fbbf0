//! `Idempotency-Key`: a POST that is sent again, because its answer was lost, is answered again and not done again.
//!
//! The work goes on when the client has left, so that its answer is there when he comes back. What fails inside (5xx) or was
//! too often (429) may be tried again under the same key, if it has changed nothing.

use super::{Caller, Error, caller::Who};
use crate::store::{self, KeyOwner, KeyedRequest, Repeat, Store, Turn};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE, header::IF_MATCH},
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

/// Why a request under a key is neither done nor answered. Each dialect says it in its own form.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// No key can be so.
    #[error("Idempotency-Key must be 1 to {MAX_KEY} ASCII characters")]
    Key,
    /// It is being done, or nobody knows whether it was.
    #[error(
        "a request with this key has begun, and nobody has seen its end; ask again, and look whether it was done before \
         you use another key"
    )]
    InDoubt,
    /// It was done; what was answered is lost.
    #[error(
        "the request with this key was done, but its answer is lost; look at what it made (the audit log names it) \
         before you use another key"
    )]
    Lost,
    /// Another request came with this key.
    #[error("this key was used for another request")]
    Another,
    /// The caller has used very many keys.
    #[error("too many idempotency keys in one day")]
    TooMany,
    /// The database.
    #[error("the request could not be put on record")]
    Store(#[from] store::Error),
    /// Whoever did it is gone.
    #[error("the request was broken off")]
    Broken(#[from] tokio::task::JoinError),
    /// What was answered cannot be read.
    #[error("the answer could not be read")]
    Answer(#[source] axum::Error),
}

impl Refused {
    /// Status, code and the time after which a repeat makes sense; `None` for what is the hub's own fault.
    pub(crate) const fn told(&self) -> Option<(StatusCode, &'static str, Option<Duration>)> {
        const SOON: Option<Duration> = Some(Duration::from_secs(1));
        const LATER: Option<Duration> = Some(Duration::from_secs(3_600));
        match self {
            Self::Key => Some((StatusCode::BAD_REQUEST, "INVALID", None)),
            Self::InDoubt => Some((StatusCode::CONFLICT, "IDEMPOTENCY_IN_DOUBT", SOON)),
            Self::Lost => Some((StatusCode::CONFLICT, "IDEMPOTENCY_ANSWER_LOST", None)),
            Self::Another => Some((StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_MISMATCH", None)),
            Self::TooMany => Some((StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", LATER)),
            Self::Store(_) | Self::Broken(_) | Self::Answer(_) => None,
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match (refused.told(), refused) {
            (None, Refused::Store(error)) => error.into(),
            (None, refused) => Self::internal(&refused),
            (Some(_), Refused::Key) => Self::invalid("Idempotency-Key", Refused::Key.to_string()),
            (Some((status, code, wait)), refused) => {
                wait.into_iter().fold(Self::new(status, code, refused.to_string()), Self::retry_after)
            }
        }
    }
}

/// The key of a request, if it has one.
///
/// # Errors
/// [`Refused::Key`].
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Refused> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| (1..=MAX_KEY).contains(&key.len()));
    key.map(|key| Some(blake3::derive_key("sitewarden hub idempotency key 1", key.as_bytes()))).ok_or(Refused::Key)
}

/// What is asked: another digest is another request.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut digest = blake3::Hasher::new_derive_key("sitewarden hub idempotent request 1");
    for part in parts {
        digest.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes()).update(part);
    }
    *digest.finalize().as_bytes()
}

/// Does a request of the API, or answers as it was answered before.
pub(super) async fn guarded(
    store: Store,
    caller: &Caller,
    key: [u8; 32],
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.map_err(|_| Error::body(StatusCode::PAYLOAD_TOO_LARGE))?;
    let (uri, seen) = (parts.uri.to_string(), parts.headers.get(IF_MATCH).map_or(&b""[..], HeaderValue::as_bytes));
    let request = digest([parts.method.as_str().as_bytes(), uri.as_bytes(), seen, &body]);
    let asked = KeyedRequest { owner: KeyOwner::Caller(name(caller)), key, request };
    let request = Request::from_parts(parts, Body::from(body));
    Ok(once(store, asked, async move { next.run(request).await }).await?)
}

/// Does what is asked, or answers as it was answered before.
///
/// # Errors
/// Any but [`Refused::Key`].
pub(crate) async fn once<F>(store: Store, asked: KeyedRequest, work: F) -> Result<Response, Refused>
where
    F: Future<Output = Response> + Send + 'static,
{
    let turn = match store.begin_keyed(asked, crate::wall_clock()).await? {
        Repeat::First(turn) => turn,
        Repeat::Done(status, answer) => return Ok(replayed(status, &answer)),
        Repeat::InDoubt => return Err(Refused::InDoubt),
        Repeat::Lost => return Err(Refused::Lost),
        Repeat::Another => return Err(Refused::Another),
        Repeat::TooMany => return Err(Refused::TooMany),
    };
    tokio::spawn(async move {
        let answer = turn.doing(work).await;
        kept(&store, turn, answer).await
    })
    .await?
}

/// Puts an answer on record, and gives it.
async fn kept(store: &Store, turn: Turn, answer: Response) -> Result<Response, Refused> {
    let (parts, body) = answer.into_parts();
    let bytes = to_bytes(body, MAX_ANSWER).await.map_err(Refused::Answer)?;
    let text = String::from_utf8(bytes.to_vec()).ok().map(Zeroizing::new);
    let last = !parts.status.is_server_error() && parts.status != StatusCode::TOO_MANY_REQUESTS;
    let answer = text.filter(|_| last).map(|text| (parts.status.as_u16(), text));
    // Whoever asks again hears what is on record, which is true.
    if let Err(error) = store.end_keyed(turn, answer).await {
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
