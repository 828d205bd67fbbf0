//! Who is who: certificates, enrolment tokens, secret files and TLS configurations.
//!
//! Always true of this crate: it reads no clock (time is an argument; rustls itself looks at the system clock when it
//! checks a certificate), it opens no sockets, and no secret shows in `Debug` or in an error.
//!
//! Read it in this order: [`authority`] (the hub's own CA), [`request`] (what an agent asks of it), [`token`] (how an
//! agent learns which CA to believe), [`tls`] (what both do with the result), [`renewal`], [`secret_file`].

pub mod authority;
pub mod fingerprint;
pub mod hub_address;
pub mod hub_signing;
pub mod peer;
pub mod pinned;
pub mod renewal;
pub mod request;
pub mod secret_file;
pub mod tls;
pub mod token;

mod csr;
mod digest;
mod validity;

#[cfg(test)]
mod handshakes;

/// The name that every hub certificate carries and every agent verifies, whatever address it dialled.
///
/// So a hub can move to another host or address without a new certificate in any plant.
pub const HUB_NAME: &str = "hub.sitewarden.internal";
