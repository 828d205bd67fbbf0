//! `POST /api/v1/enroll`: an agent with a one-time token becomes known.
//!
//! The body is a [`Request`]'s frame, the answer an [`Answer`]'s, with an HTTP status that says the same; both
//! `application/octet-stream`. Only what is no request at all is answered in JSON.

use super::{
    address,
    error::Error,
    rate::{Rate, neighbourhood},
};
use crate::keys::Authorities;
use crate::metrics::{Metrics, Reason};
use crate::store::{self, Redeemed, Redemption, Shown, Store};
use crate::sync::{Addressee, Signer};
use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{Extensions, HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use sitewarden_certs::authority;
use sitewarden_protocol::enrolment::{Again, Answer, Enrolled, OfflineRequest, Refused, Request};
use sitewarden_protocol::fingerprint::MAX_PARTS;
use sitewarden_protocol::id::{AgentId, SiteId};
use sitewarden_protocol::message::NEWEST_VERSION;
use sitewarden_protocol::time::UnixMillis;
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

const BINARY: &str = "application/octet-stream";
/// How long the store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most characters of a machine's name that are kept (DNS has 253).
const MAX_HOSTNAME: usize = 255;
/// The most characters of a program's version that are kept.
const MAX_PROGRAM: usize = 64;
/// Seconds after which one who tried too often may try again.
const RETRY_AFTER: &str = "10";

/// What enrolling takes.
pub(crate) struct Enrolment {
    pub(crate) store: Store,
    pub(crate) authorities: Arc<Authorities>,
    /// How long an agent's certificate lives.
    pub(crate) life: Duration,
    pub(crate) signer: Arc<Signer>,
    pub(crate) metrics: Arc<Metrics>,
    /// Where agents sync, once they are enrolled.
    pub(crate) sync_port: u16,
    pub(crate) rate: Rate,
}

/// The handler.
pub(super) async fn enroll(
    State(enrolment): State<Arc<Enrolment>>,
    extensions: Extensions,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let address = address::client(&extensions);
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != BINARY) {
        return Err(Error::MediaType);
    }
    let request = Request::from_frame(&body?).map_err(|error| {
        tracing::warn!(%address, %error, "an enrolment could not be read");
        enrolment.metrics.refuse(Reason::BadEnrolment);
        Error::NotAnEnrolment
    })?;
    Ok(respond(&enrolment.answer(address, request).await))
}

fn respond(answer: &Answer) -> Response {
    let status = match answer {
        Answer::Enrolled(_) | Answer::Again(_) => StatusCode::OK,
        Answer::Refused(Refused::UnknownToken) => StatusCode::FORBIDDEN,
        Answer::Refused(Refused::Used) => StatusCode::CONFLICT,
        Answer::Refused(Refused::Expired(_)) => StatusCode::GONE,
        Answer::Refused(Refused::Invalid(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        Answer::Refused(Refused::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = (status, [(header::CONTENT_TYPE, BINARY)], answer.to_frame()).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_AFTER));
    }
    response
}

/// Why the hub itself could not enrol an agent.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the store failed")]
    Store(#[from] store::Error),
    #[error("the store took too long")]
    Late(#[from] tokio::time::error::Elapsed),
    #[error("no certificate could be issued")]
    Authority(#[from] authority::Error),
    #[error("an agent that was enrolled again has no epoch to begin")]
    NotCleared,
    #[error("no random agent id could be made")]
    Random(#[from] getrandom::Error),
}

/// Who was enrolled.
#[derive(Debug, Clone, Copy)]
struct Known {
    agent: AgentId,
    site: SiteId,
    again: bool,
}

impl Enrolment {
    async fn answer(&self, address: IpAddr, request: Request) -> Answer {
        if !self.rate.take(neighbourhood(address), Instant::now().into_std()) {
            self.metrics.refuse(Reason::RateLimit);
            return Answer::Refused(Refused::Unavailable);
        }
        if request.check_proof().is_err() {
            return self.refuse(address, Refused::Invalid("its proofs do not hold".to_owned()));
        }
        let shown = Shown::Secret(Zeroizing::new(request.secret));
        match self.enrol(request, shown).await {
            Ok(Ok((enrolled, answer))) => {
                let (agent, site) = (enrolled.agent, enrolled.site);
                tracing::info!(%agent, %site, again = enrolled.again, %address, "enrolled an agent");
                self.metrics.enrolments.inc();
                answer
            }
            Ok(Err(refused)) => self.refuse(address, refused),
            Err(Failure::Authority(authority::Error::Request(error))) => {
                self.refuse(address, Refused::Invalid(error.to_string()))
            }
            Err(failure) => {
                tracing::error!(error = &failure as &dyn std::error::Error, "an agent could not be enrolled");
                Answer::Refused(Refused::Unavailable)
            }
        }
    }

    /// Answers a request that came in a file. An administrator brought it, so that nobody tries tokens this way.
    pub(crate) async fn answer_offline(&self, offline: OfflineRequest) -> Answer {
        let request = offline.request.clone();
        if request.check_proof().is_err() {
            return Answer::Refused(Refused::Invalid("its proofs do not hold".to_owned()));
        }
        match self.enrol(request, Shown::Offline(Box::new(offline))).await {
            Ok(Ok((enrolled, answer))) => {
                let (agent, site) = (enrolled.agent, enrolled.site);
                tracing::info!(%agent, %site, again = enrolled.again, "enrolled an agent by a file");
                self.metrics.enrolments.inc();
                answer
            }
            Ok(Err(refused)) => Answer::Refused(refused),
            Err(Failure::Authority(authority::Error::Request(error))) => {
                Answer::Refused(Refused::Invalid(error.to_string()))
            }
            Err(failure) => {
                tracing::error!(error = &failure as &dyn std::error::Error, "an agent could not be enrolled by a file");
                Answer::Refused(Refused::Unavailable)
            }
        }
    }

    fn refuse(&self, address: IpAddr, refused: Refused) -> Answer {
        let reason = if matches!(refused, Refused::Invalid(_)) { Reason::BadEnrolment } else { Reason::BadToken };
        self.metrics.refuse(reason);
        tracing::warn!(%address, reason = reason.name(), %refused, "refused an enrolment");
        Answer::Refused(refused)
    }

    async fn enrol(&self, request: Request, shown: Shown) -> Result<Result<(Known, Answer), Refused>, Failure> {
        let now = crate::wall_clock();
        let agent = new_agent_id(now)?;
        // Issued first because it checks the certificate request, and thrown away if the token is no good.
        let (authority, life) = (self.authorities.issuing(), self.life);
        let issued = authority.issue_agent(&request.csr, agent, life, now)?;
        let signing_key = request.signing_key;
        let redemption = Redemption {
            token: request.token,
            shown,
            agent,
            signing_key,
            tls_key: issued.key_digest,
            hostname: request.hostname.chars().take(MAX_HOSTNAME).collect(),
            program: request.program.chars().take(MAX_PROGRAM).collect(),
            fingerprint: request.fingerprint.into_iter().take(MAX_PARTS).collect(),
        };
        let issue = move |known| match known == agent {
            true => Ok(issued.cert_der),
            // A repeat: the answer was lost, and the agent keeps the name that it was given then.
            false => {
                let issued = authority.issue_agent(&request.csr, known, life, now);
                issued.map(|issued| issued.cert_der).map_err(|error| error.to_string())
            }
        };
        let (known, certificate) = match timeout(STORE_TIMEOUT, self.store.redeem(now, redemption, issue)).await?? {
            Redeemed::Enrolled { agent, site, certificate, again } => (Known { agent, site, again }, certificate),
            Redeemed::Unknown => return Ok(Err(Refused::UnknownToken)),
            Redeemed::Used => return Ok(Err(Refused::Used)),
            Redeemed::Expired(at) => return Ok(Err(Refused::Expired(at))),
        };
        let Known { agent, site, again } = known;
        let parts = timeout(STORE_TIMEOUT, self.store.snapshot_of(site)).await??;
        // A request does not say what its agent can read; one that is too old is told to be updated.
        let to = Addressee { agent, signing_key, version: NEWEST_VERSION };
        let voice = self.signer.voice(to.version);
        let snapshot = self.signer.snapshot(&voice, parts, to, now);
        let enrolled = Enrolled { agent, site, certificate, sync_port: self.sync_port, snapshot };
        if !again {
            return Ok(Ok((known, Answer::Enrolled(Box::new(enrolled)))));
        }
        let cleared = timeout(STORE_TIMEOUT, self.store.clearance(agent, 0)).await??.ok_or(Failure::NotCleared)?;
        let cleared = self.signer.cleared(&voice, &cleared);
        Ok(Ok((known, Answer::Again(Box::new(Again { enrolled, cleared })))))
    }
}

fn new_agent_id(now: UnixMillis) -> Result<AgentId, Failure> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)?;
    Ok(AgentId::new(now, random))
}
