//! The way to the hub, as the settings have it; for sessions, and for the few requests beside them.

use super::proxy::{self, Proxy};
use crate::config::Carrier;
use std::time::Duration;

/// What the settings say of the way to the hub.
#[derive(Debug, Clone)]
pub struct Way {
    /// Which carriers may be used.
    pub carrier: Carrier,
    /// How long QUIC rests after it did not get through.
    pub quic_rest: Duration,
    /// The proxy for HTTPS.
    pub proxy: Option<Proxy>,
    /// Whether the network card may cut packets.
    pub segmentation_offload: bool,
}

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is to be no way.
    #[error("the air gap is set (sync.carrier = \"none\"): this agent opens no connection")]
    AirGap,
    /// The proxy's settings cannot be used.
    #[error(transparent)]
    Proxy(#[from] proxy::Error),
    /// The proxy's address cannot be used.
    #[error("the proxy's address cannot be used: {0}")]
    Address(#[from] reqwest::Error),
}

impl Way {
    /// Begins a client for single HTTPS requests.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn client(&self) -> Result<reqwest::ClientBuilder, Error> {
        if self.carrier == Carrier::None {
            return Err(Error::AirGap);
        }
        // The environment of the process has no say: the settings are what an operator can read.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let Some(proxy) = &self.proxy else { return Ok(client) };
        let mut through = reqwest::Proxy::all(proxy.address.to_string())?;
        if let Some(authorization) = proxy.authorization().await? {
            through = through.custom_http_auth(authorization);
        }
        Ok(client.proxy(through))
    }
}
