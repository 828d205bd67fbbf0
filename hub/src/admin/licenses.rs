//! Licences, as the licence-server document has them, and what is ours beside it. One resource for users, programs and the
//! command line.
//!
//! Decided where the document is silent: fields that are not known are ignored; a date without a time is its first moment in
//! UTC, so that `valid_until` is the first day that is not covered any more; `status` is one of active, inactive, expired and
//! revoked, and `state` says it in our own words; who may only look sees the end of a key. Licences are the vendor's to sell:
//! whoever is limited to a customer or a site may look, and nothing else.

mod body;
pub(super) mod explain;
pub(super) mod history;
mod view;

pub(super) use body::Given;
pub(super) use explain::explain;
pub(super) use history::history;
pub(super) use view::activation as activation_view;

use super::{
    AdminState, Caller,
    edition::Tagged,
    error::Error,
    extract::{Body, CREATED, Id, Parameters},
    page::Numbered,
};
use crate::store::{LicenseEdit, LicenseFilter, LicenseSelector, LicenseStanding};
use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sitewarden_protocol::{id::SiteId, license::Status};
use std::str::FromStr;

/// What may be asked for beside the page. (Numbers as texts: they are refused by name.)
#[derive(Debug, Deserialize)]
pub(super) struct Query {
    /// active, inactive, expired or revoked.
    status: Option<String>,
    customer_id: Option<String>,
    /// Ours: of one site.
    site: Option<SiteId>,
    /// Ours: the one with this key.
    license_key: Option<String>,
    /// Ours: those with higher numbers, for who reads them all.
    after: Option<String>,
}

/// A number or a UUID.
pub(super) struct Selector(pub(super) LicenseSelector);

pub(super) async fn issue(
    caller: Caller,
    State(state): State<AdminState>,
    Body(given): Body<Given>,
) -> Result<(StatusCode, Tagged<Value>), Error> {
    let act = caller.act();
    let issued = state.store.issue_license(&act, given.new_license(act.at)?).await?;
    let mut shown = view::license(&issued.license, Some(&issued.key), act.at);
    shown["message"] = json!("License created successfully");
    Ok((CREATED, Tagged(issued.license.revision.into(), shown)))
}

pub(super) async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    numbered: Numbered,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Value>, Error> {
    let (now, filter) = (crate::wall_clock(), query.filter(&caller)?);
    let page = state.store.license_page(filter, numbered.offset(), numbered.rows()).await?;
    let shown: Vec<_> = page.licenses.iter().map(|one| view::listed(one, caller.sees_keys(), now)).collect();
    Ok(numbered.answer("licenses", shown, page.total))
}

pub(super) async fn show(
    caller: Caller,
    State(state): State<AdminState>,
    Id(which): Id<Selector>,
) -> Result<Tagged<Value>, Error> {
    let detail = state.store.license_detail(caller.scope(), which.0).await?;
    let revision = detail.listed.issued.license.revision.into();
    Ok(Tagged(revision, view::detail(&detail, caller.sees_keys(), crate::wall_clock())))
}

pub(super) async fn edit(
    caller: Caller,
    State(state): State<AdminState>,
    Id(which): Id<Selector>,
    Body(given): Body<Given>,
) -> Result<Tagged<Value>, Error> {
    change(&caller, &state, which.0, given.edit()?).await
}

/// What a licence was stays on the books: to delete it is to withdraw it for good.
pub(super) async fn revoke(
    caller: Caller,
    State(state): State<AdminState>,
    Id(which): Id<Selector>,
) -> Result<Tagged<Value>, Error> {
    let withdrawn = LicenseEdit { status: Some(Status::Invalid), ..LicenseEdit::default() };
    let mut revoked = change(&caller, &state, which.0, withdrawn).await?;
    revoked.1["message"] = json!("License revoked successfully");
    Ok(revoked)
}

async fn change(
    caller: &Caller,
    state: &AdminState,
    which: LicenseSelector,
    edit: LicenseEdit,
) -> Result<Tagged<Value>, Error> {
    let act = caller.act();
    let license = state.store.edit_license(&act, which, edit).await??;
    Ok(Tagged(license.revision.into(), view::license(&license, None, act.at)))
}

impl Query {
    fn filter(self, caller: &Caller) -> Result<LicenseFilter, Error> {
        let standing = |name: &String| {
            let allowed = "status must be active, inactive, expired or revoked";
            LicenseStanding::by_name(name).ok_or_else(|| Error::invalid("status", allowed))
        };
        Ok(LicenseFilter {
            scope: caller.scope(),
            customer: number("customer_id", self.customer_id.as_deref())?,
            site: self.site,
            standing: self.status.as_ref().map(standing).transpose()?,
            // A key is what is looked for, not what is learned: whoever may not see keys may not try them either.
            key: self.license_key.filter(|_| caller.sees_keys()),
            after: number("after", self.after.as_deref())?,
        })
    }
}

/// A number among the parameters.
pub(super) fn number(field: &str, text: Option<&str>) -> Result<Option<i64>, Error> {
    let wrong = |_| Error::invalid(field, format!("{field} must be a number"));
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

impl FromStr for Selector {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.parse().map(LicenseSelector::Number);
        number.or_else(|_| text.parse().map(LicenseSelector::Uuid)).map(Self).map_err(|_| ())
    }
}
