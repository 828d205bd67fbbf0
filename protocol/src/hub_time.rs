//! What time it is by the hub: signed over the asker's own random number, so that an old answer is worth nothing.

use crate::codec::{self, Decode, Encode};
use crate::id::AgentId;
use crate::signing::{PrivateKey, PublicKey, Purpose, Signature};
use crate::time::UnixMillis;

/// What the asker made up.
pub type Nonce = [u8; 16];

/// What the hub says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct HubTime {
    /// To whom.
    pub agent: AgentId,
    /// What it made up.
    pub nonce: Nonce,
    /// The hub's clock.
    pub at: UnixMillis,
}

/// What the hub says, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Signed {
    /// The encoded [`HubTime`].
    pub bytes: Vec<u8>,
    /// The hub's signature over it.
    pub signature: Signature,
}

/// The answer is worth nothing: not signed by this hub, for another agent, or to another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hub's time is not signed by this hub for this question")]
pub struct NotAnAnswer;

impl Signed {
    /// Signs an answer with the hub's key.
    pub fn make(time: &HubTime, key: &PrivateKey) -> Self {
        let bytes = codec::encode(time);
        let signature = key.sign(Purpose::Time, &bytes);
        Self { bytes, signature }
    }

    /// The hub's time, if this answers `agent`'s question.
    ///
    /// # Errors
    /// [`NotAnAnswer`].
    pub fn verify(&self, trusted: &[PublicKey], agent: AgentId, nonce: &Nonce) -> Result<UnixMillis, NotAnAnswer> {
        let known = trusted.iter().any(|key| key.verify(Purpose::Time, &self.bytes, &self.signature).is_ok());
        let said: HubTime = codec::decode(&self.bytes).map_err(|_| NotAnAnswer)?;
        if known && said.agent == agent && said.nonce == *nonce { Ok(said.at) } else { Err(NotAnAnswer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_its_asker_and_question_only() {
        let (hub, agent) = (PrivateKey::from_seed(&[9; 32]), AgentId::from_bytes([7; 16]));
        let said = Signed::make(&HubTime { agent, nonce: [1; 16], at: UnixMillis(5) }, &hub);
        let trusted = [hub.public()];
        assert_eq!(said.verify(&trusted, agent, &[1; 16]), Ok(UnixMillis(5)));
        assert_eq!(said.verify(&trusted, agent, &[2; 16]), Err(NotAnAnswer));
        assert_eq!(said.verify(&trusted, AgentId::from_bytes([8; 16]), &[1; 16]), Err(NotAnAnswer));
        assert_eq!(said.verify(&[PrivateKey::from_seed(&[3; 32]).public()], agent, &[1; 16]), Err(NotAnAnswer));
    }
}
