//! The hub's keys: authorities, signing keys, and the keys that agents seal batches to.

use super::{
    AdminState, Caller,
    error::Error,
    extract::{Body, CREATED},
};
use crate::keys::{self, Authorities, SigningKeys};
use crate::store::{KeyChange, Reliance, Store};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sitewarden_protocol::{sealing::OpeningKey, snapshot::SealingKey};
use std::sync::Arc;
use tokio::task::spawn_blocking;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    id: u32,
    /// X25519, in hexadecimal digits.
    public: String,
    /// Whether agents seal to it from now on; the others only open what was sealed before.
    newest: bool,
}

/// An authority or a signing key.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Key {
    kind: &'static str,
    number: u32,
    /// A signing key's public half, an authority's fingerprint, in hexadecimal digits.
    name: String,
    /// What it is used for now.
    state: &'static str,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retirement {
    /// Although somebody still relies on it.
    #[serde(default)]
    force: bool,
}

/// All sealing keys: they are few, and bounded by [`MAX_KEYS`](crate::keys::MAX_KEYS).
pub(super) async fn list(State(state): State<AdminState>) -> Json<Value> {
    let newest = state.sealing.newest().id;
    let items: Vec<_> = state.sealing.all().iter().map(OpeningKey::public).map(|key| View::of(key, newest)).collect();
    Json(json!({ "items": items, "next": null }))
}

/// Makes the next sealing key and has all sites told.
pub(super) async fn rotate(caller: Caller, State(state): State<AdminState>) -> Result<(StatusCode, Json<View>), Error> {
    let sealing = Arc::clone(&state.sealing);
    let key = on_disk(&state.store, move || sealing.rotate()).await?;
    state.store.new_sealing_key(&caller.act(), key).await?;
    Ok((CREATED, Json(View::of(key, key.id))))
}

/// The authorities and signing keys that are in force, by number.
pub(super) async fn list_trusted(State(state): State<AdminState>) -> Json<Value> {
    let mut items = authorities(&state.invite.authorities);
    items.extend(signing_keys(&state.signing));
    Json(json!({ "items": items, "next": null }))
}

/// Makes the next authority and has all sites told; agents get their certificates from it from now on.
pub(super) async fn rotate_authority(
    caller: Caller,
    State(state): State<AdminState>,
) -> Result<(StatusCode, Json<Key>), Error> {
    let authorities = Arc::clone(&state.invite.authorities);
    let made = on_disk(&state.store, move || authorities.rotate(crate::wall_clock())).await?;
    let name = made.authority.fingerprint().to_string();
    let change = KeyChange { action: "authority.make", number: made.number, name: name.clone() };
    state.store.key_changed(&caller.act(), change).await?;
    Ok((CREATED, Json(Key { kind: "authority", number: made.number, name, state: ISSUES })))
}

/// Removes the key of the oldest authority, if nobody relies on it any more.
pub(super) async fn retire_authority(
    caller: Caller,
    State(state): State<AdminState>,
    Body(Retirement { force }): Body<Retirement>,
) -> Result<Json<Key>, Error> {
    let issuer = state.invite.authorities.serving().key_id();
    let reliance = state.store.reliance_on_authority(crate::wall_clock(), issuer).await?;
    allowed(force || state.invite.authorities.all().len() < 2, reliance, "authority")?;
    let authorities = Arc::clone(&state.invite.authorities);
    let gone = on_disk(&state.store, move || authorities.retire()).await?;
    let name = gone.authority.fingerprint().to_string();
    let change = KeyChange { action: "authority.retire", number: gone.number, name: name.clone() };
    state.store.key_changed(&caller.act(), change).await?;
    Ok(Json(Key { kind: "authority", number: gone.number, name, state: RETIRED }))
}

/// Makes the next signing key, announced under the one before, and has all sites told.
pub(super) async fn rotate_signing(
    caller: Caller,
    State(state): State<AdminState>,
) -> Result<(StatusCode, Json<Key>), Error> {
    let signing = Arc::clone(&state.signing);
    let made = on_disk(&state.store, move || signing.rotate(crate::wall_clock())).await?;
    let name = made.key.public().to_string();
    let change = KeyChange { action: "signing_key.make", number: made.number, name: name.clone() };
    state.store.key_changed(&caller.act(), change).await?;
    Ok((CREATED, Json(Key { kind: "signing key", number: made.number, name, state: SIGNS })))
}

/// Removes the oldest signing key, if every agent can follow to the next.
pub(super) async fn retire_signing(
    caller: Caller,
    State(state): State<AdminState>,
    Body(Retirement { force }): Body<Retirement>,
) -> Result<Json<Key>, Error> {
    let reliance = state.store.reliance_on_signing_key().await?;
    allowed(force || state.signing.all().len() < 2, reliance, "signing key")?;
    let signing = Arc::clone(&state.signing);
    let gone = on_disk(&state.store, move || signing.retire()).await?;
    let name = gone.key.public().to_string();
    let change = KeyChange { action: "signing_key.retire", number: gone.number, name: name.clone() };
    state.store.key_changed(&caller.act(), change).await?;
    Ok(Json(Key { kind: "signing key", number: gone.number, name, state: RETIRED }))
}

const ISSUES: &str = "signs agents' certificates";
const SIGNS: &str = "signs";
const RETIRED: &str = "retired";

fn authorities(authorities: &Authorities) -> Vec<Key> {
    let all = authorities.all();
    let newest = all.len().saturating_sub(1);
    let key = |(at, one): (usize, &keys::Authority)| Key {
        kind: "authority",
        number: one.number,
        name: one.authority.fingerprint().to_string(),
        state: match at {
            0 if newest == 0 => "signs the hub's and agents' certificates",
            0 => "signs the hub's certificate; to be retired",
            at if at == newest => ISSUES,
            _ => "trusted",
        },
    };
    all.iter().enumerate().map(key).collect()
}

fn signing_keys(signing: &SigningKeys) -> Vec<Key> {
    let newest = signing.newest().number;
    let key = |one: keys::SigningKey| Key {
        kind: "signing key",
        number: one.number,
        name: one.key.public().to_string(),
        state: if one.number == newest { SIGNS } else { "signs for agents of earlier versions; to be retired" },
    };
    signing.all().into_iter().map(key).collect()
}

fn allowed(force: bool, reliance: Reliance, what: &str) -> Result<(), Error> {
    if force || reliance.is_none() {
        return Ok(());
    }
    let Reliance { agents, tokens } = reliance;
    let message = format!(
        "{agents} agents and {tokens} enrolment tokens still rely on the oldest {what}; wait until they were seen with the next, or force it"
    );
    let details = json!({ "agents": agents, "tokens": tokens });
    Err(Error::new(StatusCode::CONFLICT, "RELIED_ON", message).with_details(details))
}

/// What there is too much or too little of is for the caller to mend; the rest is the hub's own fault.
async fn on_disk<T: Send + 'static>(
    store: &Store,
    change: impl FnOnce() -> Result<T, keys::Error> + Send + 'static,
) -> Result<T, Error> {
    store.reaching_beyond().await?;
    let changed = spawn_blocking(change).await.map_err(|error| Error::internal(&error))?;
    changed.map_err(|error| match error {
        keys::Error::LastOne(_)
        | keys::Error::TooManyKeys
        | keys::Error::TooManyAuthorities
        | keys::Error::TooManySigningKeys => Error::new(StatusCode::CONFLICT, "CONFLICT", error.to_string()),
        error => Error::internal(&error),
    })
}

impl View {
    fn of(key: SealingKey, newest: u32) -> Self {
        let public = key.public.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id: key.id, public, newest: key.id == newest }
    }
}
