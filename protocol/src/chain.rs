//! The hash chain over an agent's records, and where in it somebody stands.
//!
//! The chain runs over records, not over batches: `chain(n) = BLAKE3-keyed(chain(n-1) ‖ record n)`, from a start that is
//! particular to the agent and the epoch. So a batch may be cut again at another place after a crash, and whoever
//! knows the chain at any record inside it can tell whether it is the same history.

use crate::codec::{Decode, Encode};
use crate::id::AgentId;
use std::fmt;

/// Domain separation: this key makes the chain's hashes differ from every other use of BLAKE3 here.
const KEY: [u8; 32] = *b"sitewarden record chain, version";

/// The chain after some record: 32 bytes that stand for everything up to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Chain([u8; 32]);

impl Chain {
    /// The chain of an epoch before its first record.
    pub fn start(agent: AgentId, epoch: u64) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&KEY);
        hasher.update(agent.as_bytes()).update(&epoch.to_le_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The chain after one more encoded record.
    #[must_use]
    pub fn then(self, record: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&KEY);
        hasher.update(&self.0).update(record);
        Self(*hasher.finalize().as_bytes())
    }

    /// The chain after several more encoded records.
    #[must_use]
    pub fn then_all<'a>(self, records: impl IntoIterator<Item = &'a [u8]>) -> Self {
        records.into_iter().fold(self, Self::then)
    }

    /// The chain with these bytes, as read from a store.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({:02x}{:02x}{:02x}…)", self.0[0], self.0[1], self.0[2])
    }
}

/// A record's place: its epoch, then its number in it. Numbers start at 1; 0 is before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Position {
    /// The life of the journal, from 1.
    pub epoch: u64,
    /// The record's number in it, from 1.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

/// A position and the chain there: everything up to it is fixed by these 48 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Cursor {
    /// The last record that is meant.
    pub position: Position,
    /// The chain after it.
    pub chain: Chain,
}

impl Cursor {
    /// Before the first record of an epoch.
    pub fn start(agent: AgentId, epoch: u64) -> Self {
        Self { position: Position { epoch, seq: 0 }, chain: Chain::start(agent, epoch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_depends_on_agent_epoch_records_and_their_order() {
        let (one, two) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        assert_ne!(Chain::start(one, 1), Chain::start(two, 1));
        assert_ne!(Chain::start(one, 1), Chain::start(one, 2));
        let start = Chain::start(one, 1);
        assert_ne!(start.then(b"a").then(b"b"), start.then(b"b").then(b"a"));
        assert_eq!(start.then(b"a").then(b"b"), start.then_all([b"a".as_slice(), b"b"]));
    }
}
