//! Customers.

use super::{
    AdminState, Caller,
    edition::Tagged,
    error::Error,
    extract::{Body, CREATED, Id, Parameters, given},
    page::{Limit, Page},
    time,
};
use crate::store::{Customer, Thing};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    name: String,
    email: Option<String>,
}

/// What is to be changed; what is not given stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    name: Option<String>,
    /// Null is none.
    #[serde(default, deserialize_with = "given")]
    email: Option<Option<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    after: Option<i64>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    id: i64,
    name: String,
    email: Option<String>,
    created_at: String,
    /// Grows with every edit.
    revision: i64,
}

pub(super) async fn add(
    caller: Caller,
    State(state): State<AdminState>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Tagged<View>), Error> {
    let customer = state.store.add_customer(&caller.act(), &new.name, new.email.as_deref()).await?;
    Ok((CREATED, View::tagged(customer)))
}

pub(super) async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let customers = state.store.list_customers(caller.scope(), query.after, query.limit.rows()).await?;
    Ok(Json(Page::of(customers, query.limit, |customer| customer.id.to_string(), View::from)))
}

pub(super) async fn show(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::Customer(id)).await?;
    Ok(View::tagged(state.store.show_customer(id).await?))
}

pub(super) async fn edit(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
    Body(edit): Body<Edit>,
) -> Result<Tagged<View>, Error> {
    Ok(View::tagged(state.store.edit_customer(&caller.act(), id, edit.name.as_deref(), edit.email).await?))
}

/// How long raw telemetry is kept, days; null for ever.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retention {
    raw_days: Option<u32>,
}

pub(super) async fn retention(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
) -> Result<Tagged<Retention>, Error> {
    caller.reach(&state.store, Thing::Customer(id)).await?;
    let (raw_days, revision) = state.store.raw_days(id).await?;
    Ok(Tagged(revision, Retention { raw_days }))
}

pub(super) async fn keep(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
    Body(retention): Body<Retention>,
) -> Result<Tagged<Retention>, Error> {
    let revision = state.store.set_raw_days(&caller.act(), id, retention.raw_days).await?;
    Ok(Tagged(revision, retention))
}

impl View {
    fn tagged(customer: Customer) -> Tagged<Self> {
        Tagged(customer.revision, customer.into())
    }
}

impl From<Customer> for View {
    fn from(customer: Customer) -> Self {
        Self {
            id: customer.id,
            name: customer.name,
            email: customer.email,
            created_at: time::text(customer.created_at),
            revision: customer.revision,
        }
    }
}
