//! agent
pub mod journal;
