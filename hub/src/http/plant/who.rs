//! Who calls, and what he may do. A handler that takes a [`Caller`] first refuses strangers before anything else.

use super::{Plant, error::Error};
use crate::http::{Parts, address, basic::Refused};
use crate::store::{Role, User};
use axum::{
    extract::FromRequestParts,
    http::{header::AUTHORIZATION, request},
};
use std::net::IpAddr;

/// Any user, and the address that he calls from.
pub(super) struct Caller(pub(super) User, pub(super) IpAddr);

/// An administrator of the vendor, who is limited to nothing. Others get the 401 that a stranger gets: the document
/// knows no other word for "you may not".
pub(super) struct Vendor(pub(super) Caller);

/// A user who may do more than look.
pub(super) struct Activator(pub(super) Caller);

impl Caller {
    /// Whether this is an administrator of the vendor.
    pub(super) fn is_vendor(&self) -> bool {
        self.0.role == Role::Admin && self.0.scope.is_unlimited()
    }

    /// Whether licence keys are shown to him: a key is all that an activation takes.
    pub(super) fn sees_keys(&self) -> bool {
        self.0.role != Role::Viewer
    }
}

impl FromRequestParts<Parts> for Caller {
    type Rejection = Error;

    async fn from_request_parts(request: &mut request::Parts, parts: &Parts) -> Result<Self, Error> {
        let plant: &Plant = &parts.plant;
        let header = request.headers.get(AUTHORIZATION).ok_or_else(Error::unauthorised)?;
        let address = address::client(&request.extensions);
        match plant.basic.authenticate(header.as_bytes(), address).await {
            Ok(user) => Ok(Self(user, address)),
            Err(Refused::Wrong) => Err(Error::unauthorised()),
            Err(Refused::Wait(how_long)) => Err(Error::wait(how_long)),
            Err(Refused::Busy) => Err(Error::busy()),
            Err(Refused::Store(error)) => Err(error.into()),
        }
    }
}

impl FromRequestParts<Parts> for Vendor {
    type Rejection = Error;

    async fn from_request_parts(request: &mut request::Parts, parts: &Parts) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(request, parts).await?;
        if caller.is_vendor() { Ok(Self(caller)) } else { Err(Error::unauthorised()) }
    }
}

impl FromRequestParts<Parts> for Activator {
    type Rejection = Error;

    async fn from_request_parts(request: &mut request::Parts, parts: &Parts) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(request, parts).await?;
        if caller.0.role == Role::Viewer { Err(Error::unauthorised()) } else { Ok(Self(caller)) }
    }
}
