//! What proves a fork, in a form that another program can check: `tests/proof/fork.py` says how.

use super::{AdminState, Caller, error::Error, extract::Id};
use crate::store::Thing;
use axum::{Json, extract::State};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::Serialize;
use sitewarden_protocol::{batch, id::AgentId, record::Run, signing::PublicKey};

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    format: &'static str,
    #[schemars(with = "String")]
    agent: AgentId,
    #[schemars(with = "String")]
    signing_key: PublicKey,
    /// What the hub has under these numbers.
    stored: Vec<Half>,
    /// What came under the same numbers.
    fork: Half,
}

/// A signed batch; all in base64.
#[derive(Debug, Serialize, JsonSchema)]
struct Half {
    header: String,
    signature: String,
    records: Vec<String>,
}

impl Half {
    fn new<'a>(header: &[u8], signature: &[u8; 64], records: impl Iterator<Item = &'a [u8]>) -> Self {
        let records = records.map(|record| STANDARD.encode(record)).collect();
        Self { header: STANDARD.encode(header), signature: STANDARD.encode(signature), records }
    }
}

pub(super) async fn show(
    caller: Caller,
    State(state): State<AdminState>,
    Id(flag): Id<i64>,
) -> Result<Json<View>, Error> {
    caller.reach(&state.store, Thing::Flag(flag)).await?;
    let evidence = state.store.fork_evidence(flag).await?;
    let (fork, keys) = (evidence.fork, state.sealing.all());
    let opened = tokio::task::spawn_blocking(move || open(&fork, &keys).map(|run| (fork, run))).await;
    let (fork, run) = opened.map_err(|error| Error::internal(&error))?.map_err(|error| Error::internal(&error))?;
    let stored = evidence
        .stored
        .iter()
        .map(|half| Half::new(&half.header, &half.signature.0, half.records.iter().map(Vec::as_slice)));
    Ok(Json(View {
        format: "sitewarden-fork-1",
        agent: evidence.agent,
        signing_key: evidence.signing_key,
        stored: stored.collect(),
        fork: Half::new(&fork.header, &fork.signature.0, run.iter()),
    }))
}

fn open(fork: &batch::Signed, keys: &[sitewarden_protocol::sealing::OpeningKey]) -> Result<Run, batch::Error> {
    fork.open_with(&fork.peek()?, keys)
}
