//! `/api/v1/activate|validate|heartbeat|deactivate`: the licence server's public endpoints for this site, offline.
//!
//! Always true: whoever has a licence's key may call, without a password; paths, fields and texts are the document's;
//! fields that it does not name are ignored. A licence that may not be used is an answer to `validate` (200 and
//! `"valid": false`) and an error to the others.

mod activate;
mod body;
mod deactivate;
mod error;
mod hardware;
mod heartbeat;
mod rate;
mod validate;

pub(super) use error::Refused;

use super::Api;
use crate::enforcement::Asked;
use axum::Extension;
use axum::extract::DefaultBodyLimit;
use rate::Rate;
use sitewarden_openapi::Routes;
use sitewarden_openapi::shared::license_server as described;
use sitewarden_protocol::id::ActivationId;
use sitewarden_protocol::license::KeyDigest;
use sitewarden_protocol::license::seats::Refusal;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The largest body, bytes: 32 parts of hardware or 32 features, and room for fields that nobody reads.
const MAX_BODY: usize = 64 << 10;
const MINUTE: Duration = Duration::from_secs(60);
/// Calls with keys that this site does not know, of one address in a minute. Each may go to the hub.
const STRANGERS: u32 = 100;
/// Changes of its users that a machine may validate in a minute: each is a durable record.
const CLAIMS: u32 = 60;
/// Activations under one key in a minute: each may be a durable record. A plant's machines may all start at once.
const ACTIVATIONS: u32 = 300;
const PATHS: [&str; 4] = ["/api/v1/activate", "/api/v1/validate", "/api/v1/heartbeat", "/api/v1/deactivate"];

/// How often who may call.
struct Limits {
    /// The document's: one a minute for each activation.
    heartbeats: Rate<ActivationId>,
    claims: Rate<ActivationId>,
    /// By the licence's key as this site recognises it.
    activations: Rate<KeyDigest>,
    /// All apps of a site call from loopback, so what the document limits by address is limited only where it guesses.
    strangers: Rate<IpAddr>,
}

pub(super) fn routes() -> Routes<Api> {
    let limits = Limits {
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

/// Whether errors about this path are in this API's words.
pub(super) fn speaks_of(path: &str) -> bool {
    PATHS.iter().any(|known| path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// An activation as this API writes it: `act_` and 32 hexadecimal digits.
pub(super) fn activation_text(activation: ActivationId) -> String {
    let digits = u128::from_be_bytes(*activation.as_bytes());
    format!("act_{digits:032x}")
}

/// The activation with this text.
pub(super) fn activation_of(text: &str) -> Option<ActivationId> {
    let digits = text.strip_prefix("act_").filter(|digits| digits.len() == 32)?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u128::from_str_radix(digits, 16).ok().filter(|_| plain)?;
    Some(ActivationId::from_bytes(number.to_be_bytes()))
}

#[cfg(test)]
mod contract;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activation_is_read_back_from_its_text() {
        let id = ActivationId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(activation_text(id), "act_000102030405060708090a0b0c0d0eff");
        assert_eq!(activation_of(&activation_text(id)), Some(id));
        for wrong in ["act_123456", "", "000102030405060708090a0b0c0d0eff", "act_+00102030405060708090a0b0c0d0eff"] {
            assert_eq!(activation_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_the_four_paths_and_what_is_below_them_are_this_apis() {
        assert!(speaks_of("/api/v1/validate") && speaks_of("/api/v1/validate/x"));
        assert!(!speaks_of("/api/v1/validated") && !speaks_of("/api/v1/telemetry/events"));
    }
}
