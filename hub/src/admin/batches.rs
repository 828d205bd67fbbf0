//! Batches that wait: set aside, or one half of a fork.

use super::{
    AdminState, Caller,
    error::Error,
    extract::{Id, Parameters},
    page::{Limit, Page},
    time,
};
use crate::store::{Replayed, WaitingBatch};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::id::AgentId;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    #[schemars(with = "Option<String>")]
    agent: Option<AgentId>,
    /// The list goes from the newest to the oldest.
    after: Option<i64>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    id: i64,
    #[schemars(with = "String")]
    agent: AgentId,
    epoch: u64,
    first: u64,
    last: u64,
    state: String,
    reason: Option<String>,
    received_at: String,
    prev: String,
    head: String,
    bytes: u64,
}

/// What became of a batch that was tried again.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Tried {
    /// `stored` or `waits`.
    outcome: &'static str,
    /// Records that are in now.
    records: Option<u64>,
    /// Why it waits as before.
    reason: Option<String>,
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let waiting = state.store.waiting_batches(query.agent, query.after, query.limit.rows()).await?;
    Ok(Json(Page::of(waiting, query.limit, |batch| batch.id.to_string(), View::from)))
}

pub(super) async fn show(State(state): State<AdminState>, Id(id): Id<i64>) -> Result<Json<View>, Error> {
    Ok(Json(state.store.waiting_batch(id).await?.into()))
}

pub(super) async fn replay(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
) -> Result<Json<Tried>, Error> {
    Ok(Json(state.store.replay_batch(&caller.act(), id, state.sealing.all()).await?.into()))
}

impl From<Replayed> for Tried {
    fn from(replayed: Replayed) -> Self {
        match replayed {
            Replayed::Stored { records } => Self { outcome: "stored", records: Some(records), reason: None },
            Replayed::Waits { reason } => Self { outcome: "waits", records: None, reason: Some(reason) },
        }
    }
}

impl From<WaitingBatch> for View {
    fn from(batch: WaitingBatch) -> Self {
        Self {
            id: batch.id,
            agent: batch.agent,
            epoch: batch.epoch,
            first: batch.first,
            last: batch.last,
            state: batch.state,
            reason: batch.reason,
            received_at: time::text(batch.received_at),
            prev: batch.prev,
            head: batch.head,
            bytes: batch.bytes,
        }
    }
}
