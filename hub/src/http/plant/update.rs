//! `PUT /_config/licenses/{id}`: a licence is changed.
//!
//! Decided where the document is silent: a field that is not given, or `null`, stays as it is, and none given is too
//! little; an empty name, app, plant, site or validity is refused; a quota of any wrong kind gets the documented text.
//! Ours: with `If-Match` it is changed only if it is as the caller saw it.

use super::{
    Plant, act,
    body::{Fields, quota},
    error::Error,
    license_id,
    who::Vendor,
};
use crate::http::api::edition;
use crate::store::{self, Act, LicenseEdit, LicenseSelector, Store};
use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::HeaderMap,
};
use sitewarden_protocol::license::{Status, Term, Validity};
use std::{str::FromStr, sync::Arc};

const FIELDS: [&str; 8] = [
    "license_name",
    "plant_id",
    "site_id",
    "license_validity",
    "app",
    "license_quota",
    "license_description",
    "status",
];

pub(super) async fn update(
    Vendor(caller): Vendor,
    State(plant): State<Arc<Plant>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<&'static str>, Error> {
    let fields = Fields::of_json(&headers, &body?)?;
    let texts = Texts::read(&fields)?;
    let id = LicenseSelector::Uuid(license_id(path).ok_or_else(Error::no_license)?);
    plant.store.show_license(id).await.map_err(absent)?;
    let edit = texts.checked(&plant.store, &fields).await?;
    let act = Act { seen: edition::seen(&headers), ..act(&caller) };
    plant.store.edit_license(&act, id, edit).await.map_err(absent)??;
    Ok(Json("License updated"))
}

fn absent(error: store::Error) -> Error {
    if matches!(error, store::Error::NotFound { .. }) { Error::no_license() } else { error.into() }
}

/// The fields, of the right types.
struct Texts<'a> {
    name: Option<&'a str>,
    plant: Option<&'a str>,
    site: Option<&'a str>,
    validity: Option<&'a str>,
    app: Option<&'a str>,
    description: Option<&'a str>,
    status: Option<&'a str>,
}

impl<'a> Texts<'a> {
    fn read(fields: &'a Fields) -> Result<Self, Error> {
        if !fields.any(&FIELDS) {
            return Err(Error::insufficient());
        }
        Ok(Self {
            name: fields.text("license_name")?,
            plant: fields.text("plant_id")?,
            site: fields.text("site_id")?,
            validity: fields.text("license_validity")?,
            app: fields.text("app")?,
            description: fields.text("license_description")?,
            status: fields.text("status")?,
        })
    }

    async fn checked(&self, store: &Store, fields: &Fields) -> Result<LicenseEdit, Error> {
        let required = [self.name, self.plant, self.site, self.validity, self.app];
        if required.into_iter().flatten().any(|text| text.trim().is_empty()) {
            return Err(Error::empty());
        }
        let number = fields.value("license_quota");
        let monitors = number.map(|number| quota(number).ok_or_else(Error::quota)).transpose()?;
        let status = match self.status.map(str::trim) {
            None if fields.has("status") => return Err(Error::status_empty()),
            None => None,
            Some("") => return Err(Error::status_empty()),
            Some(name) => Some(Status::by_name(name).ok_or_else(Error::status_unknown)?),
        };
        let validity: Option<Validity> = self.validity.map(read(Error::validity)).transpose()?;
        if let Some(app) = self.app
            && !store.knows_app(app).await?
        {
            return Err(Error::application());
        }
        Ok(LicenseEdit {
            name: self.name.map(str::to_owned),
            description: self.description.map(str::to_owned),
            app: self.app.map(str::to_owned),
            plant: self.plant.map(read(Error::place)).transpose()?,
            site: self.site.map(read(Error::place)).transpose()?,
            term: validity.map(Term::Validity),
            monitors: monitors.map(Some),
            status,
            ..LicenseEdit::default()
        })
    }
}

fn read<T: FromStr>(error: fn() -> Error) -> impl Fn(&str) -> Result<T, Error> {
    move |text| text.parse().map_err(|_| error())
}
