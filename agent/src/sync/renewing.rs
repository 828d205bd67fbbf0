//! When the line asks for the agent's next certificate.

use crate::renewal::{Error, Renewer};
use sitewarden_protocol::renewal::{Answer, Challenge, Nonce, Request};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer may take, and how long it is waited before asking again where none came.
const RETRY: Duration = Duration::from_secs(60);
/// Between two requests over HTTPS: a hub that was not there is asked again soon, and none is flooded.
const HTTPS_RETRY: Duration = Duration::from_secs(10);
/// Between two requests of an agent whose new certificate is due at once: its clock is far ahead of the hub's.
const STILL_DUE: Duration = Duration::from_secs(3_600);

/// What was asked, and when may be asked again.
pub(super) struct Renewing {
    renewer: Arc<Renewer>,
    nonce: Option<Nonce>,
    not_before: Instant,
    /// Before this, the next connection is tried with what there is.
    https_not_before: Instant,
    /// The hub did not take the certificate, or this agent the hub's.
    refused: bool,
}

impl Renewing {
    pub(super) fn new(renewer: Arc<Renewer>) -> Self {
        let now = Instant::now();
        Self { renewer, nonce: None, not_before: now, https_not_before: now, refused: false }
    }

    /// A request to send in the session that stands, if one is due.
    pub(super) fn due(&mut self) -> Option<Request> {
        if Instant::now() < self.not_before || !self.renewer.is_due() {
            return None;
        }
        self.not_before = Instant::now() + RETRY;
        match self.renewer.request(Challenge::default()) {
            Ok((nonce, request)) => {
                self.nonce = Some(nonce);
                Some(request)
            }
            Err(error) => {
                tracing::error!(%error, "the agent cannot ask for its next certificate");
                None
            }
        }
    }

    /// The answer to it; whether there is a new certificate. Waits for the disk.
    pub(super) async fn answered(&mut self, answer: Answer) -> bool {
        let Some(nonce) = self.nonce.take() else { return false };
        let taken = match answer {
            Answer::Granted(granted) => {
                let renewer = Arc::clone(&self.renewer);
                tokio::task::spawn_blocking(move || renewer.take(&nonce, &granted)).await.unwrap_or(Ok(false))
            }
            Answer::Refused(refused) => Err(Error::Refused(refused)),
            Answer::Challenge(_) => Ok(false),
        };
        match taken {
            Ok(new) => {
                let wait = if self.renewer.is_due() { STILL_DUE } else { Duration::ZERO };
                self.not_before = Instant::now() + wait;
                new
            }
            Err(error) => {
                tracing::warn!(%error, "the agent's certificate is not renewed");
                false
            }
        }
    }

    /// A session was refused before it began.
    pub(super) fn turned_away(&mut self) {
        self.refused = true;
    }

    /// What is to be done before the next connection, if the certificate alone would not open the door.
    pub(super) fn before_dialling(&mut self) -> Option<Arc<Renewer>> {
        let may = self.https_not_before <= Instant::now() && !self.renewer.rests();
        let needed = may && (self.refused || self.renewer.is_over());
        if needed {
            self.refused = false;
            self.https_not_before = Instant::now() + HTTPS_RETRY;
        }
        needed.then(|| Arc::clone(&self.renewer))
    }
}
