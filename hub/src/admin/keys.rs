//! The keys that agents seal batches to.

use super::{AdminState, Caller, error::Error, extract::CREATED};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
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

/// All of them: they are few, and bounded by [`MAX_KEYS`](crate::keys::MAX_KEYS).
pub(super) async fn list(State(state): State<AdminState>) -> Json<Value> {
    let newest = state.sealing.newest().id;
    let items: Vec<_> = state.sealing.all().iter().map(OpeningKey::public).map(|key| View::of(key, newest)).collect();
    Json(json!({ "items": items, "next": null }))
}

/// Makes the next one and has all sites told.
pub(super) async fn rotate(caller: Caller, State(state): State<AdminState>) -> Result<(StatusCode, Json<View>), Error> {
    let sealing = Arc::clone(&state.sealing);
    let made = spawn_blocking(move || sealing.rotate()).await.map_err(|error| Error::internal(&error))?;
    let key = made.map_err(|error| Error::internal(&error))?;
    state.store.new_sealing_key(&caller.act(), key).await?;
    Ok((CREATED, Json(View::of(key, key.id))))
}

impl View {
    fn of(key: SealingKey, newest: u32) -> Self {
        let public = key.public.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id: key.id, public, newest: key.id == newest }
    }
}
