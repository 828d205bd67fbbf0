//! Who calls: a bearer token, checked before anything else of a request. The role counts as it is now, not as it was
//! when the token was given.

use super::super::Api;
use super::super::error::Detail;
use crate::users::Role;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

/// Anybody who is logged in: apps ask what they may do.
pub(super) struct Anybody;

/// An operator or an administrator: may see everything.
pub(super) struct Reader;

/// An administrator: may change everything.
pub(super) struct Administrator;

/// Whoever is logged in, and by which session.
pub(super) struct LoggedIn {
    pub(super) session: String,
    role: Role,
}

impl FromRequestParts<Api> for LoggedIn {
    type Rejection = Detail;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Detail> {
        let refused = |reason: &str| {
            api.metrics.unauthorised.inc();
            Detail(StatusCode::UNAUTHORIZED, reason.to_owned())
        };
        let header = parts.headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        let token = header.and_then(|header| header.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let token = token.ok_or_else(|| refused("Not authenticated"))?;
        let invalid = "Invalid or expired token";
        let login = api.logins.whose(token, api.clock.now()).ok_or_else(|| refused(invalid))?;
        let standing = api.users.standing(&login.user, &api.enforcement.state().snapshot.administrators);
        let (role, _) = standing.filter(|(_, stamp)| *stamp == login.stamp).ok_or_else(|| refused(invalid))?;
        Ok(Self { session: login.session, role })
    }
}

impl FromRequestParts<Api> for Anybody {
    type Rejection = Detail;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Detail> {
        at_least(Role::App, parts, api).await.map(|()| Self)
    }
}

impl FromRequestParts<Api> for Reader {
    type Rejection = Detail;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Detail> {
        at_least(Role::Operator, parts, api).await.map(|()| Self)
    }
}

impl FromRequestParts<Api> for Administrator {
    type Rejection = Detail;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Detail> {
        at_least(Role::Admin, parts, api).await.map(|()| Self)
    }
}

async fn at_least(role: Role, parts: &mut Parts, api: &Api) -> Result<(), Detail> {
    let caller = LoggedIn::from_request_parts(parts, api).await?;
    if caller.role >= role {
        return Ok(());
    }
    let needed = if role == Role::Admin { "an administrator" } else { "an operator or an administrator" };
    Err(Detail(StatusCode::FORBIDDEN, format!("Only {needed} may do this")))
}
