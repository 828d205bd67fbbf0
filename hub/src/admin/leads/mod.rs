//! `/api/institutions…`: leads, as the licence server's document has them. What an edit does not name stays as it is;
//! fields that are not known are ignored.

pub(super) mod contacts;
pub(super) mod institutions;
pub(super) mod notes;

use super::{
    AdminState, Caller,
    error::Error,
    extract::{Body, CREATED, Id, Parameters},
    page::Numbered,
    time,
};
use crate::http::api::{Access, Needs, Routes, edition::Tagged};
use crate::store::{LeadRefusal, Span, Store};
use axum::{
    extract::{FromRequestParts, Path},
    http::{StatusCode, request::Parts},
};
use serde_json::json;
use std::sync::Arc;

/// All routes below `/api/institutions`. Leads are of no customer yet.
pub(super) fn routes(access: &Arc<Access>) -> Routes<AdminState> {
    let (look, change) = (Needs::SURVEY, Needs::WHOLE_HUB);
    Routes::new(access)
        .get("/", look, institutions::list)
        .post("/", change, institutions::add)
        .get("/{id}", look, institutions::show)
        .put("/{id}", change, institutions::edit)
        .delete("/{id}", change, institutions::remove)
        .post("/{id}/convert", change, institutions::convert)
        .get("/{id}/contacts", look, contacts::list)
        .post("/{id}/contacts", change, contacts::add)
        .get("/{id}/contacts/{contact}", look, contacts::show)
        .put("/{id}/contacts/{contact}", change, contacts::edit)
        .delete("/{id}/contacts/{contact}", change, contacts::remove)
        .get("/{id}/notes", look, notes::list)
        .post("/{id}/notes", change, notes::add)
        .get("/{id}/notes/{note}", look, notes::show)
        .put("/{id}/notes/{note}", change, notes::edit)
        .delete("/{id}/notes/{note}", change, notes::remove)
}

impl From<LeadRefusal> for Error {
    fn from(refusal: LeadRefusal) -> Self {
        let (status, code, details) = match refusal {
            LeadRefusal::IsCustomer(customer) => (StatusCode::CONFLICT, "IS_CUSTOMER", json!({ "customer": customer })),
            LeadRefusal::AlreadyCustomer(customer) => {
                (StatusCode::CONFLICT, "ALREADY_CUSTOMER", json!({ "customer": customer }))
            }
            LeadRefusal::TooManyContacts => (StatusCode::CONFLICT, "TOO_MANY_CONTACTS", json!({})),
        };
        Self::new(status, code, refusal.to_string()).with_details(details)
    }
}

fn span(page: Numbered) -> Span {
    Span { skip: usize::try_from(page.offset()).unwrap_or(usize::MAX), take: page.rows() as usize }
}

/// An institution's number, and that of something of it.
pub(in crate::admin) struct Ids((i64, i64));

impl<S: Send + Sync> FromRequestParts<S> for Ids {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let ids = Path::<(i64, i64)>::from_request_parts(parts, state).await;
        ids.map(|Path(ids)| Self(ids)).map_err(|_| Error::invalid("id", "the path must have two numbers"))
    }
}
