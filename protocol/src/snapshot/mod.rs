//! A snapshot: all that one site may do, signed by the hub.
//!
//! Small, so always sent whole. Always true: an agent never takes one that is older than what it has, wherever it
//! comes from; older means a lower revision, or the same revision issued earlier.

mod format1;
mod format2;

use crate::api_key::ApiKeyDigest;
use crate::codec::{self, Decode, Encode};
use crate::id::{PlantId, SiteId};
use crate::license::License;
use crate::signing::{PrivateKey, PublicKey, Purpose, Signature};
use crate::time::UnixMillis;
use format1::Snapshot1;
use format2::Snapshot2;

/// The newest layout, which agents of protocol version 3 and later read.
pub const NEWEST_FORMAT: u16 = 3;
/// The most on-site administrators of a site.
pub const MAX_ADMINISTRATORS: usize = 50;
/// The most API keys of a site.
pub const MAX_API_KEYS: usize = 100;

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
    /// The customer's number at the hub; 0 from a hub that does not tell it.
    pub customer: u64,
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
    /// Days of emergency override that the site may take in any 365 days; 0 for none.
    pub override_days: u16,
    /// The vendor's own people at this site; none by default, at most [`MAX_ADMINISTRATORS`].
    pub administrators: Vec<Administrator>,
    /// The API keys with which this site's apps may send telemetry; at most [`MAX_API_KEYS`].
    pub api_keys: Vec<ApiKeyDigest>,
    /// What batches are sealed to where sealing is switched on; `None` if the hub opens none.
    pub sealing_key: Option<SealingKey>,
    /// A certificate (X.509, DER) by one of the authorities for the signing key of the agent that this is for, with which
    /// apps can tell it from a false one. Empty if the snapshot is for no agent in particular.
    pub certificate: Vec<u8>,
}

/// A key of the hub for sealing (HPKE, X25519).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SealingKey {
    /// Its number at the hub, which a sealed batch names: the hub keeps opening what was sealed to an older one.
    pub id: u32,
    /// The public half.
    pub public: [u8; 32],
}

/// One of the vendor's own people.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Administrator {
    /// As it is typed in.
    pub name: String,
    /// Argon2id of the password, in PHC form.
    pub password: String,
}

impl std::fmt::Debug for Administrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Administrator").field("name", &self.name).finish_non_exhaustive()
    }
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
    #[error("the snapshot has layout {0}, and this agent reads layouts 1 to {NEWEST_FORMAT}; update the agent")]
    Format(u16),
    /// No key that this agent trusts made the signature.
    #[error("the snapshot is not signed by this hub")]
    Signature,
    /// The bytes are no snapshot.
    #[error("the snapshot is unreadable: {0}")]
    Unreadable(#[from] codec::Error),
}

impl Signed {
    /// Signs a snapshot with the hub's key, in the newest layout that an agent of this protocol version reads.
    pub fn make(snapshot: &Snapshot, protocol_version: u16, key: &PrivateKey) -> Self {
        let (format, bytes) = match protocol_version {
            0..2 => (1, codec::encode(&Snapshot1::from(snapshot))),
            2 => (2, codec::encode(&Snapshot2::from(snapshot))),
            3.. => (NEWEST_FORMAT, codec::encode(snapshot)),
        };
        // The layout is signed too: the bytes of one could otherwise be passed off as the other.
        let signature = key.sign(purpose(format), &bytes);
        Self { format, bytes, signature }
    }

    /// Reads the snapshot, if one of the trusted keys signed it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn verify(&self, trusted: &[PublicKey]) -> Result<Snapshot, Error> {
        if !(1..=NEWEST_FORMAT).contains(&self.format) {
            return Err(Error::Format(self.format));
        }
        self.signer(trusted).ok_or(Error::Signature)?;
        self.read()
    }

    /// Which of the trusted keys signed it.
    pub fn signer(&self, trusted: &[PublicKey]) -> Option<PublicKey> {
        let purpose = purpose(self.format);
        trusted.iter().copied().find(|key| key.verify(purpose, &self.bytes, &self.signature).is_ok())
    }

    /// Reads the snapshot without asking who signed it: for one that came over a connection which is pinned.
    ///
    /// # Errors
    /// [`Error::Format`] or [`Error::Unreadable`].
    pub fn read(&self) -> Result<Snapshot, Error> {
        match self.format {
            1 => Ok(codec::decode::<Snapshot1>(&self.bytes)?.into()),
            2 => Ok(codec::decode::<Snapshot2>(&self.bytes)?.into()),
            NEWEST_FORMAT => Ok(codec::decode(&self.bytes)?),
            newer => Err(Error::Format(newer)),
        }
    }
}

const fn purpose(format: u16) -> Purpose {
    match format {
        1 => Purpose::Snapshot,
        2 => Purpose::Snapshot2,
        _ => Purpose::Snapshot3,
    }
}
