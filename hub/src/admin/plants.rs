//! Plants.

use super::{
    AdminState, Caller,
    edition::Tagged,
    error::Error,
    extract::{Body, CREATED, Id, Parameters},
    page::{Limit, Page},
    time,
};
use crate::store::{Plant, Thing};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::id::PlantId;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    name: String,
    customer: i64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    customer: Option<i64>,
    #[schemars(with = "Option<String>")]
    after: Option<PlantId>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    #[schemars(with = "String")]
    id: PlantId,
    name: String,
    customer: i64,
    created_at: String,
    /// Grows with every edit.
    revision: i64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    name: String,
}

pub(super) async fn add(
    caller: Caller,
    State(state): State<AdminState>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Tagged<View>), Error> {
    caller.reach(&state.store, Thing::Customer(new.customer)).await?;
    let plant = state.store.add_plant(&caller.act(), &new.name, new.customer).await?;
    Ok((CREATED, View::tagged(plant)))
}

pub(super) async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let plants = state.store.list_plants(caller.scope(), query.customer, query.after, query.limit.rows()).await?;
    Ok(Json(Page::of(plants, query.limit, |plant| plant.id.to_string(), View::from)))
}

pub(super) async fn show(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<PlantId>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::Plant(id)).await?;
    Ok(View::tagged(state.store.show_plant(id).await?))
}

pub(super) async fn edit(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<PlantId>,
    Body(edit): Body<Edit>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::Plant(id)).await?;
    Ok(View::tagged(state.store.rename_plant(&caller.act(), id, &edit.name).await?))
}

impl View {
    fn tagged(plant: Plant) -> Tagged<Self> {
        Tagged(plant.revision, plant.into())
    }
}

impl From<Plant> for View {
    fn from(plant: Plant) -> Self {
        Self {
            id: plant.id,
            name: plant.name,
            customer: plant.customer,
            created_at: time::text(plant.created_at),
            revision: plant.revision,
        }
    }
}
