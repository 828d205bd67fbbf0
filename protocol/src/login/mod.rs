//! How people and apps log in with a password, the same at the hub and at an agent: what they send ([`basic`]), and how
//! long one who guesses has to wait ([`patience`]).

pub mod basic;
pub mod patience;
