//! `/_config/licenses/…`: what apps ask about licences.

use super::Api;
use super::error::Plant;
use super::who::PlantUser;
use crate::enforcement::Asked;
use crate::proof::{Claim, Decision, Nonce};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

/// The header with the proof of an answer.
const PROOF: HeaderName = HeaderName::from_static("sitewarden-proof");
/// The longest app name in a proof, bytes: headers are to stay small.
const MAX_PROVED_APP: usize = 64;

/// The app that `?app=` names.
pub(super) struct AppName(pub(super) String);

#[derive(Deserialize)]
struct ForApp {
    app: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for AppName {
    type Rejection = Plant;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Plant> {
        let query = Query::<ForApp>::try_from_uri(&parts.uri);
        let Query(ForApp { app }) = query.map_err(|_| Plant::bad_request("app: one app can be given, as ?app=NAME"))?;
        app.filter(|app| !app.is_empty()).map(Self).ok_or_else(|| Plant::bad_request("App not given"))
    }
}

/// What `_verify` is asked.
#[derive(Deserialize)]
pub(super) struct Question {
    app: Option<String>,
    nonce: Option<String>,
}

/// Whether the app may be used. The hot path: memory only. The vendor's own people are told what they are. With a nonce
/// the answer, yes or no, carries its proof; a caller who is not known gets none, because nothing was decided.
pub(super) async fn verify(
    PlantUser(user): PlantUser,
    State(api): State<Api>,
    query: Result<Query<Question>, QueryRejection>,
) -> Result<Response, Plant> {
    let Query(Question { app, nonce }) = query.map_err(|_| Plant::bad_request("app, nonce: each can be given once"))?;
    let app = app.filter(|app| !app.is_empty()).ok_or_else(|| Plant::bad_request("App not given"))?;
    let nonce = nonce.map(Nonce::try_from).transpose().map_err(|error| Plant::bad_request(error.to_string()))?;
    if nonce.is_some() && app.len() > MAX_PROVED_APP {
        return Err(Plant::bad_request(format!("app: at most {MAX_PROVED_APP} bytes are proved")));
    }
    let (site, now) = (api.enforcement.state(), api.clock.now());
    let decision = match site.access(&app, now) {
        _ if user.vendor => Decision::AdminUser,
        Ok(license) => Decision::Authorised(license.map(|license| license.id)),
        Err(cause) => {
            api.denials.note(Asked { app: &app, action: "verify", user: &user.name }, &cause);
            Decision::Unauthorised
        }
    };
    let mut answer = match decision {
        // The documented answer says no more; the operator asks `sitewarden-agent explain`.
        Decision::Unauthorised => {
            api.metrics.denied.inc();
            Plant::unauthorised().into_response()
        }
        allowed => {
            api.metrics.allowed.inc();
            Json(allowed.word()).into_response()
        }
    };
    if let Some(nonce) = nonce {
        let snapshot_revision = site.snapshot.version.revision;
        let claim = Claim { app: &app, user: &user.name, nonce: &nonce, decision, snapshot_revision, time: now };
        if let Ok(proof) = HeaderValue::from_str(&api.prover.prove(&claim)) {
            answer.headers_mut().insert(PROOF, proof);
        }
    }
    Ok(answer)
}
