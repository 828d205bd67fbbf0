//! Requests become values that cannot be wrong; what cannot be taken is refused with the name of the field.

use super::error::Error;
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
    response::IntoResponse,
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::str::FromStr;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).map(str::trim);
        if !media_type.is_some_and(|value| value.eq_ignore_ascii_case("application/json")) {
            return Err(Error::media_type());
        }
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| Error::body(rejection.into_response().status()))?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| refused(&error))?;
        json.end().map_err(|error| Error::invalid(".", error.to_string()))?;
        Ok(Self(value))
    }
}

/// Only what the request itself has got is in the message: the name of a field, and what was expected there.
fn refused(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let (field, message) = (error.path().to_string(), error.inner().to_string());
    let message = if field == "." { message } else { format!("{field}: {message}") };
    Error::invalid(&field, message)
}

/// The part of a URL behind the question mark.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|rejection| Error::invalid("query", rejection.body_text()))
    }
}

/// The id in a path.
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = text.map_err(|rejection| Error::body(rejection.status()))?;
        let wrong = || Error::invalid("id", format!("{:?} is no id of this kind", shortened(&text)));
        text.parse().map(Self).map_err(|_| wrong())
    }
}

/// The status of something that was made.
pub(crate) const CREATED: StatusCode = StatusCode::CREATED;

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Tells null from nothing.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
