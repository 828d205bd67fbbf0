//! Invitations: one-time tokens that bring agents to the hub.

use super::{
    AdminState, Caller,
    error::Error,
    extract::{Body, CREATED},
    time,
};
use crate::store::{NewEnrolment, Thing};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_certs::token::{EnrolmentToken, secret_digest};
use sitewarden_protocol::id::SiteId;
use std::time::Duration;

/// A week: long enough for a technician's visit.
const DEFAULT_SECONDS: u64 = 7 * 86_400;
/// A year: a token that is good for longer is one that is forgotten.
const MAX_SECONDS: u64 = 365 * 86_400;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    #[schemars(with = "String")]
    site: SiteId,
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
    expires: String,
}

pub(super) async fn invite(
    caller: Caller,
    State(state): State<AdminState>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<View>), Error> {
    caller.reach(&state.store, Thing::Site(new.site)).await?;
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
    let token = EnrolmentToken::generate(hub, state.invite.authorities.serving().fingerprint(), new.site, expires);
    let token = token.map_err(|error| Error::internal(&error))?;
    let enrolment =
        NewEnrolment { token: token.id, secret_digest: secret_digest(&token.secret), site: new.site, expires };
    state.store.add_enrolment(&act, enrolment).await?;
    Ok((CREATED, Json(View { token: token.encode(), site: new.site, expires: time::text(expires) })))
}
