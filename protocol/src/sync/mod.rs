//! The two ends of a session, as state machines without I/O.
//!
//! A driver feeds them what arrived (`handle_*`) and the time, and carries out what they ask for (`poll_*`). They take
//! any carrier: messages may be lost, repeated, late or out of order, and either side may be killed at any step. What
//! keeps data safe is not here but in what they rely on: records are on disk before they are sent, and a receipt is
//! signed only after the hub's commit.

pub mod admission;
pub mod agent;
pub mod backoff;
pub mod hub;

/// Batches that an agent has on the way before it waits for receipts.
///
/// Eight of half a megabyte keep a line of 100 ms at 40 MB/s busy, and bound what a hub holds for one agent.
pub const WINDOW: usize = 8;
