//! Logging in and out.

use super::super::Api;
use super::super::error::Detail;
use super::super::who::{address, known};
use super::caller::LoggedIn;
use super::{Body, bad_request, internal, json_body};
use crate::logins::{self, ACCESS_LIFE, Logins, Tokens};
use crate::users::Proof;
use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::http::{Extensions, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use zeroize::Zeroizing;

type Answer = ([(HeaderName, &'static str); 1], Json<Value>);

pub(super) async fn login(State(api): State<Api>, extensions: Extensions, body: Body) -> Result<Answer, Response> {
    let body = json_body(body).map_err(IntoResponse::into_response)?;
    let name = text(&body, "username").map_err(IntoResponse::into_response)?;
    let password = Zeroizing::new(text(&body, "password").map_err(IntoResponse::into_response)?);
    // As in Basic authentication, and by the same way: so one who guesses waits wherever he does it.
    let credential = Zeroizing::new(STANDARD.encode(format!("{name}:{}", password.as_str())));
    let header = Zeroizing::new(format!("Basic {}", credential.as_str()));
    match known(&api, header.as_bytes(), address(&extensions)).await {
        Proof::Known(user) if user.name == name => {
            let standing = api.users.standing(&name, &api.enforcement.state().snapshot.administrators);
            // A user who was removed in this moment has none.
            let stamp = standing.map(|(_, stamp)| stamp).unwrap_or_default();
            let begun = on_disk(&api, move |logins, now| logins.begin(&user.name, stamp, now)).await;
            begun.map(|tokens| answer(&tokens)).map_err(IntoResponse::into_response)
        }
        Proof::Known(_) | Proof::Unknown => {
            api.metrics.unauthorised.inc();
            Err(Detail(StatusCode::UNAUTHORIZED, "Incorrect username or password".to_owned()).into_response())
        }
        Proof::Wait(wait) => {
            api.metrics.unauthorised.inc();
            let refused = Detail(StatusCode::TOO_MANY_REQUESTS, "Too many wrong passwords; try again later".to_owned());
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Err(([(RETRY_AFTER, seconds.to_string())], refused).into_response())
        }
    }
}

pub(super) async fn refresh(State(api): State<Api>, body: Body) -> Result<Answer, Detail> {
    let token = Zeroizing::new(text(&json_body(body)?, "refresh_token")?);
    // Whether the user is still there is looked at whenever the new access token is used.
    let (_, tokens) = on_disk(&api, move |logins, now| logins.refresh(&token, now)).await?;
    Ok(answer(&tokens))
}

pub(super) async fn logout(caller: LoggedIn, State(api): State<Api>) -> Result<Json<Value>, Detail> {
    on_disk(&api, move |logins, _| logins.end(&caller.session)).await?;
    Ok(Json(json!({"status": "success", "message": "Logged out"})))
}

fn answer(tokens: &Tokens) -> Answer {
    let body = json!({
        "access_token": tokens.access,
        "token_type": "bearer",
        "expires_in": ACCESS_LIFE.as_secs(),
        "refresh_token": tokens.refresh.as_str(),
    });
    ([(CACHE_CONTROL, "no-store")], Json(body))
}

fn text(body: &Map<String, Value>, field: &str) -> Result<String, Detail> {
    let text = body.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| bad_request(format!("{field}: a text is needed")))
}

async fn on_disk<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(&Logins, sitewarden_protocol::time::UnixMillis) -> Result<T, logins::Error> + Send + 'static,
) -> Result<T, Detail> {
    let (logins, now) = (Arc::clone(&api.logins), api.clock.now());
    match tokio::task::spawn_blocking(move || work(&logins, now)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error @ logins::Error::Unknown)) => Err(Detail(StatusCode::UNAUTHORIZED, error.to_string())),
        Ok(Err(error)) => Err(internal(&error, "the session could not be stored")),
        Err(_) => Err(Detail(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping".to_owned())),
    }
}
