//! `/api/institutions`.

use super::{Body, CREATED, Caller, Error, Id, Numbered, Parameters, Store, Tagged, span, time};
use crate::store::{Customer, Institution, InstitutionEdit, InstitutionFilter, NewInstitution, Part};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
pub(in crate::admin) struct Asked {
    search: Option<String>,
    tags: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(in crate::admin) struct New {
    name: String,
    #[serde(rename = "type", default)]
    kind: Option<String>,
    address: Option<String>,
    tags: Option<Vec<String>>,
    metadata: Option<Map<String, Value>>,
}

/// What is not given stays as it is.
#[derive(Deserialize, JsonSchema)]
pub(in crate::admin) struct Edit {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    address: Option<String>,
    tags: Option<Vec<String>>,
    metadata: Option<Map<String, Value>>,
}

/// What the customer gets in place of the institution's name and its primary contact's address.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Convert {
    name: Option<String>,
    email: Option<String>,
}

/// An institution.
#[derive(Serialize, JsonSchema)]
pub(in crate::admin) struct View {
    id: i64,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    address: String,
    tags: Vec<String>,
    metadata: Map<String, Value>,
    /// The customer that it has become; null while it is a lead.
    customer_id: Option<i64>,
    created_at: String,
    updated_at: String,
    /// Grows with every edition.
    revision: i64,
}

/// The customer that an institution has become.
#[derive(Serialize, JsonSchema)]
pub(in crate::admin) struct Became {
    /// The customer's.
    id: i64,
    name: String,
    email: Option<String>,
    institution_id: i64,
    created_at: String,
}

pub(in crate::admin) async fn list(
    State(store): State<Store>,
    page: Numbered,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Value>, Error> {
    let given = |text: &&str| !text.trim().is_empty();
    let tags = asked.tags.as_deref().unwrap_or_default().split(',').filter(given).map(str::to_owned).collect();
    let filter = InstitutionFilter { search: asked.search.filter(|text| given(&text.as_str())), tags };
    let Part { items, total } = store.list_institutions(filter, span(page)).await?;
    Ok(page.answer("institutions", items.into_iter().map(View::from).collect::<Vec<_>>(), total))
}

pub(in crate::admin) async fn add(
    caller: Caller,
    State(store): State<Store>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Tagged<View>), Error> {
    let new = NewInstitution {
        name: new.name,
        kind: new.kind.unwrap_or_default(),
        address: new.address.unwrap_or_default(),
        tags: new.tags.unwrap_or_default(),
        metadata: new.metadata.unwrap_or_default(),
    };
    Ok((CREATED, View::tagged(store.add_institution(&caller.act(), new).await?)))
}

pub(in crate::admin) async fn show(State(store): State<Store>, Id(id): Id<i64>) -> Result<Tagged<View>, Error> {
    Ok(View::tagged(store.show_institution(id).await?))
}

pub(in crate::admin) async fn edit(
    caller: Caller,
    State(store): State<Store>,
    Id(id): Id<i64>,
    Body(edit): Body<Edit>,
) -> Result<Tagged<View>, Error> {
    let Edit { name, kind, address, tags, metadata } = edit;
    let edit = InstitutionEdit { name, kind, address, tags, metadata };
    Ok(View::tagged(store.edit_institution(&caller.act(), id, edit).await??))
}

pub(in crate::admin) async fn remove(
    caller: Caller,
    State(store): State<Store>,
    Id(id): Id<i64>,
) -> Result<Json<Value>, Error> {
    store.remove_institution(&caller.act(), id).await??;
    Ok(Json(json!({ "id": id, "message": "Institution deleted successfully" })))
}

pub(in crate::admin) async fn convert(
    caller: Caller,
    State(store): State<Store>,
    Id(id): Id<i64>,
    Body(convert): Body<Convert>,
) -> Result<(StatusCode, Json<Became>), Error> {
    let customer = store.convert_institution(&caller.act(), id, convert.name, convert.email).await??;
    Ok((CREATED, Json(Became::of(customer, id))))
}

impl View {
    fn tagged(institution: Institution) -> Tagged<Self> {
        Tagged(institution.revision, institution.into())
    }
}

impl From<Institution> for View {
    fn from(institution: Institution) -> Self {
        Self {
            id: institution.id,
            name: institution.name,
            kind: institution.kind,
            address: institution.address,
            tags: institution.tags,
            metadata: institution.metadata,
            customer_id: institution.customer,
            created_at: time::text(institution.created_at),
            updated_at: time::text(institution.updated_at),
            revision: institution.revision,
        }
    }
}

impl Became {
    fn of(customer: Customer, institution: i64) -> Self {
        Self {
            id: customer.id,
            name: customer.name,
            email: customer.email,
            institution_id: institution,
            created_at: time::text(customer.created_at),
        }
    }
}
