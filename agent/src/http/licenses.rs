//! `/_config/licenses/…`: what apps ask about licences.

use super::Api;
use super::error::Plant;
use super::who::PlantUser;
use axum::Json;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use serde::Deserialize;

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

/// Whether the app may be used. The hot path: memory only. The vendor's own people are told what they are.
pub(super) async fn verify(
    PlantUser(user): PlantUser,
    State(api): State<Api>,
    AppName(app): AppName,
) -> Result<Json<&'static str>, Plant> {
    if user.vendor {
        return Ok(Json("Admin user"));
    }
    match api.enforcement.state().access(&app, api.clock.now()) {
        Ok(_) => {
            api.metrics.allowed.inc();
            Ok(Json("Authorised"))
        }
        // The documented answer says no more; the operator asks `sitewarden-agent explain`.
        Err(_) => {
            api.metrics.denied.inc();
            Err(Plant::unauthorised())
        }
    }
}
