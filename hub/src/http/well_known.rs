//! `GET /.well-known/sitewarden`: what to verify the hub's word with. Public, and nothing in it is secret.

use super::SendTelemetry;
use axum::{Json, extract::State};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sitewarden_protocol::{signing::PublicKey, telemetry::PRIVATE_KEY_USED};
use std::sync::Arc;

/// The keys that sign answers, receipts and snapshots, raw and as JWK (RFC 8037); the certificates of the authorities.
pub(super) async fn sitewarden(State(hub): State<Arc<SendTelemetry>>) -> Json<Value> {
    let trust = hub.trust();
    Json(json!({
        "signing_keys": trust.signing_keys.iter().map(key).collect::<Vec<_>>(),
        "authorities": trust.authorities.iter().map(|certificate| pem(certificate)).collect::<Vec<_>>(),
    }))
}

fn key(key: &PublicKey) -> Value {
    let raw = URL_SAFE_NO_PAD.encode(key.as_bytes());
    json!({
        "name": PRIVATE_KEY_USED,
        "algorithm": "Ed25519",
        "public_key": raw,
        "jwk": { "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": PRIVATE_KEY_USED, "x": raw },
    })
}

/// A certificate in the form of RFC 7468.
fn pem(certificate: &[u8]) -> String {
    let encoded = STANDARD.encode(certificate);
    // Base64 has one byte for each character.
    let lines = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}
