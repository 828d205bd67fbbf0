//! Machines under licences, and the floating users that each of them holds: those that call the hub themselves, and those of
//! which agents' records tell.
//!
//! Always true: whether a machine gets what it asks for is decided by `protocol::license::seats`, as at the agents, in the
//! transaction that stores it; an activation that was made is never removed, only given back. A machine belongs to the agent
//! that told of it, or to the hub. The hub ends the sessions of its own when their heartbeat stops; those of an agent by its
//! word alone, for a plant without a line is not silent, only out of hearing.

mod direct;
mod listed;
mod row;

pub use direct::{Examined, MachineRefusal, Moment, NewMachine};
pub(super) use listed::newest_of;
pub use listed::{ActivationFilter, ActivationPage, ListedActivation};
#[cfg(test)]
pub(super) use listed::{MADE, queries};
pub(super) use row::{Known, Told, close, end_session, known, note, open};
