//! `POST /_config/licenses`: a new licence.

use super::{
    Plant, act,
    body::{Fields, quota},
    error::Error,
    who::Vendor,
};
use crate::store::{self, Holder, NewLicense, Store};
use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
};
use serde::Serialize;
use sitewarden_protocol::{
    id::{LicenseId, PlantId, SiteId},
    license::{Kind, Limits, Policy, Term, Validity},
};
use std::sync::Arc;

const REQUIRED: [&str; 6] = ["license_name", "plant_id", "site_id", "license_validity", "app", "license_quota"];

#[derive(Debug, Serialize)]
pub(super) struct Made {
    id: LicenseId,
}

pub(super) async fn generate(
    Vendor(caller): Vendor,
    State(plant): State<Arc<Plant>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Made>, Error> {
    let fields = Fields::of_json(&headers, &body?)?;
    let new = checked(&plant.store, &fields).await?;
    let name = new.name.clone();
    match plant.store.issue_license(&act(&caller), new).await {
        Ok(issued) => Ok(Json(Made { id: issued.license.uuid })),
        Err(store::Error::Conflict { .. }) => Err(Error::name_taken(name.trim())),
        Err(error) => Err(error.into()),
    }
}

/// In the documented order: missing, types, validity, app, place.
async fn checked(store: &Store, fields: &Fields) -> Result<NewLicense, Error> {
    fields.require(&REQUIRED)?;
    let text = |name| fields.text(name).map(Option::unwrap_or_default);
    let (name, validity, app) = (text("license_name")?, text("license_validity")?, text("app")?);
    let (plant, site, description) = (text("plant_id")?, text("site_id")?, text("license_description")?);
    let number = fields.value("license_quota").filter(|value| value.is_i64() || value.is_u64());
    let monitors = quota(number.ok_or_else(Error::data_type)?).ok_or_else(Error::quota)?;
    let validity: Validity = validity.parse().map_err(|_| Error::validity())?;
    if !store.knows_app(app).await? {
        return Err(Error::application());
    }
    let (plant, site): (PlantId, SiteId) = match (plant.parse(), site.parse()) {
        (Ok(plant), Ok(site)) => (plant, site),
        _ => return Err(Error::place()),
    };
    match store.show_site(site).await {
        Ok(found) if found.plant == plant => {}
        Ok(_) | Err(store::Error::NotFound { .. }) => return Err(Error::place()),
        Err(error) => return Err(error.into()),
    }
    Ok(NewLicense {
        holder: Holder::Site(site),
        app: app.to_owned(),
        name: name.to_owned(),
        kind: Kind::Subscription,
        term: Term::Validity(validity),
        limits: Limits { monitors: Some(monitors), ..Limits::default() },
        features: Vec::new(),
        policy: Policy::default(),
        thresholds: Vec::new(),
        description: description.to_owned(),
    })
}
