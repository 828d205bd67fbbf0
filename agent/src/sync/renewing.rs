//! When the line asks for the agent's next certificate, and a file.
//!
//! On disk: `identity/asked.json`, while a request that went into a file waits for its answer: the number that the
//! answer repeats, and for which certificate it asks the next. So the answer counts weeks and starts later, and all files that
//! were written meanwhile ask the same. The key is the agent's own, and is not made anew.

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

    /// A request to be carried in a file, if one is due; the same for as long as no answer came. On disk before it is given
    /// away.
    pub(super) async fn due_in_file(&self) -> Option<Request> {
        if !self.renewer.is_due() {
            return None;
        }
        let renewer = Arc::clone(&self.renewer);
        match tokio::task::spawn_blocking(move || renewer.request_in_file()).await {
            Ok(Ok(request)) => Some(request),
            Ok(Err(error)) => {
                tracing::error!(%error, "the agent cannot ask for its next certificate in a file");
                None
            }
            Err(_) => None,
        }
    }

    /// The answer to what was asked in the session or in a file; whether there is a new certificate. Waits for the disk.
    pub(super) async fn answered(&mut self, answer: Answer) -> bool {
        let renewer = Arc::clone(&self.renewer);
        let in_file = tokio::task::spawn_blocking(move || renewer.asked_in_file()).await.ok().flatten();
        let asked: Vec<_> = self.nonce.take().into_iter().chain(in_file).collect();
        if asked.is_empty() {
            return false;
        }
        let taken = match answer {
            Answer::Granted(granted) => {
                let renewer = Arc::clone(&self.renewer);
                let take = move || {
                    let tries = asked.iter().map(|nonce| renewer.take(nonce, &granted));
                    tries.reduce(|before, next| if before.is_ok() { before } else { next }).unwrap_or(Ok(false))
                };
                tokio::task::spawn_blocking(take).await.unwrap_or(Ok(false))
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
