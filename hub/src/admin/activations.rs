//! `GET /activations`: machines under licences, the newest first.

use super::{
    AdminState, Caller,
    error::Error,
    extract::Parameters,
    licenses::{activation_view, number},
    page::Numbered,
    time,
};
use crate::store::{ActivationFilter, UsageOf};
use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub(super) struct Query {
    license_id: Option<String>,
    /// Ours.
    customer_id: Option<String>,
    /// active, or inactive: given back.
    status: Option<String>,
    /// By when they were made: a date, or a time with its zone, of which the hour counts.
    from_date: Option<String>,
    /// With this day.
    to_date: Option<String>,
}

pub(super) async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    numbered: Numbered,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Value>, Error> {
    let page = state.store.activation_page(query.filter(&caller)?, numbered.offset(), numbered.rows()).await?;
    let shown: Vec<_> = page.activations.iter().map(activation_view).collect();
    Ok(numbered.answer("activations", shown, page.total))
}

impl Query {
    fn filter(&self, caller: &Caller) -> Result<ActivationFilter, Error> {
        let active = match self.status.as_deref() {
            None => None,
            Some("active") => Some(true),
            Some("inactive") => Some(false),
            Some(_) => return Err(Error::invalid("status", "status must be active or inactive")),
        };
        let of = UsageOf {
            scope: caller.scope(),
            customer: number("customer_id", self.customer_id.as_deref())?,
            license: number("license_id", self.license_id.as_deref())?,
        };
        let from = self.from_date.as_deref().map(|text| time::date("from_date", text)).transpose()?;
        let to = self.to_date.as_deref().map(|text| time::end_of_date("to_date", text)).transpose()?;
        Ok(ActivationFilter { of, active, from, to })
    }
}
