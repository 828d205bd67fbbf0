//! A snapshot: all that one site may do, signed by the hub.
//!
//! Small, so always sent whole. Always true: an agent never takes one that is older than what it has, wherever it
//! comes from; older means a lower revision, or the same revision issued earlier.

use crate::codec::{self, Decode, Encode};
use crate::id::{PlantId, SiteId};
use crate::license::License;
use crate::signing::{PrivateKey, PublicKey, Purpose, Signature};
use crate::time::UnixMillis;

/// The layout that this build writes.
const FORMAT: u16 = 1;

/// All that one site may do.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Snapshot {
    /// Which site.
    pub site: SiteId,
    /// Its name.
    pub site_name: String,
    /// Which plant.
    pub plant: PlantId,
    /// Its name.
    pub plant_name: String,
    /// The customer's name.
    pub customer_name: String,
    /// Which state this is, and since when.
    pub version: Version,
    /// How long it may be relied on without hearing from the hub.
    pub fresh_until: UnixMillis,
    /// The site's licences, those not yet activated included.
    pub licenses: Vec<License>,
    /// What the agent trusts from now on.
    pub trust: Trust,
}

/// Which state of a site a snapshot shows. Ordered: a later one is greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Version {
    /// Grows with every change of what the site may do.
    pub revision: u64,
    /// When it was signed: the same revision is signed anew to keep it fresh.
    pub issued_at: UnixMillis,
}

/// Whose word the agent takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Trust {
    /// Certificates (DER) of the authorities that a hub's certificate may come from.
    pub authorities: Vec<Vec<u8>>,
    /// Keys that sign receipts and snapshots.
    pub signing_keys: Vec<PublicKey>,
}

/// A snapshot as it is sent and kept.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Signed {
    /// The layout of `bytes`.
    pub format: u16,
    /// The encoded [`Snapshot`].
    pub bytes: Vec<u8>,
    /// The hub's signature over `bytes`.
    pub signature: Signature,
}

/// Why a snapshot is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layout of a newer hub.
    #[error("the snapshot has layout {0}, and this agent reads layout {FORMAT}; update the agent")]
    Format(u16),
    /// No key that this agent trusts made the signature.
    #[error("the snapshot is not signed by this hub")]
    Signature,
    /// The bytes are no snapshot.
    #[error("the snapshot is unreadable: {0}")]
    Unreadable(#[from] codec::Error),
}

impl Signed {
    /// Signs a snapshot with the hub's key.
    pub fn make(snapshot: &Snapshot, key: &PrivateKey) -> Self {
        let bytes = codec::encode(snapshot);
        let signature = key.sign(Purpose::Snapshot, &bytes);
        Self { format: FORMAT, bytes, signature }
    }

    /// Reads the snapshot, if one of the trusted keys signed it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn verify(&self, trusted: &[PublicKey]) -> Result<Snapshot, Error> {
        if self.format != FORMAT {
            return Err(Error::Format(self.format));
        }
        let known = trusted.iter().any(|key| key.verify(Purpose::Snapshot, &self.bytes, &self.signature).is_ok());
        if known { Ok(codec::decode(&self.bytes)?) } else { Err(Error::Signature) }
    }
}
