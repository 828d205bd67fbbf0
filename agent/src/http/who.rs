//! Who calls: Basic authentication, checked before anything else of a request.

use super::Api;
use super::error::{Detail, Plant};
use crate::users::{Role, User};
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use std::sync::Arc;

/// A user, where errors are in the plant licence API's dialect.
pub(super) struct PlantUser(
    #[expect(dead_code, reason = "every role may do what the routes so far do")] pub(super) Arc<User>,
);

/// A user who may change licences: an app may not.
pub(super) struct Technician(pub(super) Arc<User>);

/// A user, where errors are in the telemetry API's dialect.
pub(super) struct TelemetryUser(#[expect(dead_code, reason = "every role may report events")] pub(super) Arc<User>);

async fn authenticate(parts: &Parts, api: &Api) -> Option<Arc<User>> {
    let user = match parts.headers.get(AUTHORIZATION) {
        Some(header) => api.users.authenticate(header.as_bytes()).await,
        None => None,
    };
    if user.is_none() {
        api.metrics.unauthorised.inc();
    }
    user
}

impl FromRequestParts<Api> for PlantUser {
    type Rejection = Plant;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Plant> {
        authenticate(parts, api).await.map(Self).ok_or_else(Plant::unauthorised)
    }
}

impl FromRequestParts<Api> for TelemetryUser {
    type Rejection = Detail;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Detail> {
        let user = authenticate(parts, api).await.map(Self);
        user.ok_or_else(|| Detail(StatusCode::UNAUTHORIZED, "Unauthorised".to_owned()))
    }
}

impl FromRequestParts<Api> for Technician {
    type Rejection = Plant;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Plant> {
        // The document has one word for all who may not, whether they are known or not.
        let user = authenticate(parts, api).await.filter(|user| user.role >= Role::Operator);
        user.map(Self).ok_or_else(Plant::unauthorised)
    }
}
