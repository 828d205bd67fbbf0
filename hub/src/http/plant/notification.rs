//! `GET /_config/licenses/_notification`: what has expired or is about to. Which, and in which words, is in
//! `protocol::license::notice`.
//!
//! Decided where the document is silent: a user is told of what he may see. One who may see everything, and names neither
//! site nor plant, has no plant to be told of and gets the documented 403 `Admin user`. The echo has what was asked and
//! nothing else. An app that is not known is refused, as where licences are made.

use super::{Plant, error::Error, who::Caller};
use crate::http::Parts;
use crate::store::{self, SiteInForce};
use axum::{
    Json,
    extract::{FromRequestParts, Query, Request, State, rejection::QueryRejection},
};
use sitewarden_protocol::license::notice::{Answer, Asked, Brief, Notice, notices};
use std::{str::FromStr, sync::Arc};

pub(super) async fn notification(
    caller: Caller,
    State(plant): State<Arc<Plant>>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Answer>, Error> {
    let Query(asked) = query.map_err(|_| Error::insufficient())?;
    answer(&caller, &plant, asked).await
}

/// The request whose parameters stand in place of its path.
pub(super) async fn misprinted(parts: &Parts, request: Request, asked: &str) -> Result<Json<Answer>, Error> {
    let (mut head, _) = request.into_parts();
    let caller = Caller::from_request_parts(&mut head, parts).await?;
    let query = format!("/?{asked}").parse().ok().and_then(|uri| Query::try_from_uri(&uri).ok());
    let Query(asked) = query.ok_or_else(Error::insufficient)?;
    answer(&caller, &parts.plant, asked).await
}

async fn answer(caller: &Caller, plant: &Plant, asked: Asked) -> Result<Json<Answer>, Error> {
    let asked = asked.without_blanks();
    if let Some(app) = &asked.app
        && !plant.store.knows_app(app).await?
    {
        return Err(Error::application());
    }
    let (site, of_plant) = (id(asked.site_id.as_deref())?, id(asked.plant_id.as_deref())?);
    if caller.0.scope.is_unlimited() && site.is_none() && of_plant.is_none() {
        return Err(Error::admin_user());
    }
    let sites = plant.store.in_force(caller.0.scope, of_plant, site).await.map_err(|error| match error {
        store::Error::NotFound { .. } => Error::place(),
        error => error.into(),
    })?;
    let now = crate::wall_clock();
    let ahead_days = plant.settings.now().notice_days;
    let told = |site: &SiteInForce| notices(&site.licenses, asked.app.as_deref(), now, ahead_days);
    let notification = if asked.is_nothing() {
        let texts =
            sites.iter().flat_map(|site| told(site).into_iter().filter_map(|one| one.of_plant(&site.plant_name)));
        Brief::of(texts)
    } else {
        Brief::Many(sites.iter().flat_map(told).map(|notice: Notice| notice.dated()).collect())
    };
    Ok(Json(Answer { notification, asked }))
}

fn id<T: FromStr>(text: Option<&str>) -> Result<Option<T>, Error> {
    text.map(|text| text.trim().parse().map_err(|_| Error::place())).transpose()
}
