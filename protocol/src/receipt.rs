//! A receipt: the hub's signed word that it has everything up to a record.

use crate::chain::Cursor;
use crate::codec::{self, Decode, Encode};
use crate::id::AgentId;
use crate::signing::{PrivateKey, PublicKey, Purpose, Signature};
use crate::time::UnixMillis;

/// What the hub says it has, durably.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// From whom.
    pub agent: AgentId,
    /// The last record it has, and the chain there.
    pub through: Cursor,
    /// When it said so, by the hub's clock: what the agent's trusted time is corrected by.
    pub hub_time: UnixMillis,
}

/// A receipt as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Signed {
    /// The encoded [`Receipt`].
    pub bytes: Vec<u8>,
    /// The hub's signature over it.
    pub signature: Signature,
}

/// Why a receipt is worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No key that this agent trusts made the signature.
    #[error("the receipt is not signed by this hub")]
    Signature,
    /// The bytes are no receipt.
    #[error("the receipt is unreadable: {0}")]
    Unreadable(#[from] codec::Error),
}

impl Signed {
    /// Signs a receipt with the hub's key.
    pub fn make(receipt: &Receipt, key: &PrivateKey) -> Self {
        let bytes = codec::encode(receipt);
        let signature = key.sign(Purpose::Receipt, &bytes);
        Self { bytes, signature }
    }

    /// Reads the receipt, if one of the trusted keys signed it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn verify(&self, trusted: &[PublicKey]) -> Result<Receipt, Error> {
        let known = trusted.iter().any(|key| key.verify(Purpose::Receipt, &self.bytes, &self.signature).is_ok());
        if known { Ok(codec::decode(&self.bytes)?) } else { Err(Error::Signature) }
    }
}
