//! Agents.

use super::{
    AdminState, Caller,
    edition::Tagged,
    error::Error,
    extract::{Body, Id, Parameters},
    page::{Limit, Page},
    time,
};
use crate::store::{Agent, AgentPage, AgentStatus, EpochState, Revocation, Thing};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::{
    chain::Position,
    id::{AgentId, SiteId},
    message::LiveStatus,
    signing::PublicKey,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    #[schemars(with = "Option<String>")]
    after: Option<AgentId>,
    #[serde(default)]
    limit: Limit,
}

/// How far the trust is withdrawn.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Withdrawal {
    reason: Option<String>,
    /// The first record that is not believed; without it nothing more is taken.
    from: Option<Place>,
}

/// A record's place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    epoch: u64,
    seq: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    #[schemars(with = "String")]
    id: AgentId,
    #[schemars(with = "String")]
    site: SiteId,
    status: AgentStatus,
    hostname: String,
    program: String,
    #[schemars(with = "String")]
    signing_key: PublicKey,
    enrolled_at: String,
    /// Since when it has its present key, if it was enrolled again.
    enrolled_again_at: Option<String>,
    revoked_at: Option<String>,
    revoke_reason: Option<String>,
    /// `epoch:number` of the first record that is not believed any more.
    revoked_from: Option<String>,
    last_seen: Option<String>,
    address: Option<String>,
    records_received: u64,
    records_lost: u64,
    records_dropped: u64,
    /// Grows with every edit; not with what it reports.
    revision: i64,
    /// What it last said of itself; null before its first word.
    live: Option<Live>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs: Option<Vec<Epoch>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Live {
    at: String,
    backlog: u64,
    oldest_unacknowledged: Option<String>,
    journal_bytes: u64,
    snapshot_revision: u64,
    quotas: Vec<Quota>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Quota {
    app: String,
    used: u32,
    permitted: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Epoch {
    epoch: u64,
    through: u64,
    records: u64,
    lost: u64,
    moved: String,
}

pub(super) async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let agents = state.store.list_agents(caller.scope(), query.site, query.after, query.limit.rows()).await?;
    Ok(Json(Page::of(agents, query.limit, |agent| agent.id.to_string(), View::from)))
}

pub(super) async fn show(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<AgentId>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::Agent(id)).await?;
    let AgentPage { agent, epochs } = state.store.show_agent(id).await?;
    let epochs = Some(epochs.into_iter().map(Epoch::from).collect());
    Ok(Tagged(agent.revision, View { epochs, ..View::from(agent) }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    name: String,
}

pub(super) async fn edit(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<AgentId>,
    Body(edit): Body<Edit>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::Agent(id)).await?;
    Ok(View::tagged(state.store.rename_agent(&caller.act(), id, &edit.name).await?))
}

pub(super) async fn revoke(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<AgentId>,
    Body(asked): Body<Withdrawal>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::Agent(id)).await?;
    let from = asked.from.map(|Place { epoch, seq }| Position { epoch, seq });
    let revocation = Revocation { reason: asked.reason, from };
    Ok(View::tagged(state.store.revoke_agent(&caller.act(), id, revocation).await?))
}

/// Why an agent may go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Word {
    note: String,
}

pub(super) async fn clear(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<AgentId>,
    Body(word): Body<Word>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::Agent(id)).await?;
    Ok(View::tagged(state.store.clear_agent(&caller.act(), id, &word.note).await?))
}

impl View {
    fn tagged(agent: Agent) -> Tagged<Self> {
        Tagged(agent.revision, agent.into())
    }
}

impl From<Agent> for View {
    fn from(agent: Agent) -> Self {
        Self {
            id: agent.id,
            site: agent.site,
            status: agent.status,
            hostname: agent.hostname,
            program: agent.program,
            signing_key: agent.signing_key,
            enrolled_at: time::text(agent.enrolled_at),
            enrolled_again_at: agent.enrolled_again_at.map(time::text),
            revoked_at: agent.revoked_at.map(time::text),
            revoke_reason: agent.revoke_reason,
            revoked_from: agent.revoked_from,
            last_seen: agent.last_seen.map(time::text),
            address: agent.address,
            records_received: agent.records_received,
            records_lost: agent.records_lost,
            records_dropped: agent.records_dropped,
            revision: agent.revision,
            live: agent.live.map(Live::from),
            epochs: None,
        }
    }
}

impl From<LiveStatus> for Live {
    fn from(live: LiveStatus) -> Self {
        let quotas = live.quotas.into_iter();
        Self {
            at: time::text(live.at),
            backlog: live.backlog,
            oldest_unacknowledged: live.oldest_unacknowledged.map(time::text),
            journal_bytes: live.journal_bytes,
            snapshot_revision: live.snapshot.revision,
            quotas: quotas
                .map(|quota| Quota { app: quota.app, used: quota.used, permitted: quota.permitted })
                .collect(),
        }
    }
}

impl From<EpochState> for Epoch {
    fn from(state: EpochState) -> Self {
        Self {
            epoch: state.epoch,
            through: state.through,
            records: state.records,
            lost: state.lost,
            moved: time::text(state.moved),
        }
    }
}
