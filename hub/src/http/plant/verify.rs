//! `GET /_config/licenses/_verify`: whether the caller may use an app.
//!
//! Decided where the document is silent: an administrator of the vendor is `Admin user`. For anybody else the licences that
//! he may see decide, by the rule that agents use and from what their agents last said, as `_explain` tells it: of several
//! sites one is enough.
//! Whoever is limited to nothing has no site, and is Authorised for LM only.

use super::{Plant, error::Error, who::Caller};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::Deserialize;
use sitewarden_protocol::license::LICENSE_MANAGEMENT;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
pub(super) struct For {
    app: Option<String>,
}

pub(super) async fn verify(
    caller: Caller,
    State(plant): State<Arc<Plant>>,
    query: Result<Query<For>, QueryRejection>,
) -> Result<Json<&'static str>, Error> {
    let app = query.ok().and_then(|Query(query)| query.app).filter(|app| !app.trim().is_empty());
    let app = app.ok_or_else(Error::no_app)?;
    if caller.is_vendor() {
        return Ok(Json("Admin user"));
    }
    if app == LICENSE_MANAGEMENT {
        return Ok(Json("Authorised"));
    }
    if caller.0.scope.is_unlimited() {
        return Err(Error::unauthorised());
    }
    let fresh_days = plant.settings.now().fresh_days;
    let allowed = plant.store.may_use(caller.0.scope, app, crate::wall_clock(), fresh_days).await?;
    if allowed { Ok(Json("Authorised")) } else { Err(Error::unauthorised()) }
}
