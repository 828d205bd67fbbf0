//! `/api/institutions/{id}/contacts`.

use super::{Body, CREATED, Caller, Error, Id, Ids, Numbered, Store, Tagged, span, time};
use crate::store::{Contact, ContactEdit, NewContact, Part};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
pub(in crate::admin) struct New {
    name: String,
    email: Option<String>,
    phone: Option<String>,
    position: Option<String>,
    /// Whoever is the primary contact so far steps back.
    is_primary: Option<bool>,
}

/// What is not given stays as it is; an empty text takes away what was there.
#[derive(Deserialize, JsonSchema)]
pub(in crate::admin) struct Edit {
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    position: Option<String>,
    /// Whoever is the primary contact so far steps back.
    is_primary: Option<bool>,
}

/// A person at an institution.
#[derive(Serialize, JsonSchema)]
pub(in crate::admin) struct View {
    id: i64,
    institution_id: i64,
    name: String,
    email: Option<String>,
    phone: Option<String>,
    position: Option<String>,
    /// One at most of an institution's contacts.
    is_primary: bool,
    created_at: String,
    updated_at: String,
    /// Grows with every edition.
    revision: i64,
}

pub(in crate::admin) async fn list(
    State(store): State<Store>,
    Id(institution): Id<i64>,
    page: Numbered,
) -> Result<Json<Value>, Error> {
    let Part { items, total } = store.list_contacts(institution, span(page)).await?;
    Ok(page.answer("contacts", items.into_iter().map(View::from).collect::<Vec<_>>(), total))
}

pub(in crate::admin) async fn add(
    caller: Caller,
    State(store): State<Store>,
    Id(institution): Id<i64>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Tagged<View>), Error> {
    let New { name, email, phone, position, is_primary } = new;
    let new = NewContact { name, email, phone, position, is_primary: is_primary.unwrap_or_default() };
    Ok((CREATED, View::tagged(store.add_contact(&caller.act(), institution, new).await??)))
}

pub(in crate::admin) async fn show(State(store): State<Store>, Ids(ids): Ids) -> Result<Tagged<View>, Error> {
    Ok(View::tagged(store.show_contact(ids.0, ids.1).await?))
}

pub(in crate::admin) async fn edit(
    caller: Caller,
    State(store): State<Store>,
    Ids(ids): Ids,
    Body(edit): Body<Edit>,
) -> Result<Tagged<View>, Error> {
    let Edit { name, email, phone, position, is_primary } = edit;
    let edit = ContactEdit { name, email, phone, position, is_primary };
    Ok(View::tagged(store.edit_contact(&caller.act(), ids, edit).await?))
}

pub(in crate::admin) async fn remove(
    caller: Caller,
    State(store): State<Store>,
    Ids(ids): Ids,
) -> Result<Json<Value>, Error> {
    store.remove_contact(&caller.act(), ids).await?;
    Ok(Json(json!({ "id": ids.1, "message": "Contact deleted successfully" })))
}

impl View {
    fn tagged(contact: Contact) -> Tagged<Self> {
        Tagged(contact.revision, contact.into())
    }
}

impl From<Contact> for View {
    fn from(contact: Contact) -> Self {
        Self {
            id: contact.id,
            institution_id: contact.institution,
            name: contact.name,
            email: contact.email,
            phone: contact.phone,
            position: contact.position,
            is_primary: contact.is_primary,
            created_at: time::text(contact.created_at),
            updated_at: time::text(contact.updated_at),
            revision: contact.revision,
        }
    }
}
