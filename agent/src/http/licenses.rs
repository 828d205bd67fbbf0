//! `/_config/licenses/…`: what apps ask about licences.

use super::Api;
use super::error::Plant;
use super::who::PlantUser;
use crate::clock;
use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct ForApp {
    app: Option<String>,
}

impl ForApp {
    /// The app that was named.
    pub(super) fn named(self) -> Result<String, Plant> {
        self.app.filter(|app| !app.is_empty()).ok_or_else(|| Plant::bad_request("App not given"))
    }
}

/// Whether the app may be used. The hot path: memory only.
pub(super) async fn verify(
    _user: PlantUser,
    State(api): State<Api>,
    Query(query): Query<ForApp>,
) -> Result<Json<&'static str>, Plant> {
    let app = query.named()?;
    match api.enforcement.state().access(&app, clock::now()) {
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
