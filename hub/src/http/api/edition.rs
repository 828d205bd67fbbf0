//! Editions: an answer's `ETag` says which state of a thing it shows, and a change with `If-Match` is made only if the thing
//! is still in that state. Which state it is, is decided in the transaction of the change.

use super::Error;
use axum::{
    Json,
    extract::FromRequestParts,
    http::{
        StatusCode,
        header::{ETAG, IF_MATCH},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// A thing as it is, with its revision as `ETag`.
pub(crate) struct Tagged<T>(pub(crate) i64, pub(crate) T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(ETAG, format!("\"{}\"", self.0))], Json(self.1)).into_response()
    }
}

/// The revision that a caller saw and wants to change; `None` if he changes whatever there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen(pub(crate) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for Seen {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let Some(header) = parts.headers.get(IF_MATCH) else { return Ok(Self(None)) };
        read(header.to_str().unwrap_or_default()).ok_or_else(|| {
            let message = "If-Match must be * or one ETag of this API, such as \"3\"";
            Error::new(StatusCode::PRECONDITION_FAILED, "CHANGED", message)
        })
    }
}

/// What is no tag of ours is none that can match.
fn read(text: &str) -> Option<Seen> {
    let text = text.trim();
    if text == "*" {
        return Some(Seen(None));
    }
    let revision = text.strip_prefix('"')?.strip_suffix('"')?.parse().ok()?;
    Some(Seen(Some(revision)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_back_and_any_other_is_none() {
        assert_eq!(read("\"3\""), Some(Seen(Some(3))));
        assert_eq!(read(" * "), Some(Seen(None)));
        for other in ["3", "\"x\"", "W/\"3\"", "\"1\", \"2\"", ""] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
