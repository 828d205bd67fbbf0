//! A clearance: the word of the hub's administrator that an agent whose machine was rolled back or copied may go on, in an
//! epoch of its own.
//!
//! Always true: it is signed by the hub, so it does not matter what carries it; it counts for one agent, and only while the
//! agent's newest epoch is older than the one it names. So taking it twice is taking it once, and a second roll-back needs
//! a second word.

use crate::chain::Cursor;
use crate::codec::{self, Decode, Encode};
use crate::id::AgentId;
use crate::signing::{PrivateKey, PublicKey, Purpose, Signature};
use crate::time::UnixMillis;

/// The most places in its history that a hub names.
pub const MAX_KNOWN: usize = 256;

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Clearance {
    /// To whom.
    pub agent: AgentId,
    /// The agent goes on in this epoch, or a later one.
    pub epoch: u64,
    /// Places in the history that the hub has of the agent, the newest first, at most [`MAX_KNOWN`]: the newest that is in
    /// the agent's journal too is where the two depart. What the agent recorded after it, it sends again in the new epoch.
    pub known: Vec<Cursor>,
    /// When it was said.
    pub at: UnixMillis,
}

/// A clearance as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Signed {
    /// The encoded [`Clearance`].
    pub bytes: Vec<u8>,
    /// The hub's signature over it.
    pub signature: Signature,
}

/// It is not this hub's word to this agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clearance is not signed by this hub for this agent")]
pub struct NotCleared;

impl Signed {
    /// Signs a clearance with the hub's key.
    pub fn make(clearance: &Clearance, key: &PrivateKey) -> Self {
        let bytes = codec::encode(clearance);
        let signature = key.sign(Purpose::Clearance, &bytes);
        Self { bytes, signature }
    }

    /// Reads it, if one of the trusted keys signed it for this agent.
    ///
    /// # Errors
    /// [`NotCleared`].
    pub fn verify(&self, trusted: &[PublicKey], agent: AgentId) -> Result<Clearance, NotCleared> {
        let known = trusted.iter().any(|key| key.verify(Purpose::Clearance, &self.bytes, &self.signature).is_ok());
        let said: Clearance = codec::decode(&self.bytes).map_err(|_| NotCleared)?;
        if known && said.agent == agent && said.known.len() <= MAX_KNOWN { Ok(said) } else { Err(NotCleared) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clearance_counts_for_its_agent_and_from_this_hub_only() {
        let (hub, agent) = (PrivateKey::from_seed(&[9; 32]), AgentId::from_bytes([7; 16]));
        let known = vec![Cursor::start(agent, 1)];
        let clearance = Clearance { agent, epoch: 2, known, at: UnixMillis(5) };
        let signed = Signed::make(&clearance, &hub);
        assert_eq!(signed.verify(&[hub.public()], agent), Ok(clearance.clone()));
        assert_eq!(signed.verify(&[hub.public()], AgentId::from_bytes([8; 16])), Err(NotCleared));
        assert_eq!(signed.verify(&[PrivateKey::from_seed(&[3; 32]).public()], agent), Err(NotCleared));
        let many = Clearance { known: vec![Cursor::start(agent, 1); MAX_KNOWN + 1], ..clearance };
        assert_eq!(Signed::make(&many, &hub).verify(&[hub.public()], agent), Err(NotCleared));
    }
}
