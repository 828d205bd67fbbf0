//! `GET series?group=&granularity=hour|day|week|month&from=&to=&site=&customer=&flagged=`

use super::{
    Error,
    parameters::{Parameters, moment},
    view::time,
    who::Caller,
};
use crate::store::{Granularity, SeriesPoint, SeriesQuery, Store};
use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::{Value, json};
use sitewarden_protocol::id::SiteId;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    group: String,
    granularity: Option<Span>,
    from: Option<String>,
    to: Option<String>,
    site: Option<SiteId>,
    customer: Option<i64>,
    flagged: Option<bool>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Span {
    Hour,
    Day,
    Week,
    Month,
}

pub(super) async fn series(
    Caller(scope): Caller,
    State(store): State<Store>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Value>, Error> {
    let (granularity, name) = match asked.granularity.unwrap_or(Span::Hour) {
        Span::Hour => (Granularity::Hour, "hour"),
        Span::Day => (Granularity::Day, "day"),
        Span::Week => (Granularity::Week, "week"),
        Span::Month => (Granularity::Month, "month"),
    };
    let query = SeriesQuery {
        scope,
        group: asked.group.clone(),
        granularity,
        from: moment("from", asked.from.as_deref())?,
        to: moment("to", asked.to.as_deref())?,
        customer: asked.customer,
        site: asked.site,
        flagged: asked.flagged,
    };
    let points = store.series(query).await?;
    Ok(Json(json!({
        "group": asked.group, "granularity": name, "points": points.iter().map(point).collect::<Vec<_>>(),
    })))
}

fn point(point: &SeriesPoint) -> Value {
    json!({
        "start": time(point.start), "count": point.count, "sum": point.sum, "min": point.min, "max": point.max,
        "last": point.last, "last_at": time(point.last_at),
    })
}
