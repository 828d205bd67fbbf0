//! Invitations: one-time tokens that bring agents to the hub.

use super::{
    AdminState, Caller,
    error::Error,
    extract::{Body, CREATED},
    time,
};
use crate::store::{NewEnrolment, Store, Thing};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_certs::token::{EnrolmentToken, secret_digest};
use sitewarden_protocol::id::{AgentId, SiteId};
use std::time::Duration;

/// A week: long enough for a technician's visit.
const DEFAULT_SECONDS: u64 = 7 * 86_400;
/// A year: a token that is good for longer is one that is forgotten.
const MAX_SECONDS: u64 = 365 * 86_400;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    /// The site that a new agent will look after; not needed with `agent`.
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    /// An agent that is to be enrolled again: it keeps its id, and has another key from then on.
    #[schemars(with = "Option<String>")]
    agent: Option<AgentId>,
    /// How long the token is good for, seconds; a week if not given.
    valid_for: Option<u64>,
    /// `host:port`, in place of the hub's own setting.
    hub: Option<String>,
}

/// The answer; the token is a secret.
#[derive(Serialize, JsonSchema)]
pub(super) struct View {
    token: String,
    #[schemars(with = "String")]
    site: SiteId,
    /// The agent that it is for; null for a new one.
    #[schemars(with = "Option<String>")]
    agent: Option<AgentId>,
    expires: String,
}

pub(super) async fn invite(
    caller: Caller,
    State(state): State<AdminState>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<View>), Error> {
    let site = place(&caller, &state.store, &new).await?;
    let act = caller.act();
    let seconds = new.valid_for.unwrap_or(DEFAULT_SECONDS);
    if !(1..=MAX_SECONDS).contains(&seconds) {
        return Err(Error::invalid("valid_for", format!("valid_for must be 1 to {MAX_SECONDS} seconds")));
    }
    let expires = act.at.after(Duration::from_secs(seconds));
    let hub = match new.hub {
        Some(text) => text.parse().map_err(|error| Error::invalid("hub", format!("{error}")))?,
        None => state.invite.hub_host_port,
    };
    let token = EnrolmentToken::generate(hub, state.invite.authorities.serving().fingerprint(), site, expires);
    let token = EnrolmentToken { agent: new.agent, ..token.map_err(|error| Error::internal(&error))? };
    let enrolment =
        NewEnrolment { token: token.id, secret_digest: secret_digest(&token.secret), site, expires, agent: new.agent };
    state.store.add_enrolment(&act, enrolment).await?;
    Ok((CREATED, Json(View { token: token.encode(), site, agent: new.agent, expires: time::text(expires) })))
}

/// The site that the agent looks after, or will, if it is within the caller's reach.
async fn place(caller: &Caller, store: &Store, new: &New) -> Result<SiteId, Error> {
    let site = match (new.agent, new.site) {
        (Some(agent), named) => {
            caller.reach(store, Thing::Agent(agent)).await?;
            let site = store.show_agent(agent).await?.agent.site;
            if named.is_some_and(|named| named != site) {
                return Err(Error::invalid("site", "the agent is of another site; leave site out".to_owned()));
            }
            site
        }
        (None, Some(site)) => site,
        (None, None) => {
            return Err(Error::invalid("site", "name a site, or an agent that is to be enrolled again".to_owned()));
        }
    };
    caller.reach(store, Thing::Site(site)).await?;
    Ok(site)
}
