//! How people and apps log in with a password, the same at the hub and at an agent: what they send ([`basic`]), and how
//! long one who guesses has to wait ([`patience`]). What a password's hash costs ([`hash`]) is the same too: the hashes of
//! the vendor's people are made at the hub and computed at agents. So are the short-lived tokens of those who are logged in
//! ([`token`]).

pub mod basic;
pub mod hash;
pub mod patience;
pub mod token;
