//! `GET /_config/licenses/{id}` and `GET /_config/licenses/_list`.
//!
//! Decided where the document is silent: what does not apply is `null` (the moments of a licence that was not activated,
//! the quota of one without limit, the validity of one sold with dates); a viewer does not see keys; names of places are in
//! the answer to both.

use super::{Plant, error::Error, license_id, who::Caller};
use crate::store::{self, SeenLicense};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
};
use serde::{Deserialize, Serialize};
use sitewarden_protocol::{
    id::{LicenseId, PlantId, SiteId},
    license::{Term, Validity},
    time::UnixMillis,
};
use std::sync::Arc;

/// Moments are Unix seconds.
#[derive(Debug, Serialize)]
pub(super) struct View {
    license_id: LicenseId,
    license_key: String,
    license_name: String,
    plant_id: PlantId,
    site_id: SiteId,
    created_at: i64,
    activated_at: Option<i64>,
    license_validity: Option<Validity>,
    expiry_date: Option<i64>,
    app: String,
    license_quota: Option<u32>,
    status: &'static str,
    license_description: String,
    latest: bool,
    site_name: String,
    plant_name: String,
    license_used: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Place {
    site_id: Option<String>,
    plant_id: Option<String>,
}

pub(super) async fn show(
    caller: Caller,
    State(plant): State<Arc<Plant>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<View>, Error> {
    let id = license_id(path).ok_or_else(Error::no_data)?;
    match plant.store.seen_license(caller.0.scope, id).await {
        Ok(license) => Ok(Json(View::of(license, &caller))),
        Err(store::Error::NotFound { .. }) => Err(Error::no_data()),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn list(
    caller: Caller,
    State(plant): State<Arc<Plant>>,
    query: Result<Query<Place>, QueryRejection>,
) -> Result<Json<Vec<View>>, Error> {
    let Query(place) = query.map_err(|_| Error::insufficient())?;
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty()).ok_or_else(Error::insufficient);
    let (site, of_plant) = (given(place.site_id)?, given(place.plant_id)?);
    let (Ok(site), Ok(of_plant)) = (site.trim().parse(), of_plant.trim().parse()) else {
        return Err(Error::place());
    };
    match plant.store.seen_licenses(caller.0.scope, of_plant, site).await {
        Ok(licenses) => Ok(Json(licenses.into_iter().map(|license| View::of(license, &caller)).collect())),
        Err(store::Error::NotFound { .. }) => Err(Error::place()),
        Err(error) => Err(error.into()),
    }
}

impl View {
    fn of(seen: SeenLicense, caller: &Caller) -> Self {
        let status = seen.license.status_at(crate::wall_clock()).name();
        let license = seen.license;
        Self {
            license_id: license.uuid,
            license_key: if caller.sees_keys() { seen.key } else { String::new() },
            license_name: license.name,
            plant_id: seen.plant,
            site_id: license.site,
            created_at: license.created_at.seconds(),
            activated_at: license.activated_at.map(UnixMillis::seconds),
            license_validity: match license.term {
                Term::Validity(validity) => Some(validity),
                Term::Dates { .. } | Term::Endless => None,
            },
            expiry_date: license.expires_at.map(UnixMillis::seconds),
            app: license.app,
            license_quota: license.limits.monitors,
            status,
            license_description: license.description,
            latest: seen.latest,
            site_name: seen.site_name,
            plant_name: seen.plant_name,
            license_used: seen.used,
        }
    }
}
