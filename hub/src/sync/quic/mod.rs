//! The QUIC carrier: a session is the one stream of a connection. The one place in the hub that knows quinn.

mod carrier;
mod endpoint;
mod listener;

pub use endpoint::Error;
pub(crate) use endpoint::server_config;
pub(crate) use listener::Listener;
pub(crate) use quinn::{Endpoint, ServerConfig as SyncConfig};
