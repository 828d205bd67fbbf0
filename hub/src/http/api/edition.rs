//! Editions: an answer's `ETag` says which state of a thing it shows, and a change with `If-Match` is made only if the thing
//! is still in that state. Which state it is, is decided in the transaction of the change.
//!
//! The tag is the thing's revision, which grows with every edit. What is only observed of it (when it was last used, how many
//! machines it has) is shown beside that, and moves no tag; so there is no answer "not modified" either.

use axum::{
    Json,
    http::{
        HeaderMap,
        header::{ETAG, IF_MATCH},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// No thing has it: revisions begin with 1.
const NONE: i64 = 0;

/// A thing as it is, with its revision as `ETag`.
pub(crate) struct Tagged<T>(pub(crate) i64, pub(crate) T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(ETAG, format!("\"{}\"", self.0))], Json(self.1)).into_response()
    }
}

/// The revision that a caller saw and wants to change; `None` if he changes whatever there is. What is no tag of ours
/// matches nothing.
pub(crate) fn seen(headers: &HeaderMap) -> Option<i64> {
    let tag = headers.get(IF_MATCH)?.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return None;
    }
    let revision = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok());
    Some(revision.unwrap_or(NONE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_back_and_any_other_matches_nothing() {
        let read = |tag: &str| seen(&HeaderMap::from_iter([(IF_MATCH, tag.parse().unwrap())]));
        assert_eq!(seen(&HeaderMap::new()), None);
        assert_eq!((read("\"3\""), read(" * ")), (Some(3), None));
        for other in ["3", "\"x\"", "W/\"3\"", "\"1\", \"2\"", ""] {
            assert_eq!(read(other), Some(NONE), "{other}");
        }
    }
}
