//! `/api/v1/auth/…`: users log in, stay logged in, and log out.

use super::{Access, Caller, Error, Needs, Routes, caller::Who, extract::Body};
use crate::http::address;
use crate::store::{Begun, Refresh, Role, Scope, Store};
use axum::{
    Json,
    extract::{FromRef, State},
    http::{Extensions, HeaderName, header::CACHE_CONTROL},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sitewarden_protocol::{id::SiteId, login::token::ACCESS_LIFE};
use std::sync::Arc;
use zeroize::Zeroizing;

/// All routes below `/api/v1/auth`.
pub(crate) fn routes<S>(access: &Arc<Access>) -> Routes<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Access>: FromRef<S>,
    Store: FromRef<S>,
{
    Routes::new(access)
        .post_public("/login", login)
        .post_public("/refresh", refresh)
        .post("/logout", Needs::LOOK, logout)
        .get("/me", Needs::LOOK, me)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    username: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refreshing {
    refresh_token: String,
}

/// Two secrets, this once.
#[derive(Serialize)]
struct Tokens {
    access_token: String,
    token_type: &'static str,
    /// Seconds that the access token is good for.
    expires_in: u64,
    refresh_token: String,
    user: Me,
}

#[derive(Debug, Serialize)]
struct Me {
    /// `user`, `api_key` or `local`.
    kind: &'static str,
    name: String,
    role: Role,
    /// The customer, and the site, that he is limited to.
    customer: Option<i64>,
    site: Option<SiteId>,
}

/// No cache keeps it.
type Answer = ([(HeaderName, &'static str); 1], Json<Tokens>);

async fn login(
    State(access): State<Arc<Access>>,
    extensions: Extensions,
    Body(login): Body<Login>,
) -> Result<Answer, Error> {
    let password = Zeroizing::new(login.password);
    let user = access.log_in(login.username, password, address::client(&extensions)).await?;
    let now = crate::wall_clock();
    let begun = access.store().begin_session(user, now).await?.ok_or_else(Error::wrong_password)?;
    Ok(answer(&access, begun))
}

async fn refresh(State(access): State<Arc<Access>>, Body(token): Body<Refreshing>) -> Result<Answer, Error> {
    let token = Zeroizing::new(token.refresh_token);
    match access.store().refresh_session(&token, crate::wall_clock()).await? {
        Refresh::Done(begun) => Ok(answer(&access, begun)),
        Refresh::Reused => {
            tracing::warn!("a refresh token was used twice; its session has ended");
            Err(Error::unauthorised())
        }
        Refresh::Unknown => Err(Error::unauthorised()),
    }
}

async fn logout(caller: Caller, State(store): State<Store>) -> Result<Json<Value>, Error> {
    let Who::User { session, .. } = caller.who() else {
        return Err(Error::invalid(
            "authorization",
            "only a user who logged in can log out; revoke an API key instead",
        ));
    };
    store.end_session(*session).await?;
    Ok(Json(json!({ "message": "Logged out" })))
}

async fn me(caller: Caller) -> Json<Me> {
    let (kind, name) = match caller.who() {
        Who::Local => ("local", "local administrator".to_owned()),
        Who::User { name, .. } => ("user", name.clone()),
        Who::Key { name, .. } => ("api_key", name.clone()),
    };
    Json(Me::of(kind, name, caller.role(), caller.scope()))
}

fn answer(access: &Access, begun: Begun) -> Answer {
    let access_token = access.token(&begun, crate::wall_clock());
    let Begun { user, refresh, .. } = begun;
    let tokens = Tokens {
        access_token,
        token_type: "Bearer",
        expires_in: ACCESS_LIFE.as_secs(),
        refresh_token: refresh.to_string(),
        user: Me::of("user", user.name, user.role, user.scope),
    };
    ([(CACHE_CONTROL, "no-store")], Json(tokens))
}

impl Me {
    const fn of(kind: &'static str, name: String, role: Role, scope: Scope) -> Self {
        Self { kind, name, role, customer: scope.customer, site: scope.site }
    }
}
