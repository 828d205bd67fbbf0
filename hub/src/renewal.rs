//! Renewing agents' certificates, whatever carries the request.
//!
//! Always true: who asks has signed with the key that the store has for that agent now, and asks for the TLS key that the
//! store has too; standing is looked at in the transaction that keeps the certificate, and leaves a row in the audit log.
//! A certificate that is young enough is given again instead of another, so that asking often costs nothing and says
//! nothing new.

use crate::keys::{Authorities, Secret};
use crate::store::{self, AgentStatus, RenewedBy, Store};
use crate::sync::Signer;
use sitewarden_certs::{authority, renewal::Held};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::renewal::{Answer, Asked, Challenge, Refused, Renewed, Request};
use sitewarden_protocol::time::UnixMillis;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long the store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a challenge is good for, to both sides of the hub's clock.
const CHALLENGE_LIFE: Duration = Duration::from_secs(120);

/// Why the hub itself could not renew.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the store failed")]
    Store(#[from] store::Error),
    #[error("the store took too long")]
    Late(#[from] tokio::time::error::Elapsed),
    #[error("no certificate could be issued")]
    Authority(#[from] authority::Error),
}

/// Renews certificates.
#[derive(Debug)]
pub(crate) struct Renewals {
    store: Store,
    authorities: Arc<Authorities>,
    signer: Arc<Signer>,
    /// How long an agent's certificate lives.
    life: Duration,
    challenges: Challenges,
}

/// Makes challenges, and knows its own again without keeping them: so does any other hub on the same keys.
struct Challenges([u8; 32]);

impl Renewals {
    pub(crate) fn new(
        store: Store,
        authorities: Arc<Authorities>,
        signer: Arc<Signer>,
        life: Duration,
        secret: &Secret,
    ) -> Self {
        Self { store, authorities, signer, life, challenges: Challenges::new(secret) }
    }

    /// Answers an agent whose connection shows that it asks now.
    pub(crate) async fn answer(&self, agent: AgentId, request: &Request) -> Answer {
        match request.peek() {
            Ok(asked) if asked.agent == agent => self.renew(request, asked, RenewedBy::Session).await,
            _ => Answer::Refused(Refused::Invalid("it is for another agent".to_owned())),
        }
    }

    /// Answers whoever asks, if his request names a challenge that was made just now; otherwise with a challenge.
    pub(crate) async fn answer_stranger(&self, request: &Request) -> Answer {
        let Ok(asked) = request.peek() else {
            return Answer::Refused(Refused::Invalid("it cannot be read".to_owned()));
        };
        let now = crate::wall_clock();
        if !self.challenges.knows(asked.agent, &asked.challenge, now) {
            return Answer::Challenge(self.challenges.make(asked.agent, now));
        }
        self.renew(request, asked, RenewedBy::SigningKey).await
    }

    async fn renew(&self, request: &Request, asked: Asked, by: RenewedBy) -> Answer {
        match self.try_renew(request, asked, by).await {
            Ok(answer) => answer,
            Err(Failure::Authority(authority::Error::Request(error))) => {
                Answer::Refused(Refused::Invalid(error.to_string()))
            }
            Err(failure) => {
                tracing::error!(error = &failure as &dyn std::error::Error, "a certificate could not be renewed");
                Answer::Refused(Refused::Unavailable)
            }
        }
    }

    async fn try_renew(&self, request: &Request, asked: Asked, by: RenewedBy) -> Result<Answer, Failure> {
        let Asked { agent, csr, nonce, .. } = asked;
        let Some(standing) = timeout(STORE_TIMEOUT, self.store.agent_standing(agent)).await?? else {
            return Ok(Answer::Refused(Refused::Unknown));
        };
        if request.verify(&standing.signing_key).is_err() {
            return Ok(Answer::Refused(Refused::Unknown));
        }
        if standing.status != AgentStatus::Active {
            return Ok(Answer::Refused(Refused::Revoked));
        }
        let now = crate::wall_clock();
        let issued = self.authorities.issuing().issue_agent(&csr, agent, self.life, now)?;
        if issued.key_digest != standing.key_digest {
            return Ok(Answer::Refused(Refused::Invalid("it is for another key than the hub has".to_owned())));
        }
        let issuing = self.authorities.issuing().cert_der().to_vec();
        let keeps = move |held: &[u8]| {
            Held::read(held).is_ok_and(|held| held.is_from(&issuing) && !held.is_due(now) && is_young(&held, now))
        };
        let kept = self.store.renew_agent(now, agent, issued, by, keeps);
        let Some(certificate) = timeout(STORE_TIMEOUT, kept).await?? else {
            return Ok(Answer::Refused(Refused::Revoked));
        };
        let renewed = Renewed { agent, nonce, certificate, trust: self.signer.trust() };
        Ok(Answer::Granted(self.signer.granted(&renewed)))
    }
}

/// Less than a third of its life is over: another would hardly hold longer.
fn is_young(held: &Held, now: UnixMillis) -> bool {
    let (life, passed) = (held.not_after.since(held.issued), now.since(held.issued));
    passed * 3 < life
}

impl Challenges {
    fn new(secret: &Secret) -> Self {
        Self(blake3::derive_key("sitewarden hub renewal challenges 1", secret.as_slice()))
    }

    /// The moment, and a keyed hash over it and the agent.
    fn make(&self, agent: AgentId, now: UnixMillis) -> Challenge {
        let mut challenge = [0; 24];
        challenge[..8].copy_from_slice(&now.0.to_be_bytes());
        challenge[8..].copy_from_slice(&self.tag(agent, now).as_bytes()[..16]);
        challenge
    }

    fn knows(&self, agent: AgentId, challenge: &Challenge, now: UnixMillis) -> bool {
        let mut moment = [0; 8];
        moment.copy_from_slice(&challenge[..8]);
        let made = UnixMillis(i64::from_be_bytes(moment));
        let fresh = now.0.abs_diff(made.0) <= u64::try_from(CHALLENGE_LIFE.as_millis()).unwrap_or(u64::MAX);
        // Compared as hashes of hashes, which takes the same time wherever they differ.
        let (ours, theirs) = (self.make(agent, made), challenge);
        fresh && blake3::hash(&ours) == blake3::hash(theirs)
    }

    fn tag(&self, agent: AgentId, at: UnixMillis) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(agent.as_bytes()).update(&at.0.to_be_bytes());
        hasher.finalize()
    }
}

impl std::fmt::Debug for Challenges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Challenges(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_769_846_400_000);

    #[test]
    fn a_challenge_is_known_for_two_minutes_to_its_agent_and_by_its_hub() {
        let challenges = Challenges::new(&Secret::new([1; 32]));
        let (agent, other) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        let made = challenges.make(agent, NOW);
        assert!(challenges.knows(agent, &made, NOW.after(CHALLENGE_LIFE)));
        assert!(!challenges.knows(agent, &made, NOW.after(CHALLENGE_LIFE + Duration::from_millis(1))));
        assert!(!challenges.knows(other, &made, NOW));
        assert!(!Challenges::new(&Secret::new([2; 32])).knows(agent, &made, NOW));
        assert!(!challenges.knows(agent, &[0; 24], NOW));
    }
}
