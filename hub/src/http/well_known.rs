//! `GET /.well-known/sitewarden`: what to verify the hub's word with. Public, and nothing in it is secret.

use super::SendTelemetry;
use axum::{Json, extract::State};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::Serialize;
use sitewarden_protocol::telemetry::PRIVATE_KEY_USED;
use std::sync::Arc;

/// In the shape in which agents tell of themselves. Of several keys the first is the one in use.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Identity {
    /// The raw Ed25519 key in base64url.
    signing_key: String,
    /// All as a JWK set (RFC 8037) has them.
    keys: Vec<Jwk>,
    /// The vendor's authorities, DER in base64.
    certificates: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    kid: &'static str,
}

pub(super) async fn sitewarden(State(hub): State<Arc<SendTelemetry>>) -> Json<Identity> {
    let trust = hub.trust();
    let raw: Vec<_> = trust.signing_keys.iter().map(|key| URL_SAFE_NO_PAD.encode(key.as_bytes())).collect();
    let jwk = |x: &String| Jwk {
        kty: "OKP",
        crv: "Ed25519",
        x: x.clone(),
        alg: "EdDSA",
        usage: "sig",
        kid: PRIVATE_KEY_USED,
    };
    let (keys, signing_key) = (raw.iter().map(jwk).collect(), raw.first().cloned().unwrap_or_default());
    let certificates = trust.authorities.iter().map(|certificate| STANDARD.encode(certificate)).collect();
    Json(Identity { signing_key, keys, certificates })
}
