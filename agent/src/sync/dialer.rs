//! Makes connections to the hub over the carriers that the settings allow.

use super::choice::Kind;
use super::connection::{Connection, Event};
use super::way::Way;
use super::{https, quic};
use crate::config::Carrier;
use crate::credentials::Credentials;
use crate::identity::Identity;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long QUIC may take where HTTPS can be tried after it.
const QUIC_TIMEOUT: Duration = Duration::from_secs(6);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not over QUIC.
    #[error(transparent)]
    Quic(#[from] quic::Error),
    /// Not over HTTPS.
    #[error(transparent)]
    Https(#[from] https::Error),
    /// Over neither: the two reasons.
    #[error("{}; {}", .0.0, .0.1)]
    Neither(Box<(quic::Error, https::Error)>),
    /// The settings allow no carrier.
    #[error("the settings allow no carrier")]
    None,
}

impl Error {
    /// For the metric's label.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::None => "configuration",
            Self::Quic(error) => error.kind(),
            Self::Https(error) => error.kind(),
            Self::Neither(errors) => errors.1.kind(),
        }
    }
}

/// Makes connections.
pub(super) struct Dialer {
    quic: Option<quic::Dialer>,
    https: Option<https::Dialer>,
}

impl Dialer {
    pub(super) fn new(identity: &Identity, credentials: &Arc<Credentials>, way: &Way) -> Result<Self, Error> {
        let (quic, https) = match way.carrier {
            Carrier::Auto => (true, true),
            Carrier::Quic => (true, false),
            Carrier::Https => (false, true),
            Carrier::None => (false, false),
        };
        let quic =
            quic.then(|| quic::Dialer::new(identity, Arc::clone(credentials), way.segmentation_offload)).transpose()?;
        let https =
            https.then(|| https::Dialer::new(identity, Arc::clone(credentials), way.proxy.clone())).transpose()?;
        Ok(Self { quic, https })
    }

    /// Tries these carriers one after the other.
    pub(super) async fn dial(&self, order: &[Kind], events: &mpsc::Sender<Event>) -> Result<(Kind, Connection), Error> {
        let mut failed = None;
        for kind in order {
            let tried = match kind {
                Kind::Quic => self.quic(order.len() > 1, events.clone()).await,
                Kind::Https => self.https(events.clone()).await,
            };
            failed = match (tried, failed) {
                (Ok(connection), _) => return Ok((*kind, connection)),
                (Err(Error::Https(https)), Some(Error::Quic(quic)))
                | (Err(Error::Quic(quic)), Some(Error::Https(https))) => Some(Error::Neither(Box::new((quic, https)))),
                (Err(error), _) => Some(error),
            };
        }
        Err(failed.unwrap_or(Error::None))
    }

    /// Whether QUIC gets through.
    pub(super) async fn probe(&self) -> bool {
        let Some(quic) = &self.quic else { return false };
        matches!(timeout(QUIC_TIMEOUT, quic.probe()).await, Ok(Ok(())))
    }

    /// Says goodbye on the wire.
    pub(super) async fn close(&self) {
        if let Some(quic) = &self.quic {
            quic.close().await;
        }
    }

    async fn quic(&self, hurried: bool, events: mpsc::Sender<Event>) -> Result<Connection, Error> {
        let quic = self.quic.as_ref().ok_or(Error::None)?;
        if !hurried {
            return Ok(quic.dial(events).await?);
        }
        Ok(timeout(QUIC_TIMEOUT, quic.dial(events)).await.unwrap_or_else(|_| Err(quic.late()))?)
    }

    async fn https(&self, events: mpsc::Sender<Event>) -> Result<Connection, Error> {
        Ok(self.https.as_ref().ok_or(Error::None)?.dial(events).await?)
    }
}
