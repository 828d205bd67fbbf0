//! Who calls. A handler that takes a [`Caller`] first refuses strangers before anything else.

use super::error::Error;
use crate::http::{Parts, basic::Refused};
use crate::store::User;
use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{header::AUTHORIZATION, request},
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Any user: every role may look.
pub(super) struct Caller(pub(super) User);

impl FromRequestParts<Parts> for Caller {
    type Rejection = Error;

    async fn from_request_parts(request: &mut request::Parts, parts: &Parts) -> Result<Self, Error> {
        let header = request.headers.get(AUTHORIZATION).ok_or_else(Error::unauthorised)?;
        let address = request.extensions.get::<ConnectInfo<SocketAddr>>();
        let address = address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
        match parts.plant.basic.authenticate(header.as_bytes(), address).await {
            Ok(user) => Ok(Self(user)),
            Err(Refused::Wrong) => Err(Error::unauthorised()),
            Err(Refused::Wait(how_long)) => Err(Error::wait(how_long)),
            Err(Refused::Busy) => Err(Error::busy()),
            Err(Refused::Store(error)) => Err(error.into()),
        }
    }
}
