//! `/api/v1/activate|validate|heartbeat|deactivate`: the licence server's public endpoints for this site, offline.
//!
//! Fields, errors and answers are those of `protocol::license_server`, which the hub shares.

mod activate;
mod body;
mod deactivate;
mod error;
mod heartbeat;
mod validate;

pub(super) use error::Refused;

use super::Api;
use crate::enforcement::Asked;
use axum::Extension;
use axum::extract::DefaultBodyLimit;
use sitewarden_openapi::Routes;
use sitewarden_openapi::shared::license_server as described;
use sitewarden_protocol::id::ActivationId;
use sitewarden_protocol::license::KeyDigest;
use sitewarden_protocol::license::seats::Refusal;
use sitewarden_protocol::license_server::{MAX_BODY, PATHS, activation_text};
use sitewarden_protocol::rate::Rate;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
/// Calls with keys that this site does not know, of one address in a minute. Each may go to the hub.
const STRANGERS: u32 = 100;
/// Changes of its users that a machine may validate in a minute: each is a durable record.
const CLAIMS: u32 = 60;
/// Activations under one key in a minute: each may be a durable record. A plant's machines may all start at once.
const ACTIVATIONS: u32 = 300;

/// How often who may call.
struct Limits {
    begun: Instant,
    /// The document's: one a minute for each activation.
    heartbeats: Rate<ActivationId>,
    claims: Rate<ActivationId>,
    /// By the licence's key as this site recognises it.
    activations: Rate<KeyDigest>,
    /// All apps of a site call from loopback, so what the document limits by address is limited only where it guesses.
    strangers: Rate<IpAddr>,
}

impl Limits {
    /// What calls are counted by.
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
}

pub(super) fn routes() -> Routes<Api> {
    let limits = Limits {
        begun: Instant::now(),
        heartbeats: Rate::new(1, MINUTE),
        claims: Rate::new(CLAIMS, MINUTE),
        activations: Rate::new(ACTIVATIONS, MINUTE),
        strangers: Rate::new(STRANGERS, MINUTE),
    };
    Routes::new()
        .post(PATHS[0], activate::activate, described::activate())
        .post(PATHS[1], validate::validate, described::validate())
        .post(PATHS[2], heartbeat::heartbeat, described::heartbeat())
        .post(PATHS[3], deactivate::deactivate, described::deactivate())
        .around(|router| router.layer(DefaultBodyLimit::max(MAX_BODY)).layer(Extension(Arc::new(limits))))
}

/// Notes what a machine was not allowed. Who it is, is named by its activation.
fn denied(api: &Api, key: &str, action: &'static str, activation: Option<ActivationId>, refusal: &Refusal) {
    let state = api.enforcement.state();
    let app = state.licensed(key).map_or("", |license| license.app.as_str());
    let user = activation.map_or_else(|| "a new machine".to_owned(), activation_text);
    api.denials.note(Asked { app, action, user: &user }, refusal);
}

#[cfg(test)]
mod contract;
