//! `GET /_config/licenses/_verify`: whether the caller may use an app.
//!
//! Decided where the document is silent: an administrator of the vendor is `Admin user`. For anybody else the licences that
//! he may see decide, by the rule that agents use, with the hub's own word always fresh: of several sites one is enough.
//! Whoever is limited to nothing has no site, and is Authorised for LM only.

use super::{Plant, error::Error, who::Caller};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::Deserialize;
use sitewarden_protocol::{
    license::{Circumstances, LICENSE_MANAGEMENT, Use, access},
    time::UnixMillis,
};
use std::sync::Arc;

const ALWAYS_FRESH: UnixMillis = UnixMillis(i64::MAX);

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
    let now = Circumstances { now: crate::wall_clock(), fresh_until: ALWAYS_FRESH, relieved_until: None };
    let sites = plant.store.in_force(caller.0.scope, None, None).await?;
    let allowed = sites.iter().any(|site| access(&site.licenses, &app, &now, Use::default()).is_ok());
    if allowed { Ok(Json("Authorised")) } else { Err(Error::unauthorised()) }
}
