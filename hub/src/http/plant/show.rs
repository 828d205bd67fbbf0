//! `GET /_config/licenses/{id}` and `GET /_config/licenses/_list`.
//!
//! What is shown of a licence is in `protocol::license::shown`. Decided where the document is silent: a viewer does not see
//! keys.

use super::{Plant, error::Error, license_id, who::Caller};
use crate::http::api::edition::Tagged;
use crate::store::{self, SeenLicense};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
};
use serde::Deserialize;
use sitewarden_protocol::license::shown::{self, Shown};
use std::sync::Arc;

#[derive(Debug, Deserialize)]
pub(super) struct Place {
    site_id: Option<String>,
    plant_id: Option<String>,
}

pub(super) async fn show(
    caller: Caller,
    State(plant): State<Arc<Plant>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Tagged<Shown>, Error> {
    let id = license_id(path).ok_or_else(Error::no_data)?;
    match plant.store.seen_license(caller.0.scope, id).await {
        Ok(license) => Ok(Tagged(license.license.revision.into(), shown(license, &caller))),
        Err(store::Error::NotFound { .. }) => Err(Error::no_data()),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn list(
    caller: Caller,
    State(plant): State<Arc<Plant>>,
    query: Result<Query<Place>, QueryRejection>,
) -> Result<Json<Vec<Shown>>, Error> {
    let Query(place) = query.map_err(|_| Error::insufficient())?;
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty()).ok_or_else(Error::insufficient);
    let (site, of_plant) = (given(place.site_id)?, given(place.plant_id)?);
    let (Ok(site), Ok(of_plant)) = (site.trim().parse(), of_plant.trim().parse()) else {
        return Err(Error::place());
    };
    match plant.store.seen_licenses(caller.0.scope, of_plant, site).await {
        Ok(licenses) => Ok(Json(licenses.into_iter().map(|license| shown(license, &caller)).collect())),
        Err(store::Error::NotFound { .. }) => Err(Error::place()),
        Err(error) => Err(error.into()),
    }
}

fn shown(seen: SeenLicense, caller: &Caller) -> Shown {
    let place =
        shown::Place { site: seen.site, site_name: &seen.site_name, plant: seen.plant, plant_name: &seen.plant_name };
    let key = if caller.sees_keys() { seen.key } else { String::new() };
    Shown::of(seen.license.into(), &place, key, seen.latest.then_some(seen.used), crate::wall_clock())
}
