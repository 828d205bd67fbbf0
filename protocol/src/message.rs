//! What an agent and a hub say to each other over a carrier. Each message is the body of one [`crate::frame`].
//!
//! A message's number is its place in the enum and stays what it is; new ones are added at the end.

use crate::chain::{Cursor, Position};
use crate::codec::{self, Decode, Encode};
use crate::frame;
use crate::id::{AgentId, LicenseId};
use crate::license::ActivationError;
use crate::time::UnixMillis;
use crate::{announcement, batch, clearance, hub_time, receipt, renewal, snapshot};
use std::fmt;

/// The oldest protocol version that this build speaks.
pub const OLDEST_VERSION: u16 = 1;
/// The newest protocol version that this build speaks.
pub const NEWEST_VERSION: u16 = 3;
/// The version from which on a hub is asked for its time and for activations, and sends snapshots in layout 2;
/// from version 3 on in layout 3.
pub const QUESTIONS_SINCE: u16 = 2;
/// The version from which on a hub takes sealed batches, if its snapshot names a key to seal them to.
pub const SEALING_SINCE: u16 = 2;
/// The version from which on certificates are renewed, and a hub announces its new signing keys.
pub const RENEWAL_SINCE: u16 = 3;

/// The most epochs that a hello lists: those that still have records to send, oldest first.
pub const MAX_EPOCHS: usize = 16;

/// From an agent to its hub.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum ToHub {
    /// Opens a session.
    Hello(Hello),
    /// Records.
    Batch(batch::Signed),
    /// How things stand now; not journaled.
    Status(LiveStatus),
    /// What time is it? Since version 2.
    AskTime(hub_time::Nonce),
    /// A licence key was typed at the site. Since version 2.
    Activate(Activate),
    /// The agent's certificate is due to be replaced. Since version 3.
    Renew(renewal::Request),
}

/// From a hub to an agent.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum ToAgent {
    /// Answers a hello.
    Welcome(Welcome),
    /// Everything up to a record is stored.
    Receipt(receipt::Signed),
    /// A batch was not taken.
    Refused(Refused),
    /// What the site may do from now on.
    Snapshot(snapshot::Signed),
    /// The hub ends the session.
    Goodbye(Goodbye),
    /// Answers [`ToHub::AskTime`].
    Time(hub_time::Signed),
    /// Answers [`ToHub::Activate`].
    Activated(Activated),
    /// Answers [`ToHub::Renew`]. Since version 3.
    Renewed(renewal::Answer),
    /// How the hub's signing keys follow each other, oldest first; before anything that a newer one signed. Since
    /// version 3.
    Keys(Vec<announcement::Signed>),
    /// The agent may go on in a fresh epoch. Since version 3.
    Cleared(clearance::Signed),
}

/// An agent's first message.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Oldest protocol version the agent speaks.
    pub oldest_version: u16,
    /// Newest protocol version the agent speaks.
    pub newest_version: u16,
    /// Who.
    pub agent: AgentId,
    /// The agent program's version.
    pub program: String,
    /// Different after every start of the machine; two at once mean a clone.
    pub boot_id: [u8; 16],
    /// The epochs that still have records, oldest first; at most [`MAX_EPOCHS`].
    pub epochs: Vec<EpochExtent>,
    /// The snapshot that the agent has.
    pub snapshot: snapshot::Version,
}

/// What an agent holds of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct EpochExtent {
    /// The oldest record still held.
    pub oldest: u64,
    /// The newest record, and the chain there.
    pub head: Cursor,
}

/// The hub's answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// The version that both speak from now on.
    pub version: u16,
    /// What the hub has of each epoch in the hello that it knows: signed, because the agent may delete what it covers.
    pub receipts: Vec<receipt::Signed>,
}

/// How an agent stands now.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct LiveStatus {
    /// By the agent's wall clock.
    pub at: UnixMillis,
    /// Records not yet acknowledged.
    pub backlog: u64,
    /// When the oldest of them was made.
    pub oldest_unacknowledged: Option<UnixMillis>,
    /// Bytes that the journal takes on disk.
    pub journal_bytes: u64,
    /// Monitors in use and permitted, by app.
    pub quotas: Vec<Quota>,
    /// The snapshot in force.
    pub snapshot: snapshot::Version,
}

/// One app's monitors.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Quota {
    /// The app.
    pub app: String,
    /// In use.
    pub used: u32,
    /// Permitted; `None` for without limit.
    pub permitted: Option<u32>,
}

/// A licence key that was typed at the site, to be activated at the hub.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Activate {
    /// The agent's own number for this question.
    pub question: u64,
    /// The key as it was typed.
    pub key: String,
    /// Whether the licence in force for the same app may be given up.
    pub replace: bool,
    /// Who typed it.
    pub by: String,
    /// Monitors in use at the site, by app.
    pub in_use: Vec<(String, u32)>,
}

impl fmt::Debug for Activate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activate").field("question", &self.question).field("by", &self.by).finish_non_exhaustive()
    }
}

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Activated {
    /// The number of the question.
    pub question: u64,
    /// What became of it.
    pub outcome: ActivationOutcome,
    /// What the site may do from now on; always there if a licence was activated.
    pub snapshot: Option<snapshot::Signed>,
}

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ActivationOutcome {
    /// The licence is Active.
    Activated(LicenseId),
    /// It is not, and asking again would not help.
    Refused(ActivationError),
    /// The hub cannot say now; the site may decide by itself.
    Unavailable,
}

/// A batch that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Refused {
    /// The batch's first record.
    pub first: Position,
    /// The batch's last record.
    pub last: Position,
    /// Why.
    pub refusal: Refusal,
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refusal {
    /// Transient: records before it are missing here. The agent sends again from this cursor.
    #[error("records after {} are missing here", .0.position)]
    Missing(Cursor),
    /// Transient: the hub cannot store now.
    #[error("the hub cannot store records now")]
    Busy,
    /// Permanent until an administrator decides: the hub has other records under these numbers, signed by the same
    /// key. The agent's machine was rolled back or copied.
    #[error("the hub has a different history of this agent: its machine was rolled back or copied")]
    Fork,
    /// Permanent: the agent's standing was withdrawn.
    #[error("this agent was revoked")]
    Revoked,
}

/// The hub ends a session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Goodbye {
    /// Why, for the agent's log.
    pub reason: String,
    /// When to come back at the earliest, seconds from now.
    pub come_back_after: u32,
}

/// Why a frame's body is no message.
#[derive(Debug, thiserror::Error)]
#[error("not a message of this protocol: {0}")]
pub struct Unreadable(#[from] codec::Error);

macro_rules! framed {
    ($($name:ident),+) => {$(
        impl $name {
            /// The whole frame, ready to send.
            pub fn to_frame(&self) -> Vec<u8> {
                frame::encode(&self.to_body())
            }

            /// What a frame or a bundle's piece holds.
            pub fn to_body(&self) -> Vec<u8> {
                codec::encode(self)
            }

            /// Reads a checked frame's body.
            ///
            /// # Errors
            /// [`Unreadable`] if it is no such message; nothing more on this stream can be trusted then.
            pub fn from_body(body: &[u8]) -> Result<Self, Unreadable> {
                Ok(codec::decode(body)?)
            }
        }
    )+};
}

framed!(ToHub, ToAgent);

impl ToHub {
    /// What kind of message it is, for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Batch(_) => "batch",
            Self::Status(_) => "status",
            Self::AskTime(_) => "question for the time",
            Self::Activate(_) => "licence key",
            Self::Renew(_) => "certificate request",
        }
    }
}

impl ToAgent {
    /// What kind of message it is, for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Welcome(_) => "welcome",
            Self::Receipt(_) => "receipt",
            Self::Refused(_) => "refusal",
            Self::Snapshot(_) => "snapshot",
            Self::Goodbye(_) => "goodbye",
            Self::Time(_) => "time",
            Self::Activated(_) => "answer to a licence key",
            Self::Renewed(_) => "certificate",
            Self::Keys(_) => "chain of keys",
            Self::Cleared(_) => "clearance",
        }
    }
}

/// The newest version that both speak.
pub fn negotiate(oldest: u16, newest: u16) -> Option<u16> {
    let version = newest.min(NEWEST_VERSION);
    (version >= oldest && version >= OLDEST_VERSION && oldest <= newest).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        assert_eq!(negotiate(1, 1), Some(1));
        assert_eq!(negotiate(1, 2), Some(2));
        assert_eq!(negotiate(1, 9), Some(NEWEST_VERSION));
        assert_eq!(negotiate(NEWEST_VERSION + 1, NEWEST_VERSION + 2), None);
        assert_eq!(negotiate(0, 0), None);
        assert_eq!(negotiate(9, 1), None);
    }
}
