//! Records, read back.

use super::{
    AdminState, Caller,
    error::Error,
    extract::Parameters,
    page::{Limit, Page},
    time,
};
use crate::store::{RecordFilter, RecordOrder, StoredRecord, Thing};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    record::{Record, kind},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    #[schemars(with = "Option<String>")]
    agent: Option<AgentId>,
    /// A kind's name, or its number.
    kind: Option<String>,
    #[serde(default)]
    order: Order,
    after: Option<String>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Newest,
    Oldest,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    #[schemars(with = "String")]
    agent: AgentId,
    epoch: u64,
    seq: u64,
    at: String,
    received_at: String,
    kind: &'static str,
    kind_number: u16,
    app: Option<String>,
    /// By kind; null for one that this hub cannot read, which is kept as it came.
    body: Value,
}

pub(super) async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let of = match (query.site, query.agent) {
        (Some(site), None) => RecordFilter::Site(site),
        (None, Some(agent)) => RecordFilter::Agent(agent),
        _ => return Err(Error::invalid("site", "give either site or agent")),
    };
    let of_whom = match of {
        RecordFilter::Site(site) => Thing::Site(site),
        RecordFilter::Agent(agent) => Thing::Agent(agent),
    };
    caller.reach(&state.store, of_whom).await?;
    let kind = query.kind.as_deref().map(wanted_kind).transpose()?;
    let after = query.after.map(|text| text.parse()).transpose();
    let after = after.map_err(|error| Error::invalid("after", format!("{error}")))?;
    let order = match query.order {
        Order::Newest => RecordOrder::NewestFirst,
        Order::Oldest => RecordOrder::OldestFirst,
    };
    let page = state.store.list_records(of, kind, order, after, query.limit.rows()).await?;
    let items = page.records.into_iter().map(View::from).collect();
    Ok(Json(Page { items, next: page.next.map(|cursor| cursor.to_string()) }))
}

fn wanted_kind(text: &str) -> Result<u16, Error> {
    let kind = kind::by_name(text).or_else(|| text.parse().ok());
    kind.ok_or_else(|| Error::invalid("kind", "kind must be a kind of record, such as event, or its number"))
}

impl From<StoredRecord> for View {
    fn from(stored: StoredRecord) -> Self {
        let record = Record { at: stored.at, kind: stored.kind, body: stored.body };
        Self {
            agent: stored.agent,
            epoch: stored.epoch,
            seq: stored.seq,
            at: time::text(stored.at),
            received_at: time::text(stored.received_at),
            kind: kind::name(stored.kind),
            kind_number: stored.kind,
            app: stored.app,
            body: record.decode_body().map_or(Value::Null, |body| body.shown()),
        }
    }
}
