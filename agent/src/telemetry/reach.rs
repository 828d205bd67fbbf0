//! Whether the licence server answers: a real request, short, with TLS that is checked.

use super::Place;
use crate::sync::{Way, WayError};
use sitewarden_certs::fingerprint::Fingerprint;
use sitewarden_certs::tls;
use std::time::Duration;

/// How long the server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there was no answer; for the log, the API has fixed texts.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is no place to ask.
    #[error("no URL is set")]
    Nowhere,
    /// The hub's authority is not known.
    #[error("the authority of the enrolment cannot be read")]
    Authority,
    /// There is no way.
    #[error(transparent)]
    Way(#[from] WayError),
    /// The TLS configuration cannot be made.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// Nobody answers, or not the right one.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// It answers that it is not well.
    #[error("it answers {0}")]
    Status(reqwest::StatusCode),
}

/// Asks the server whether it is there.
///
/// # Errors
/// See [`Error`].
pub(super) async fn test(place: &Place, way: &Way) -> Result<(), Error> {
    let agent = concat!("sitewarden-agent/", env!("CARGO_PKG_VERSION"));
    let client = way.client().await?.timeout(TIMEOUT).user_agent(agent);
    let (client, url) = match place {
        Place::Nowhere => return Err(Error::Nowhere),
        Place::Hub { url, authority } => {
            let authority = authority.as_ref().ok_or(Error::Authority)?;
            let tls = tls::enrolment_client(Fingerprint::of(authority))?;
            (client.tls_backend_preconfigured(tls), format!("{url}/healthz"))
        }
        Place::Elsewhere { url } => (client, url.clone()),
    };
    let answer = client.build()?.get(url).send().await?;
    let status = answer.status();
    let well = if matches!(place, Place::Hub { .. }) { status.is_success() } else { !status.is_server_error() };
    if well { Ok(()) } else { Err(Error::Status(status)) }
}
