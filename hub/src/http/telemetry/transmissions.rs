//! `GET transmissions?site=&cursor=&limit=`

use super::{Error, parameters::Parameters, view::time, who::Caller};
use crate::store::{MAX_PAGE, Store, TransmissionRow};
use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::{Value, json};
use sitewarden_protocol::id::SiteId;

const DEFAULT: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    site: SiteId,
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn transmissions(
    Caller(scope): Caller,
    State(store): State<Store>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Value>, Error> {
    let limit = asked.limit.unwrap_or(DEFAULT);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Error::invalid("limit", format!("limit must be 1 to {MAX_PAGE}")));
    }
    let after = asked.cursor.as_deref().map(Store::transmission_cursor).transpose();
    let after = after.map_err(|error| Error::invalid("cursor", error.to_string()))?;
    if !store.covers_site(scope, asked.site).await? {
        return Ok(Json(json!({ "items": [], "next": null })));
    }
    let page = store.list_transmissions(asked.site, after, limit).await?;
    Ok(Json(json!({ "items": page.transmissions.iter().map(view).collect::<Vec<_>>(), "next": page.next })))
}

fn view(row: &TransmissionRow) -> Value {
    let what = &row.what;
    json!({
        "agent": row.agent, "number": what.number, "due_at": time(what.due), "manual": what.manual,
        "started_at": time(what.started), "finished_at": time(row.finished_at), "records": what.records,
        "retries": what.retries, "status": if what.error.is_none() { "success" } else { "failed" },
        "error": what.error,
    })
}
