//! Proofs: a decision of this agent, signed over the caller's nonce, so that an app can tell a genuine agent from a false
//! one that always says yes.
//!
//! Always true: nothing is signed that this agent did not decide just now; the nonce is the caller's, so an answer cannot
//! be an old one; and a proof names agent and site, so another site's cannot stand in for it. `run` is random for each
//! start of the agent and `counter` grows by one with each proof of a run: who keeps the last pair sees a repeated or a
//! left-out one. Nothing of it is on disk: after a restart the run is another, and the counter begins at 1.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::json;
use sitewarden_protocol::id::{AgentId, LicenseId, SiteId};
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::telemetry::Answer;
use sitewarden_protocol::time::UnixMillis;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How short and how long a nonce may be, characters: 16 of them hold 96 bits.
const NONCE: std::ops::RangeInclusive<usize> = 16..=128;

/// What a caller chose, so that the answer is to him and now: 16 to 128 characters of base64url.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Nonce(String);

/// It is too short, too long, or has other characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nonce: 16 to 128 characters of A-Z, a-z, 0-9, - and _ are taken")]
pub struct BadNonce;

impl TryFrom<String> for Nonce {
    type Error = BadNonce;
    fn try_from(text: String) -> Result<Self, BadNonce> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if plain && NONCE.contains(&text.len()) { Ok(Self(text)) } else { Err(BadNonce) }
    }
}

/// What was decided about an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may be used, by this licence; without one for licence management.
    Authorised(Option<LicenseId>),
    /// It may not.
    Unauthorised,
    /// The caller is one of the vendor's own people.
    AdminUser,
}

impl Decision {
    /// The word for it that the plant licence API has.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Authorised(_) => "Authorised",
            Self::Unauthorised => "Unauthorised",
            Self::AdminUser => "Admin user",
        }
    }
}

/// What is proved.
#[derive(Debug)]
pub struct Claim<'a> {
    /// Which app was asked for.
    pub app: &'a str,
    /// By whom.
    pub user: &'a str,
    /// With which nonce.
    pub nonce: &'a Nonce,
    /// What was decided.
    pub decision: Decision,
    /// On which snapshot.
    pub snapshot_revision: u64,
    /// At what licence time.
    pub time: UnixMillis,
}

/// A proof's payload, in the order in which it is written.
#[derive(Serialize)]
struct Payload<'a> {
    app: &'a str,
    user: &'a str,
    nonce: &'a Nonce,
    decision: &'static str,
    /// The licence that allows it; `null` where none does or none is needed.
    license: Option<LicenseId>,
    snapshot_revision: u64,
    /// Licence time, Unix milliseconds.
    time: i64,
    run: &'a str,
    counter: u64,
    agent: AgentId,
    site: SiteId,
}

/// Makes proofs with the agent's signing key.
pub struct Prover {
    key: Arc<PrivateKey>,
    agent: AgentId,
    site: SiteId,
    header: Vec<u8>,
    run: String,
    made: AtomicU64,
}

impl Prover {
    /// For one run of an agent, which `run` names: random bytes.
    pub fn new(key: Arc<PrivateKey>, agent: AgentId, site: SiteId, run: [u8; 16]) -> Self {
        let header = json!({"alg": "EdDSA", "kid": agent, "typ": "sitewarden-proof+jwt"}).to_string().into_bytes();
        Self { key, agent, site, header, run: URL_SAFE_NO_PAD.encode(run), made: AtomicU64::new(0) }
    }

    /// A compact JWS. One Ed25519 signature: some tens of microseconds, no I/O, no lock.
    pub fn prove(&self, claim: &Claim<'_>) -> String {
        let Claim { app, user, nonce, decision, snapshot_revision, time } = claim;
        let payload = Payload {
            app,
            user,
            nonce,
            decision: decision.word(),
            license: if let Decision::Authorised(license) = decision { *license } else { None },
            snapshot_revision: *snapshot_revision,
            time: time.0,
            run: &self.run,
            counter: self.made.fetch_add(1, Ordering::Relaxed) + 1,
            agent: self.agent,
            site: self.site,
        };
        // Texts and numbers always have a JSON form.
        self.key.sign_jws(&self.header, &serde_json::to_vec(&payload).unwrap_or_default())
    }

    /// Answers a program that sends telemetry, in the envelope that is signed with the same key.
    pub fn envelope(&self, answer: &Answer) -> String {
        answer.envelope(&self.key)
    }

    /// The public half, raw, in base64url: what a JWK calls `x`.
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.key.public().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_nonce_is_base64url_and_neither_short_nor_long() {
        for good in ["a".repeat(16), "Z".repeat(128), "AZaz09-_AZaz09-_".to_owned()] {
            assert!(Nonce::try_from(good.clone()).is_ok(), "{good}");
        }
        for bad in ["a".repeat(15), "a".repeat(129), String::new(), "a+a/a=a a\na\0aaaaa".to_owned(), "é".repeat(16)] {
            assert_eq!(Nonce::try_from(bad.clone()), Err(BadNonce), "{bad:?}");
        }
    }

    #[test]
    fn a_proof_says_everything_and_each_one_is_counted() {
        let key = Arc::new(PrivateKey::from_seed(&[1; 32]));
        let (agent, site) = (AgentId::from_bytes([2; 16]), SiteId::from_bytes([3; 16]));
        let prover = Prover::new(key, agent, site, [4; 16]);
        let nonce = Nonce::try_from("0123456789abcdef".to_owned()).unwrap();
        let license = LicenseId::from_bytes([5; 16]);
        let mut said = Vec::new();
        for decision in [Decision::Authorised(Some(license)), Decision::Unauthorised, Decision::AdminUser] {
            let claim = Claim {
                app: "EMS",
                user: "ems",
                nonce: &nonce,
                decision,
                snapshot_revision: 7,
                time: UnixMillis(1_800_000_000_000),
            };
            let jws = prover.prove(&claim);
            let parts: Vec<_> = jws.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
            let header: Value = serde_json::from_slice(&parts[0]).unwrap();
            assert_eq!(header, json!({"alg": "EdDSA", "kid": agent, "typ": "sitewarden-proof+jwt"}));
            said.push(serde_json::from_slice::<Value>(&parts[1]).unwrap());
        }
        let expected = |decision: &str, license: Option<LicenseId>, counter: u64| {
            json!({
                "app": "EMS", "user": "ems", "nonce": "0123456789abcdef", "decision": decision, "license": license,
                "snapshot_revision": 7, "time": 1_800_000_000_000_i64, "run": "BAQEBAQEBAQEBAQEBAQEBA", "counter": counter,
                "agent": agent, "site": site,
            })
        };
        let all = [
            expected("Authorised", Some(license), 1),
            expected("Unauthorised", None, 2),
            expected("Admin user", None, 3),
        ];
        assert_eq!(said, all);
    }
}
