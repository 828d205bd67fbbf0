//! `GET /_config/licenses/{id}` and `GET /_config/licenses/_list`: this site's licences, from memory.
//!
//! What is shown is in `protocol::license::shown`. Decided for the agent: `license_key` has the key's last characters only
//! (`…WXYZ`), because an agent has no keys, and who may look at it must not get at one through it; other plants and sites
//! than its own are not known; what runs is counted live.

use super::Api;
use super::error::Plant;
use super::who::Technician;
use crate::enforcement::State as Site;
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use sitewarden_protocol::id::{LicenseId, PlantId, SiteId};
use sitewarden_protocol::license::License;
use sitewarden_protocol::license::shown::{Place, Shown, newest};
use sitewarden_protocol::time::UnixMillis;

#[derive(Deserialize)]
pub(super) struct Asked {
    site_id: Option<String>,
    plant_id: Option<String>,
}

pub(super) async fn show(
    _user: Technician,
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Shown>, Plant> {
    let no_data = || Plant::bad_request("Data not found");
    let id: LicenseId = path.ok().and_then(|Path(text)| text.parse().ok()).ok_or_else(no_data)?;
    let site = api.enforcement.state();
    let license = site.licenses.iter().find(|license| license.id == id).ok_or_else(no_data)?;
    Ok(Json(shown(&site, license, api.clock.now())))
}

pub(super) async fn list(
    _user: Technician,
    State(api): State<Api>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Vec<Shown>>, Plant> {
    let insufficient = || Plant::bad_request("Insufficient inputs");
    let Query(asked) = query.map_err(|_| insufficient())?;
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty()).ok_or_else(insufficient);
    let (site_id, plant_id) = (given(asked.site_id)?, given(asked.plant_id)?);
    let (site, now) = (api.enforcement.state(), api.clock.now());
    let ours = site_id.trim().parse::<SiteId>().is_ok_and(|id| id == site.snapshot.site)
        && plant_id.trim().parse::<PlantId>().is_ok_and(|id| id == site.snapshot.plant);
    if !ours {
        return Err(Plant::bad_request("Plant id or Site id not found"));
    }
    Ok(Json(site.licenses.iter().map(|license| shown(&site, license, now)).collect()))
}

fn shown(site: &Site, license: &License, now: UnixMillis) -> Shown {
    let snapshot = &site.snapshot;
    let place = Place {
        site: snapshot.site,
        site_name: &snapshot.site_name,
        plant: snapshot.plant,
        plant_name: &snapshot.plant_name,
    };
    let latest = newest(&site.licenses, &license.app).is_some_and(|newest| newest.id == license.id);
    let used = latest.then(|| site.used(&license.app).in_use);
    Shown::of(license.clone(), &place, license.key_hint.clone(), used, now)
}
