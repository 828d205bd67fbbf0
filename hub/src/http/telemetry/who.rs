//! Who calls. A handler that takes a [`Caller`] first refuses strangers before anything else.

use super::Error;
use crate::http::{Parts, address, api, basic::Refused};
use crate::store::Scope;
use axum::{
    extract::FromRequestParts,
    http::{header::AUTHORIZATION, request},
};

/// What the caller may see. Any user, or any program with a key for the API: every role may look.
pub(super) struct Caller(pub(super) Scope);

impl FromRequestParts<Parts> for Caller {
    type Rejection = Error;

    async fn from_request_parts(request: &mut request::Parts, parts: &Parts) -> Result<Self, Error> {
        let basic = request.headers.get(AUTHORIZATION).filter(|header| is_basic(header.as_bytes()));
        let Some(header) = basic else {
            let caller = api::Caller::from_request_parts(request, parts).await;
            return caller.map(|caller| Self(caller.scope())).map_err(Error::or_basic);
        };
        let address = address::client(&request.extensions);
        match parts.plant.basic.authenticate(header.as_bytes(), address).await {
            Ok(user) => Ok(Self(user.scope)),
            Err(Refused::Wrong) => Err(Error::unauthorised().or_basic()),
            Err(Refused::Wait(how_long)) => Err(Error::wait(how_long)),
            Err(Refused::Busy) => Err(Error::busy()),
            Err(Refused::Store(error)) => Err(error.into()),
        }
    }
}

fn is_basic(header: &[u8]) -> bool {
    header.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
}
