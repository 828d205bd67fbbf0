//! Sitewarden's hub: issues licences, takes in signed batches from all agents exactly once, serves administrators.
//!
//! [`start`] runs a hub inside any tokio runtime, so tests use the same way in as the program does. Read it in this
//! order: [`server`] (what starts and ends when), [`sync`] (sessions with agents), [`ingest`] (a batch's way into the
//! store), [`store`] (the only module that knows SQL), [`http`], [`admin`] (the command line's way into a running hub).

pub mod admin;
pub mod backup;
mod bundle;
pub mod cli;
pub mod config;
mod development;
pub mod doctor;
pub mod folder;
pub mod http;
pub mod ingest;
pub mod init;
pub mod keys;
pub mod logging;
pub mod metrics;
pub mod password;
mod renewal;
pub mod server;
mod settings;
pub mod store;
pub mod sync;
pub mod webhooks;

pub use server::{Hub, start};

use sitewarden_protocol::time::UnixMillis;

/// The wall clock. Read where something is signed or stored for others; nothing here measures spans with it.
pub(crate) fn wall_clock() -> UnixMillis {
    UnixMillis::from(chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()))
}
