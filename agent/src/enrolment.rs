//! Enrolling: with a one-time token, over HTTPS whose authority the token pins.
//!
//! Always true: a refusal leaves the folder as it was. If the answer was lost on the way, the keys are kept, and the
//! same command asks again with them and gets the same answer.
//!
//! Enrolling again gives an agent other keys: what it derived and recorded stays, and its journal goes on in a fresh epoch,
//! which is on disk before the new identity is. So there is no moment at which the new key would sign in the old epoch.

use crate::config::Config;
use crate::folder::Folder;
use crate::identity::{self, Names};
use crate::journal::{Journal, Settings, StoreError};
use crate::sync::{Way, WayError};
use crate::{clock, enforcement, host, machine};
use base64::Engine as _;
use sitewarden_certs::request::TlsKey;
use sitewarden_certs::token::EnrolmentToken;
use sitewarden_certs::{request, secret_file, tls, token};
use sitewarden_protocol::clearance::NotCleared;
use sitewarden_protocol::enrolment::{Again, Answer, Enrolled, Refused, Request};
use sitewarden_protocol::fingerprint::Parts;
use sitewarden_protocol::id::{AgentId, SiteId};
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::{codec, frame};
use std::error::Error as _;
use std::fs;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long the hub may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer that is read.
const MAX_ANSWER: usize = frame::HEADER + frame::MAX_BODY;

/// Why the agent is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is an agent in this folder.
    #[error(
        "{0} holds an enrolled agent already; to give it other keys, have the hub's administrator run: sitewarden-hub agent \
         invite --agent ID, and run with that token: sitewarden-agent enroll --again"
    )]
    Enrolled(std::path::PathBuf),
    /// The token makes a new agent, and another key was asked for.
    #[error(
        "this token makes a new agent; for enrolling again the hub's administrator makes one with: sitewarden-hub agent invite --agent ID"
    )]
    NotAgain,
    /// The token gives an agent another key, and a new agent was asked for.
    #[error("this token enrolls agent {0} again; use it with --again, on the machine that is to be this agent")]
    OnlyAgain(AgentId),
    /// Another agent is in this folder.
    #[error("the token is for agent {token}, and {folder} holds agent {here}; nothing was changed")]
    OtherAgent {
        /// Whom the token is for.
        token: AgentId,
        /// Who is here.
        here: AgentId,
        /// Where.
        folder: std::path::PathBuf,
    },
    /// What is not confirmed would not fit.
    #[error(
        "the disk has no room for what the hub has not confirmed, which is written once more; make room first. Nothing was changed"
    )]
    NoRoom,
    /// The settings cannot be read.
    #[error(transparent)]
    Config(#[from] crate::config::Invalid),
    /// What the hub confirmed cannot be read.
    #[error("state/checkpoint.json: {0}")]
    State(Box<enforcement::StartError>),
    /// The journal cannot be used.
    #[error("the journal: {0}")]
    Journal(#[from] StoreError),
    /// The fresh epoch is not the hub's word.
    #[error(transparent)]
    NotCleared(#[from] NotCleared),
    /// The token is not usable.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// Whoever answers is not the hub that made the token.
    #[error(
        "the server at {0} is not the hub that made this token: its certificate authority is another. Nothing was sent. Ask for a new token, or look for somebody in between"
    )]
    WrongAuthority(String),
    /// Nobody answers.
    #[error("the hub at {hub} cannot be reached: {reason}")]
    Unreachable {
        /// Where.
        hub: String,
        /// Why, in words.
        reason: String,
    },
    /// The request went out, and no answer came back: the hub may have enrolled the agent.
    #[error("the hub at {hub} gave no answer: {reason}. The same command may be tried again with the same token")]
    NoAnswer {
        /// Where.
        hub: String,
        /// Why, in words.
        reason: String,
    },
    /// The hub says no.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The answer is not one.
    #[error("the hub at {hub} gave an answer that this agent does not understand: {reason}")]
    Answer {
        /// Where.
        hub: String,
        /// Why, in words.
        reason: String,
    },
    /// The hub has enrolled the agent, and what it answered cannot be kept here.
    #[error(
        "the hub has enrolled this agent, but its answer cannot be stored: {0}. Mend that and run the same command again"
    )]
    Store(#[source] Box<Self>),
    /// The first snapshot is not signed by the keys that it names.
    #[error("the hub's first snapshot is not acceptable: {0}")]
    Snapshot(#[from] sitewarden_protocol::snapshot::Error),
    /// The answer in a file cannot be used.
    #[error("{0}")]
    Bundle(Box<crate::bundle::Error>),
    /// The answer in a file is not the hub's.
    #[error("the answer is not from the hub that made this token; nothing was changed")]
    NotTheHub,
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] crate::folder::Error),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// The machine's parts cannot be stored.
    #[error(transparent)]
    Machine(#[from] machine::Error),
    /// Keys cannot be stored.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// Keys cannot be made.
    #[error("{0}")]
    Keys(#[from] request::Error),
    /// There is no way to the hub, by the settings.
    #[error(transparent)]
    Way(#[from] WayError),
    /// The TLS configuration cannot be made.
    #[error("{0}")]
    Tls(#[from] tls::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl Error {
    /// Whether the hub may have enrolled the agent although no answer came.
    fn may_have_reached(&self) -> bool {
        matches!(
            self,
            Self::NoAnswer { .. } | Self::Answer { .. } | Self::Refused(Refused::Unavailable) | Self::Store(_)
        )
    }
}

/// What became known by enrolling.
#[derive(Debug)]
pub struct Outcome {
    /// The agent's name at the hub.
    pub agent: AgentId,
    /// The site it looks after.
    pub site: SiteId,
    /// The site's name.
    pub site_name: String,
    /// Licences that wait to be activated or are active.
    pub licenses: usize,
}

/// Enrols an agent into `folder`, which is made if need be, by this way; `again` gives the agent of the token other keys.
///
/// # Errors
/// See [`Error`]; then nothing has changed.
pub async fn enrol(folder: &Folder, token_text: &str, again: bool, way: &Way) -> Result<Outcome, Error> {
    let token = EnrolmentToken::parse(token_text)?;
    check(folder, &token, again)?;
    let made = !folder.path().exists();
    if made {
        secret_file::create_folder(folder.path())?;
    }
    let _lock = folder.lock()?;
    identity::finish(folder)?;
    let tried_before = folder.pending_identity().exists();
    let result = match room(folder, &token) {
        Ok(()) => try_enrol(folder, &token, way).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        undo(folder, made, tried_before, error);
    }
    result
}

/// Whether this token may be used on this folder.
///
/// # Errors
/// See [`Error`].
pub(crate) fn check(folder: &Folder, token: &EnrolmentToken, again: bool) -> Result<(), Error> {
    match token.agent {
        None if again => return Err(Error::NotAgain),
        None if folder.check_enrolled().is_ok() => return Err(Error::Enrolled(folder.path().to_owned())),
        Some(agent) if !again => return Err(Error::OnlyAgain(agent)),
        Some(agent) => {
            let here = identity::names(folder).map(|names| names.agent);
            if let Some(here) = here.filter(|here| *here != agent) {
                return Err(Error::OtherAgent { token: agent, here, folder: folder.path().to_owned() });
            }
        }
        None => {}
    }
    Ok(token.check_expiry(clock::wall())?)
}

/// Whether what the hub has not confirmed fits on the disk once more, before the hub is asked to cut off the old keys.
pub(crate) fn room(folder: &Folder, token: &EnrolmentToken) -> Result<(), Error> {
    if token.agent.is_some() && !Journal::has_room_again(&folder.journal())? {
        return Err(Error::NoRoom);
    }
    Ok(())
}

/// Removes what a refused try has made, and the keys of an earlier try only once the hub says that they are of no use:
/// until then they are the only ones that its answer fits. What cannot be removed does no harm; the next try begins
/// with it.
fn undo(folder: &Folder, made_folder: bool, tried_before: bool, error: &Error) {
    let refused = matches!(error, Error::Refused(Refused::UnknownToken | Refused::Used | Refused::Expired(_)));
    if error.may_have_reached() || (tried_before && !refused) {
        return;
    }
    let _ = fs::remove_dir_all(folder.pending_identity());
    if made_folder {
        let _ = fs::remove_dir_all(folder.path());
    }
}

async fn try_enrol(folder: &Folder, token: &EnrolmentToken, way: &Way) -> Result<Outcome, Error> {
    let (tls_key, signing_key) = keys(folder)?;
    let request = request(token, &tls_key, &signing_key)?;
    let answer = ask(token, &request, way).await?;
    take(folder, token, &answer, &request.fingerprint).await
}

/// Takes the hub's answer, which is to be trusted: it came over a connection that the token's fingerprint pins, or is vouched
/// for by the authority that the token names.
pub(crate) async fn take(
    folder: &Folder,
    token: &EnrolmentToken,
    answer: &Answer,
    parts: &Parts,
) -> Result<Outcome, Error> {
    let kept = match (answer, token.agent) {
        (Answer::Enrolled(enrolled), None) => store(folder, token, enrolled, parts),
        (Answer::Again(again), Some(agent)) if again.enrolled.agent == agent => {
            match begin_again(folder, again).await {
                Ok(()) => store(folder, token, &again.enrolled, parts),
                Err(error) => Err(error),
            }
        }
        (Answer::Refused(refused), _) => return Err(refused.clone().into()),
        (Answer::Enrolled(_) | Answer::Again(_), _) => {
            let (hub, reason) = (token.hub.to_string(), "it is about another agent".to_owned());
            return Err(Error::Answer { hub, reason });
        }
    };
    kept.map_err(|error| Error::Store(Box::new(error)))
}

/// Has the journal go on in the epoch from which on the new key counts.
async fn begin_again(folder: &Folder, again: &Again) -> Result<(), Error> {
    let agent = again.enrolled.agent;
    let trusted = again.enrolled.snapshot.read()?.trust.signing_keys;
    let clearance = again.cleared.verify(&trusted, agent)?;
    let remembered = enforcement::remembered_acknowledgement(folder);
    let acknowledged = remembered.map_err(|error| Error::State(Box::new(error)))?;
    let settings: Settings = Config::load(folder, None)?.journal_settings();
    Ok(Journal::clear_again(&folder.journal(), (agent, settings), acknowledged, &clearance, clock::wall()).await?)
}

/// What an agent with these keys asks with.
pub(crate) fn request(token: &EnrolmentToken, tls_key: &TlsKey, signing_key: &PrivateKey) -> Result<Request, Error> {
    let csr = tls_key.csr_der()?;
    Ok(Request {
        token: token.id,
        secret: *token.secret,
        proof: Request::prove(&token.id, &csr, signing_key),
        csr,
        signing_key: signing_key.public(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: host::name(),
        fingerprint: host::fingerprint(),
    })
}

fn store(folder: &Folder, token: &EnrolmentToken, enrolled: &Enrolled, parts: &Parts) -> Result<Outcome, Error> {
    let unchecked = enrolled.snapshot.read()?;
    let snapshot = enrolled.snapshot.verify(&unchecked.trust.signing_keys)?;
    let base64 = |der: &Vec<u8>| base64::engine::general_purpose::STANDARD.encode(der);
    let names = Names {
        agent: enrolled.agent,
        site: enrolled.site,
        hub_host: token.hub.host().to_owned(),
        hub_url: token.hub.url(),
        sync_port: enrolled.sync_port,
        authorities: snapshot.trust.authorities.iter().map(base64).collect(),
        signing_keys: snapshot.trust.signing_keys.clone(),
    };
    folder.make("state")?;
    secret_file::write(&folder.state("snapshot.bin"), &codec::encode(&enrolled.snapshot))?;
    machine::enrol(folder, parts)?;
    identity::complete(folder, &names, &enrolled.certificate)?;
    Ok(Outcome {
        agent: enrolled.agent,
        site: enrolled.site,
        site_name: snapshot.site_name,
        licenses: snapshot.licenses.len(),
    })
}

/// New keys, or those of a try whose answer did not come.
pub(crate) fn keys(folder: &Folder) -> Result<(TlsKey, PrivateKey), Error> {
    if let Some((tls_key, signing_key)) = identity::read_pending(folder)? {
        return Ok((TlsKey::from_pem(&tls_key)?, signing_key));
    }
    let tls_key = TlsKey::generate()?;
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|_| Error::Random)?;
    identity::write_pending(folder, &tls_key.pem(), &seed)?;
    Ok((tls_key, PrivateKey::from_seed(&seed)))
}

async fn ask(token: &EnrolmentToken, request: &Request, way: &Way) -> Result<Answer, Error> {
    let hub = token.hub.to_string();
    let unreachable = |error: reqwest::Error| {
        let (hub, reason) = (hub.clone(), root_cause(&error));
        match error.is_connect() {
            _ if error.source().is_some_and(tls::is_wrong_ca) => Error::WrongAuthority(hub),
            true => Error::Unreachable { hub, reason },
            false => Error::NoAnswer { hub, reason },
        }
    };
    let client = way
        .client()
        .await?
        .tls_backend_preconfigured(tls::enrolment_client(token.ca)?)
        .timeout(TIMEOUT)
        .build()
        .map_err(unreachable)?;
    let answer = client
        .post(format!("{}/api/v1/enroll", token.hub.url()))
        .header("content-type", "application/octet-stream")
        .body(request.to_frame())
        .send()
        .await
        .map_err(unreachable)?;
    let puzzled = |reason: String| Error::Answer { hub: hub.clone(), reason };
    let status = answer.status();
    if answer.content_length().is_none_or(|length| length > MAX_ANSWER as u64) {
        return Err(puzzled(format!("{status}, of unknown or excessive length")));
    }
    let body = answer.bytes().await.map_err(|error| puzzled(root_cause(&error)))?;
    Answer::from_frame(&body).map_err(|error| puzzled(format!("{status}, {error}")))
}

/// The innermost of an error's causes: what a person can act on.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
