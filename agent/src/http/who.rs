//! Who calls: Basic authentication, checked before anything else of a request.

use super::Api;
use super::error::{Detail, Plant};
use crate::users::{Proof, Role, User};
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A user, where errors are in the plant licence API's dialect.
pub(super) struct PlantUser(pub(super) Arc<User>);

/// A user who may see and change licences: an app may not.
pub(super) struct Technician(pub(super) Arc<User>);

/// A user, where errors are in the telemetry API's dialect.
pub(super) struct TelemetryUser(#[expect(dead_code, reason = "every role may report events")] pub(super) Arc<User>);

/// Whoever asks for what is not there: in the plant licence API he has to be known for any answer, elsewhere not.
pub(super) struct KnownInPlant;

/// A caller is turned away, in the words of a dialect.
#[derive(Debug)]
pub(super) struct TurnedAway<E> {
    error: E,
    retry_after: Option<Duration>,
}

/// A dialect that can turn callers away.
pub(super) trait Dialect: Sized {
    fn error(status: StatusCode, message: &str) -> Self;
}

impl Dialect for Plant {
    fn error(status: StatusCode, message: &str) -> Self {
        Self::message(status, message)
    }
}

impl Dialect for Detail {
    fn error(status: StatusCode, message: &str) -> Self {
        Self(status, message.to_owned())
    }
}

impl<E: Dialect> TurnedAway<E> {
    fn unauthorised() -> Self {
        Self { error: E::error(StatusCode::UNAUTHORIZED, "Unauthorised"), retry_after: None }
    }

    fn wait(how_long: Duration) -> Self {
        let error = E::error(StatusCode::TOO_MANY_REQUESTS, "Too many wrong passwords; try again later");
        Self { error, retry_after: Some(how_long) }
    }
}

impl<E: IntoResponse> IntoResponse for TurnedAway<E> {
    fn into_response(self) -> Response {
        let mut response = self.error.into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Where a request comes from. The address is the connection's: nothing that a caller writes into a header can change
/// whom he slows down.
pub(super) fn address(extensions: &Extensions) -> IpAddr {
    let from = extensions.get::<ConnectInfo<SocketAddr>>();
    from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip().to_canonical())
}

async fn authenticate<E: Dialect>(parts: &Parts, api: &Api) -> Result<Arc<User>, TurnedAway<E>> {
    let from = address(&parts.extensions);
    let proof = match parts.headers.get(AUTHORIZATION) {
        Some(header) => known(api, header.as_bytes(), from).await,
        None => Proof::Unknown,
    };
    let turned_away = match proof {
        Proof::Known(user) => return Ok(user),
        Proof::Unknown => TurnedAway::unauthorised(),
        Proof::Wait(how_long) => TurnedAway::wait(how_long),
    };
    api.metrics.unauthorised.inc();
    Err(turned_away)
}

/// Nothing that every request shares is written to where the credential is remembered.
pub(super) async fn known(api: &Api, header: &[u8], from: IpAddr) -> Proof {
    if let Some(user) = api.users.remembered(header, &api.enforcement.state().snapshot.administrators) {
        return Proof::Known(user);
    }
    let administrators = api.enforcement.state().snapshot.administrators.clone();
    api.users.authenticate(header, from, administrators).await
}

impl FromRequestParts<Api> for PlantUser {
    type Rejection = TurnedAway<Plant>;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        authenticate(parts, api).await.map(Self)
    }
}

impl FromRequestParts<Api> for KnownInPlant {
    type Rejection = TurnedAway<Plant>;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        if parts.uri.path().starts_with("/_config/") {
            authenticate(parts, api).await?;
        }
        Ok(Self)
    }
}

impl FromRequestParts<Api> for TelemetryUser {
    type Rejection = TurnedAway<Detail>;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        authenticate(parts, api).await.map(Self)
    }
}

impl FromRequestParts<Api> for Technician {
    type Rejection = TurnedAway<Plant>;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        // The document has one word for all who may not, whether they are known or not.
        let user = authenticate(parts, api).await?;
        if user.role >= Role::Operator { Ok(Self(user)) } else { Err(TurnedAway::unauthorised()) }
    }
}
