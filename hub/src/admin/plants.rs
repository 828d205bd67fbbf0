//! Plants.

use super::{
    AdminState, Caller,
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
}

pub(super) async fn add(
    caller: Caller,
    State(state): State<AdminState>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<View>), Error> {
    caller.reach(&state.store, Thing::Customer(new.customer)).await?;
    let plant = state.store.add_plant(&caller.act(), &new.name, new.customer).await?;
    Ok((CREATED, Json(plant.into())))
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
) -> Result<Json<View>, Error> {
    caller.reach(&state.store, Thing::Plant(id)).await?;
    Ok(Json(state.store.show_plant(id).await?.into()))
}

impl From<Plant> for View {
    fn from(plant: Plant) -> Self {
        Self { id: plant.id, name: plant.name, customer: plant.customer, created_at: time::text(plant.created_at) }
    }
}
