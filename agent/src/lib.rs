//! Sitewarden's edge agent: decides on a plant's own machine who may run what, and carries records to the hub.
//!
//! [`server::start`] runs one; [`cli::run`] is the program.

pub mod anonymity;
pub mod bundle;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod doctor;
pub mod enforcement;
pub mod enrolment;
pub mod folder;
pub mod host;
pub mod http;
pub mod identity;
pub mod journal;
pub mod logging;
pub mod logins;
pub mod machine;
pub mod metrics;
pub mod proof;
pub mod renewal;
pub mod schedule;
pub mod server;
pub mod sync;
pub mod telemetry;
pub mod users;
