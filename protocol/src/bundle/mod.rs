//! A bundle: messages in a file, for plants without a line.
//!
//! ```text
//! 0          8        10
//! | SWBUNDLE | layout | frame: head | frame: piece … | frame: piece (the end)
//! ```
//! `layout` is little-endian. Each frame is a [`crate::frame`], so that damage is found by its checksum. The head's body is
//! the encoded [`Manifest`] and the sender's signature over it. A piece's body is
//!
//! ```text
//! 0           64     65
//! | signature | kind | payload …      kind 0: a message, 1: a sealed message, 2: the end
//! ```
//! A message is the body of a wire message ([`crate::message`], [`crate::enrolment`]), to the byte: whatever two peers can
//! say to each other over a line can be carried, also what was invented after this.
//!
//! Always true: every piece is signed by the sender for its place in this one part, so that none can be altered, moved,
//! left out in the middle or added unseen, and all before a cut count; what is sealed can be opened by the receiver alone,
//! in that place alone; what a bundle says is worth what its messages are worth, which are signed by themselves where that
//! matters; a reader holds one piece at a time, however long the file is.
//!
//! Agents seal to the key that the hub's snapshot names. Hubs seal to the agent's signing key (see
//! [`crate::sealing::OpeningKey::of_signer`]), which they know of every agent: nothing has to be announced before a hub can
//! answer.

mod inspect;
mod reader;
mod writer;

pub use inspect::{Inspected, Inspector};
pub use reader::{Error, Head, Item, Opened, Piece, Reader};
pub use writer::{Failed, Writer};

use crate::chain::Position;
use crate::codec::{Decode, Encode};
use crate::frame;
use crate::id::AgentId;
use crate::message::EpochExtent;
use crate::sealing;
use crate::signing::PublicKey;
use crate::time::UnixMillis;

/// What a file begins with.
pub const MAGIC: [u8; 8] = *b"SWBUNDLE";
/// The layout that this build writes and reads.
pub const LAYOUT: u16 = 1;
/// Bytes before the first frame.
const PREFIX: usize = 10;
/// Bytes of a piece before its payload.
const PIECE_HEAD: usize = 65;
/// The most bytes of a message in a bundle: 113 fewer than on a line, for the signature and the seal.
pub const MAX_MESSAGE: usize = frame::MAX_BODY - PIECE_HEAD - sealing::OVERHEAD;

const MESSAGE: u8 = 0;
const SEALED: u8 = 1;
const END: u8 = 2;

/// What a part of a bundle is: to be read by everybody who has the file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Manifest {
    /// The same in all parts of a bundle, and in no other.
    pub bundle: [u8; 16],
    /// Which part, from 1. How many there are is said at the end of the last one.
    pub part: u32,
    /// When, by the sender's clock.
    pub made_at: UnixMillis,
    /// The sender's program and version.
    pub program: String,
    /// Who made it.
    pub from: Party,
    /// For whom.
    pub to: Party,
    /// The number of the receiver's key that pieces are sealed to; `None` if they are not sealed. An agent's key has the
    /// number 0.
    pub sealed_to: Option<u32>,
    /// What is in it.
    pub content: Content,
}

/// Somebody who makes bundles, or gets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Party {
    /// A hub, by a key that it signs with.
    Hub(PublicKey),
    /// An agent.
    Agent {
        /// Its name at the hub.
        agent: AgentId,
        /// The key that it signs with.
        key: PublicKey,
    },
    /// A machine that is not enrolled, by the key that its agent will sign with.
    Machine(PublicKey),
    /// A hub, by the SHA-256 of its authority's certificate, as enrolment tokens name it.
    Authority([u8; 32]),
}

/// What is in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Content {
    /// What an agent has to say: bodies of [`crate::message::ToHub`], the first a hello.
    Report(Report),
    /// What a hub has to say: bodies of [`crate::message::ToAgent`].
    Word,
    /// One [`crate::enrolment::OfflineRequest`].
    Enrolment,
    /// One [`crate::enrolment::Admission`], which answers that.
    Admission,
}

/// Which stretch of an agent's history a part holds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Report {
    /// The records after this one.
    pub after: Position,
    /// What the agent holds of its epochs, oldest first: what the whole bundle goes up to, if it is whole.
    pub epochs: Vec<EpochExtent>,
    /// Nothing ever comes back to the agent: what it has exported it takes for delivered.
    pub one_way: bool,
}

/// The last piece of a part; one without it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct End {
    /// Messages in this part.
    pub messages: u64,
    /// Records in this part.
    pub records: u64,
    /// The last record in it; [`Position::default`] if there is none.
    pub through: Position,
    /// Whether no part comes after this one.
    pub last: bool,
}

impl Party {
    /// The key that this party signs with, if it is known from this.
    pub const fn key(&self) -> Option<&PublicKey> {
        match self {
            Self::Hub(key) | Self::Machine(key) | Self::Agent { key, .. } => Some(key),
            Self::Authority(_) => None,
        }
    }
}
