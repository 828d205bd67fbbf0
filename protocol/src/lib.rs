//! What an agent and a hub say to each other, and the rules both decide by.
//!
//! Always true of this crate: it does no I/O, reads no clock and makes no randomness. Time and random numbers are
//! arguments. That is why the same code can run in an agent, in a hub, and a million times in a simulation.
//!
//! Read it in this order: [`record`] (one thing that happened), [`chain`] (the hash over records), [`batch`] (a signed
//! run of records), [`message`] (what goes over a carrier) in a [`frame`] or in a [`bundle`], and [`sync`] (the two state machines).
//! [`license`] and [`snapshot`] are the other direction: what the hub lets a site do, by [`trusted_time`].

pub mod announcement;
pub mod api_key;
pub mod batch;
pub mod bundle;
pub mod chain;
pub mod clearance;
pub mod codec;
pub mod enrolment;
pub mod fingerprint;
pub mod frame;
pub mod hub_time;
pub mod id;
pub mod license;
pub mod license_server;
pub mod login;
pub mod message;
pub mod rate;
pub mod receipt;
pub mod record;
pub mod renewal;
pub mod sealing;
pub mod signing;
pub mod snapshot;
pub mod sync;
pub mod telemetry;
pub mod time;
pub mod trusted_time;
