//! `GET records?site=&plant=&customer=&app=&kind=&group=&from=&to=&flagged=&cursor=&limit=`

use super::{
    Error,
    parameters::{Asked, Parameters},
    view::View,
    who::Caller,
};
use crate::store::{MAX_PAGE, Store};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Serialize;

/// Rows of a page if the request does not say how many.
const DEFAULT: usize = 100;

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Page {
    items: Vec<View>,
    /// What to give as `cursor` to get the next page; null on the last. A page may be short, and still have a next.
    next: Option<String>,
}

pub(super) async fn records(
    Caller(scope): Caller,
    State(store): State<Store>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page>, Error> {
    if asked.format.is_some() {
        return Err(Error::invalid("format", "a format is taken by export only"));
    }
    let limit = asked.limit.unwrap_or(DEFAULT);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Error::invalid("limit", format!("limit must be 1 to {MAX_PAGE}")));
    }
    let after = asked.cursor.as_deref().map(str::parse).transpose();
    let after = after.map_err(|error| Error::invalid("cursor", format!("{error}")))?;
    let page = store.list_telemetry(asked.filter(scope)?, after, limit).await?;
    let next = page.next.map(|cursor| cursor.to_string());
    Ok(Json(Page { items: page.rows.into_iter().map(View::from).collect(), next }))
}
