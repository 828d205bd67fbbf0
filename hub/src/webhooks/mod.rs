//! Webhooks leave the hub here: what the store's outbox holds is signed and sent.
//!
//! Always true: what is sent was committed before, and is sent until somebody answers with success or its time is over;
//! which addresses may be called is decided on the very address that is connected to; no redirect is followed; every
//! wait has a limit and every buffer a bound; no slow or broken endpoint keeps the others waiting; nothing of a secret,
//! and no address with what may be in it, gets into the log.

mod networks;
mod send;
mod sign;
mod url;
mod worker;

pub use networks::{Network, Networks, NotANetwork};
pub use send::NoClient;
pub use url::{NotAWebhookUrl, WebhookUrl};
pub(crate) use worker::work;
