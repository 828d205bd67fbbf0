//! `GET /.well-known/sitewarden`: who this agent is, and by whose word. Nothing of it is secret, and nothing of it has to be
//! believed: who checks a proof starts from the vendor's root, which he has from elsewhere.

use super::Api;
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Serialize;
use sitewarden_protocol::id::{AgentId, SiteId};

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Identity {
    #[schemars(with = "String")]
    agent: AgentId,
    #[schemars(with = "String")]
    site: SiteId,
    /// The raw Ed25519 key in base64url.
    signing_key: String,
    /// The same as a JWK set (RFC 8037) has it.
    keys: [Jwk; 1],
    /// DER in base64: the signing key's certificate, if the hub has sent one, then the vendor's authorities.
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
    #[schemars(with = "String")]
    kid: AgentId,
}

pub(super) async fn identity(State(api): State<Api>) -> Json<Identity> {
    let site = api.enforcement.state();
    let (snapshot, names) = (&site.snapshot, &api.names);
    let own = Some(&snapshot.certificate).filter(|certificate| !certificate.is_empty());
    let mut certificates: Vec<_> =
        own.into_iter().chain(&snapshot.trust.authorities).map(|der| STANDARD.encode(der)).collect();
    if snapshot.trust.authorities.is_empty() {
        certificates.extend(names.authorities.iter().cloned());
    }
    let x = api.prover.public();
    let jwk = Jwk { kty: "OKP", crv: "Ed25519", x: x.clone(), alg: "EdDSA", usage: "sig", kid: names.agent };
    Json(Identity { agent: names.agent, site: names.site, signing_key: x, keys: [jwk], certificates })
}
