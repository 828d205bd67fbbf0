//! Sites.

use super::{
    AdminState, Caller,
    edition::Tagged,
    error::Error,
    extract::{Body, CREATED, Id, Parameters, given},
    page::{Limit, Page},
    time,
};
use crate::store::{Site, SiteEdit, Thing};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::id::{PlantId, SiteId};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    name: String,
    #[schemars(with = "String")]
    plant: PlantId,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    #[schemars(with = "Option<String>")]
    plant: Option<PlantId>,
    #[schemars(with = "Option<String>")]
    after: Option<SiteId>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    #[schemars(with = "String")]
    id: SiteId,
    name: String,
    #[schemars(with = "String")]
    plant: PlantId,
    /// Grows with every change of the site, and of what it may do.
    revision: u64,
    /// Null is as the hub is set. So too the next.
    fresh_days: Option<u16>,
    override_days: Option<u16>,
    air_gap: bool,
    created_at: String,
}

/// What is to be changed; what is not given stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    name: Option<String>,
    /// Null is as the hub is set. So too the next.
    #[serde(default, deserialize_with = "given")]
    fresh_days: Option<Option<u16>>,
    #[serde(default, deserialize_with = "given")]
    override_days: Option<Option<u16>>,
    air_gap: Option<bool>,
}

pub(super) async fn add(
    caller: Caller,
    State(state): State<AdminState>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Tagged<View>), Error> {
    caller.reach(&state.store, Thing::Plant(new.plant)).await?;
    let site = state.store.add_site(&caller.act(), &new.name, new.plant).await?;
    Ok((CREATED, View::tagged(site)))
}

pub(super) async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let sites = state.store.list_sites(caller.scope(), query.plant, query.after, query.limit.rows()).await?;
    Ok(Json(Page::of(sites, query.limit, |site| site.id.to_string(), View::from)))
}

pub(super) async fn show(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<SiteId>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::Site(id)).await?;
    Ok(View::tagged(state.store.show_site(id).await?))
}

pub(super) async fn edit(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<SiteId>,
    Body(Edit { name, fresh_days, override_days, air_gap }): Body<Edit>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::Site(id)).await?;
    // How long a site may do without the vendor is the vendor's to say.
    if (fresh_days.is_some() || override_days.is_some() || air_gap.is_some()) && !caller.scope().is_unlimited() {
        return Err(Error::limited());
    }
    let edit = SiteEdit { name, fresh_days, override_days, air_gap };
    Ok(View::tagged(state.store.edit_site(&caller.act(), id, edit).await?))
}

impl View {
    fn tagged(site: Site) -> Tagged<Self> {
        Tagged(site.revision.cast_signed(), site.into())
    }
}

impl From<Site> for View {
    fn from(site: Site) -> Self {
        Self {
            id: site.id,
            name: site.name,
            plant: site.plant,
            revision: site.revision,
            fresh_days: site.fresh_days,
            override_days: site.override_days,
            air_gap: site.air_gap,
            created_at: time::text(site.created_at),
        }
    }
}
