//! Getting the next certificate before, or after, the end of the one held.
//!
//! Always true: the TLS key stays as it is, so whichever certificate is on disk fits it. What the hub answers counts by its
//! signature and by the random number that it repeats, not by the connection that it came over.

use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::identity::{self, Identity};
use crate::sync::{Way, WayError};
use serde::{Deserialize, Serialize};
use sitewarden_certs::request::{self, TlsKey};
use sitewarden_certs::{peer, renewal::Held, secret_file, tls};
use sitewarden_protocol::frame;
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::renewal::{Answer, Asked, Challenge, Granted, Nonce, NotAnAnswer, Refused, Request};
use sitewarden_protocol::signing::PrivateKey;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long one request to the hub may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long an agent that was revoked, or that the hub does not know, asks no more.
const REST: Duration = Duration::from_secs(3_600);
/// The longest answer that is read.
const MAX_ANSWER: usize = frame::HEADER + frame::MAX_BODY;

/// The name of what is kept of a request in a file, beside the certificate.
const IN_FILE: &str = "asked.json";

/// What was asked in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InFile {
    nonce: Nonce,
    /// BLAKE3 of the certificate that was held then: once there is another, the answer is of no use any more.
    held: [u8; 32],
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TLS key cannot be used.
    #[error("the TLS key cannot be used: {0}")]
    Key(#[from] request::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The TLS configuration cannot be made.
    #[error("TLS: {0}")]
    Tls(#[from] tls::Error),
    /// Nobody can be asked.
    #[error(transparent)]
    Way(#[from] WayError),
    /// Nobody answers.
    #[error("the hub at {0} cannot be reached over HTTPS: {1}")]
    Unreachable(String, String),
    /// What answers is no hub, or a newer one.
    #[error("the hub at {0} gave an answer that this agent does not understand: {1}")]
    Answer(String, String),
    /// The answer is worth nothing.
    #[error(transparent)]
    NotAnAnswer(#[from] NotAnAnswer),
    /// The certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] peer::Error),
    /// The certificate is for another key.
    #[error("the hub's certificate is for another key than this agent's")]
    OtherKey,
    /// The hub says no.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// It cannot be written.
    #[error(transparent)]
    Store(#[from] identity::Error),
    /// What was asked cannot be written.
    #[error(transparent)]
    File(#[from] secret_file::Error),
}

/// Asks for certificates and takes them.
pub struct Renewer {
    agent: AgentId,
    hub: String,
    tls_key: Zeroizing<String>,
    signing_key: Arc<PrivateKey>,
    credentials: Arc<Credentials>,
    clock: Clock,
    way: Way,
    /// Until when it is of no use to ask.
    rests: Mutex<Option<Instant>>,
}

impl Renewer {
    /// For an enrolled agent.
    pub fn new(identity: &Identity, credentials: Arc<Credentials>, clock: Clock, way: Way) -> Self {
        Self {
            agent: identity.names.agent,
            hub: identity.names.hub_url(),
            tls_key: identity.tls_key.clone(),
            signing_key: Arc::clone(&identity.signing_key),
            credentials,
            clock,
            way,
            rests: Mutex::default(),
        }
    }

    /// Whether two thirds of the certificate's life are over, or the hub has come to another authority.
    pub fn is_due(&self) -> bool {
        let held = self.credentials.held();
        let newest = held.authorities.first();
        Held::read(&held.certificate)
            .is_ok_and(|own| own.is_due(self.clock.now()) || newest.is_some_and(|newest| !own.is_from(newest)))
    }

    /// Whether the certificate opens no door any more, or cannot be read.
    pub fn is_over(&self) -> bool {
        Held::read(&self.credentials.held().certificate).map_or(true, |own| own.is_over(self.clock.now()))
    }

    /// Whether the hub said not long ago that it gives this agent nothing.
    pub fn rests(&self) -> bool {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() < until)
    }

    /// A request, and the number that its answer repeats.
    ///
    /// # Errors
    /// [`Error::Key`] or [`Error::Random`].
    pub fn request(&self, challenge: Challenge) -> Result<(Nonce, Request), Error> {
        let mut nonce = Nonce::default();
        getrandom::fill(&mut nonce).map_err(|_| Error::Random)?;
        Ok((nonce, self.request_with(nonce, challenge)?))
    }

    /// A request whose answer repeats this number.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn request_with(&self, nonce: Nonce, challenge: Challenge) -> Result<Request, Error> {
        let csr = TlsKey::from_pem(&self.tls_key)?.csr_der()?;
        let asked = Asked { agent: self.agent, csr, nonce, challenge };
        Ok(Request::make(&asked, &self.signing_key))
    }

    /// A request to be carried in a file; the same for as long as this certificate is held. On disk before it is given away.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Random`] or [`Error::File`].
    pub fn request_in_file(&self) -> Result<Request, Error> {
        if let Some(nonce) = self.asked_in_file() {
            return self.request_with(nonce, Challenge::default());
        }
        let (nonce, request) = self.request(Challenge::default())?;
        if let Some(path) = self.credentials.place() {
            let asked = InFile { nonce, held: self.held() };
            secret_file::write(&path.join(IN_FILE), &serde_json::to_vec(&asked).unwrap_or_default())?;
        }
        Ok(request)
    }

    /// The number that a file asked with for the certificate after the one that is held; `None` if none did.
    pub fn asked_in_file(&self) -> Option<Nonce> {
        let asked = secret_file::read(&self.credentials.place()?.join(IN_FILE)).ok()?;
        let asked: InFile = serde_json::from_slice(&asked).ok()?;
        (asked.held == self.held()).then_some(asked.nonce)
    }

    fn held(&self) -> [u8; 32] {
        *blake3::hash(&self.credentials.held().certificate).as_bytes()
    }

    /// Takes what the hub granted, and answers whether it is another certificate. Waits for the disk.
    ///
    /// # Errors
    /// If it is not this hub's answer to this request, or cannot be written; then nothing has changed.
    pub fn take(&self, nonce: &Nonce, granted: &Granted) -> Result<bool, Error> {
        let renewed = granted.verify(&self.credentials.held().signing_keys, self.agent, nonce)?;
        let (own, read) = (TlsKey::from_pem(&self.tls_key)?.digest(), Held::read(&renewed.certificate)?);
        if own != read.key_digest {
            return Err(Error::OtherKey);
        }
        let new = self.credentials.held().certificate != renewed.certificate;
        self.credentials.renew(renewed.certificate, &renewed.trust)?;
        if new {
            tracing::info!(until = %read.not_after, "the agent's certificate is renewed");
        }
        Ok(new)
    }

    /// Asks over HTTPS, by proof of the signing key alone.
    ///
    /// # Errors
    /// See [`Error`]; then nothing has changed.
    pub async fn over_https(&self) -> Result<(), Error> {
        let asked = self.try_over_https().await;
        if let Err(Error::Refused(Refused::Revoked | Refused::Unknown)) = &asked {
            *self.rests.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
        }
        asked
    }

    async fn try_over_https(&self) -> Result<(), Error> {
        let unreachable = |error: reqwest::Error| Error::Unreachable(self.hub.clone(), error.to_string());
        let client = self.way.client().await?.tls_backend_preconfigured(tls::renewal_client()?).timeout(TIMEOUT);
        let client = client.build().map_err(unreachable)?;
        let (_, first) = self.request(Challenge::default())?;
        let (nonce, second) = match self.ask(&client, &first).await? {
            Answer::Challenge(challenge) => self.request(challenge)?,
            Answer::Refused(refused) => return Err(refused.into()),
            // Nothing is granted to one who was not asked to show that he asks now.
            Answer::Granted(_) => return Err(NotAnAnswer.into()),
        };
        match self.ask(&client, &second).await? {
            Answer::Granted(granted) => self.take(&nonce, &granted).map(drop),
            Answer::Refused(refused) => Err(refused.into()),
            Answer::Challenge(_) => Err(NotAnAnswer.into()),
        }
    }

    async fn ask(&self, client: &reqwest::Client, request: &Request) -> Result<Answer, Error> {
        let unreachable = |error: reqwest::Error| Error::Unreachable(self.hub.clone(), error.to_string());
        let puzzled = |reason: String| Error::Answer(self.hub.clone(), reason);
        let asking = client.post(format!("{}/api/v1/renew", self.hub));
        let asking = asking.header("content-type", "application/octet-stream").body(request.to_frame());
        let answer = asking.send().await.map_err(unreachable)?;
        let status = answer.status();
        if answer.content_length().is_none_or(|length| length > MAX_ANSWER as u64) {
            return Err(puzzled(format!("{status}, of unknown or excessive length")));
        }
        let body = answer.bytes().await.map_err(unreachable)?;
        Answer::from_frame(&body).map_err(|error| puzzled(format!("{status}, {error}")))
    }
}
