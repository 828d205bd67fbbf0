//! Starts everything in order, and stops it in the opposite one.

use crate::anonymity::{self, Anonymity, Switches};
use crate::bundle::{self, Bundles};
use crate::clock::{self, Clock, Source};
use crate::config::Config;
use crate::credentials::Credentials;
use crate::enforcement::{self, Denials, Enforcement, StartError};
use crate::folder::{self, Folder, Lock};
use crate::host;
use crate::http::{self, Api, Served};
use crate::identity::{self, Identity, Names};
use crate::journal::{Journal, StoreError};
use crate::logins::{self, Logins};
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::proof::Prover;
use crate::sync::{self, Line};
use crate::telemetry::{self, Telemetry};
use crate::users::{self, Users};
use sitewarden_certs::secret_file;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::record::{Body, Record};
use sitewarden_protocol::sync::agent::Release;
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::trusted_time::Change;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

/// How often the machine's clocks are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often licence time is kept on disk: so much of it a power cut can take back.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How long the tasks may take to end after the listeners have.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// The identity cannot be read.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// The journal cannot be opened.
    #[error("the journal cannot be opened: {0}")]
    Journal(#[from] StoreError),
    /// The state cannot be restored.
    #[error(transparent)]
    State(#[from] StartError),
    /// The clock cannot be restored.
    #[error(transparent)]
    Clock(#[from] clock::Error),
    /// The users cannot be read.
    #[error(transparent)]
    Users(#[from] users::LoadError),
    /// The key of the pseudonyms cannot be used.
    #[error(transparent)]
    Anonymity(#[from] anonymity::Error),
    /// A listener cannot be opened.
    #[error("cannot listen on {place}: {source}")]
    Listen {
        /// Where.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// What is known about telemetry cannot be read.
    #[error(transparent)]
    Telemetry(#[from] telemetry::StartError),
    /// Who is logged in cannot be read.
    #[error(transparent)]
    Logins(#[from] logins::LoadError),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// An agent that serves.
pub struct Running {
    /// Where the local API listens.
    pub http: SocketAddr,
    folder: Folder,
    journal: Journal,
    tcp: Served<SocketAddr>,
    socket: Served<std::os::unix::net::SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    writer: JoinHandle<()>,
    enforcement: Enforcement,
    anew: Arc<Notify>,
    _lock: Lock,
}

/// Starts an enrolled agent whose machine's clocks are read from `source`.
///
/// # Errors
/// See [`Error`].
pub async fn start(folder: &Folder, config: &Config, source: Box<dyn Source>) -> Result<Running, Error> {
    let lock = prepare(folder)?;
    let (identity, metrics) = (Identity::load(folder)?, Arc::new(Metrics::new()));
    let acknowledged = enforcement::remembered_acknowledgement(folder)?;
    let names = Arc::new(identity.names.clone());
    let credentials = Credentials::of(folder, &identity)?;
    let snapshot = enforcement::stored_snapshot(folder, &names.signing_keys)?;
    let clock = Clock::start(folder, snapshot.version.issued_at, config.clock_settings(), source)?;
    let journal = open_journal(folder, config, &identity, acknowledged, &metrics, &clock).await?;
    let acknowledged = acknowledged.max(journal.superseded());
    let anonymity = Arc::new(Anonymity::load(folder, Arc::<Switches>::default())?);
    let recorder = (journal.clone(), Arc::clone(&anonymity));
    let (enforcement, writer) =
        Enforcement::start(folder, recorder.clone(), clock.clone(), snapshot, Arc::clone(&credentials))?;
    let (users, logins) = people(folder)?;
    let release = if config.telemetry.live { Release::Live } else { Release::Nothing };
    let (line, questions) = Line::new(&names, config.way(folder), acknowledged, release);
    let telemetry = telemetry::Parts {
        clock: clock.clone(),
        journal: journal.clone(),
        line: line.clone(),
        live: config.telemetry.live,
        anonymity: Arc::clone(&anonymity),
        enforcement: enforcement.clone(),
    };
    let (telemetry, wishes) = Telemetry::open(folder, &names, telemetry)?;
    let (denials, denials_keeper) = Denials::new(recorder.clone(), clock.clone(), metrics.denials.clone());
    let (prover, machine) = (prover(&identity)?, Machine::default());
    let ((stop, stopping), anew) = (watch::channel(false), Arc::<Notify>::default());
    let parts = sync::Parts {
        identity,
        credentials,
        clock: clock.clone(),
        journal: journal.clone(),
        enforcement: enforcement.clone(),
        metrics: Arc::clone(&metrics),
        line: line.clone(),
        retry_max: config.retry_max(),
        switches: Arc::clone(anonymity.switches()),
        anew: Arc::clone(&anew),
    };
    let bundles = bundles(folder, config, &names, &parts);
    let tasks = vec![
        tokio::spawn(keep_line(parts, questions, stopping.clone())),
        tokio::spawn(telemetry::run(telemetry.clone(), wishes, stopping.clone())),
        tokio::spawn(host::watch::watch(watched(folder, config, &clock, &recorder), stopping.clone())),
        tokio::spawn(machine.clone().watch(folder.clone(), recorder.clone(), clock.clone(), stopping.clone())),
        tokio::spawn(denials_keeper.run(stopping.clone())),
        tokio::spawn(keep_time(clock.clone(), recorder, stopping)),
    ];
    let api = Api {
        clock,
        enforcement: enforcement.clone(),
        denials,
        journal: journal.clone(),
        anonymity,
        users,
        logins,
        telemetry,
        metrics,
        line,
        prover,
        names,
        machine,
        bundles,
    };
    let (tcp, socket, http) = listen(folder, config, api)?;
    let folder = folder.clone();
    Ok(Running { http, folder, journal, tcp, socket, stop, tasks, writer, enforcement, anew, _lock: lock })
}

/// Bundles go beside the line, with the same things.
fn bundles(folder: &Folder, config: &Config, names: &Arc<Names>, beside: &sync::Parts) -> Bundles {
    Bundles::new(bundle::Parts {
        folder: folder.clone(),
        names: Arc::clone(names),
        signing_key: Arc::clone(&beside.identity.signing_key),
        clock: beside.clock.clone(),
        journal: beside.journal.clone(),
        enforcement: beside.enforcement.clone(),
        line: beside.line.clone(),
        switches: Arc::clone(&beside.switches),
        one_way: config.bundle.one_way,
    })
}

fn prepare(folder: &Folder) -> Result<Lock, Error> {
    folder.check_enrolled()?;
    let lock = folder.lock()?;
    identity::finish(folder)?;
    folder.make("run")?;
    folder.make("state")?;
    folder.clear_run();
    Ok(lock)
}

fn people(folder: &Folder) -> Result<(Arc<Users>, Arc<Logins>), Error> {
    let mut digest_key = Zeroizing::new([0; 32]);
    getrandom::fill(digest_key.as_mut_slice()).map_err(|_| Error::Random)?;
    let users = Users::load(folder.state("users.json"), digest_key)?;
    let key = telemetry::LocalKey::open(folder).map_err(telemetry::StartError::from)?;
    let logins = Logins::load(folder.state("logins.json"), &key.derive("sitewarden agent tokens 1"))?;
    Ok((Arc::new(users), Arc::new(logins)))
}

fn watched(
    folder: &Folder,
    config: &Config,
    clock: &Clock,
    (journal, anonymity): &(Journal, Arc<Anonymity>),
) -> host::watch::Parts {
    host::watch::Parts {
        journal: journal.clone(),
        clock: clock.clone(),
        anonymity: Arc::clone(anonymity),
        disk: folder.path().to_owned(),
        interval: Duration::from_secs(config.host.interval_seconds.into()),
    }
}

fn prover(identity: &Identity) -> Result<Arc<Prover>, Error> {
    let mut run = [0; 16];
    getrandom::fill(&mut run).map_err(|_| Error::Random)?;
    let Names { agent, site, .. } = identity.names;
    Ok(Arc::new(Prover::new(Arc::clone(&identity.signing_key), agent, site, run)))
}

impl Running {
    /// Ends, with the reason, only if the journal fails: then the process is to stop and be started again.
    pub async fn failed(&self) -> String {
        self.journal.failed().await
    }

    /// Ends when the agent is to be stopped and started again in this process, because the hub's administrator lets it go on
    /// in a fresh epoch.
    pub async fn anew(&self) {
        self.anew.notified().await;
    }

    /// Stops in good order: requests under way end, and the state is written down.
    pub async fn stop(self) {
        self.folder.clear_run();
        self.tcp.stop().await;
        self.socket.stop().await;
        self.stop.send_replace(true);
        for task in self.tasks {
            if tokio::time::timeout(STOP_TIMEOUT, task).await.is_err() {
                tracing::warn!("a task did not end in time");
            }
        }
        drop(self.enforcement);
        if tokio::time::timeout(STOP_TIMEOUT, self.writer).await.is_err() {
            tracing::warn!("the state was not written in time; the next start replays the journal");
        }
        // The journal's thread ends with its last handle, and lets go of the disk: a start right after this finds it free.
        let mut head = self.journal.head();
        drop(self.journal);
        let released = async { while head.changed().await.is_ok() {} };
        if tokio::time::timeout(STOP_TIMEOUT, released).await.is_err() {
            tracing::warn!("the journal was not closed in time");
        }
    }
}

/// Carries over what a fork left behind, before anything else uses the journal; time does not begin before its newest
/// record.
async fn open_journal(
    folder: &Folder,
    config: &Config,
    identity: &Identity,
    acknowledged: Position,
    metrics: &Metrics,
    clock: &Clock,
) -> Result<Journal, StoreError> {
    let (path, agent, settings) = (folder.journal(), identity.names.agent, config.journal_settings());
    let (counters, now) = (Arc::clone(&metrics.journal), clock.now());
    let open = move || Journal::open(&path, agent, settings, acknowledged, counters, now);
    let opened = tokio::task::spawn_blocking(open).await;
    let journal = opened.unwrap_or_else(|error| Err(StoreError::Damaged(error.to_string())))?;
    if let Err(error) = journal.carry_over(now).await {
        tracing::error!(%error, "what was recorded since a fork is not carried over yet; the next start tries again");
    }
    if let Some(at) = newest_record(&journal).await {
        clock.not_before(at);
    }
    Ok(journal)
}

type Listeners = (Served<SocketAddr>, Served<std::os::unix::net::SocketAddr>, SocketAddr);

/// Opens both listeners; only then says where, so that whoever finds the address can call it.
fn listen(folder: &Folder, config: &Config, api: Api) -> Result<Listeners, Error> {
    let at = |place: String| move |source| Error::Listen { place, source };
    let socket_path = folder.run("agent.sock");
    let place = socket_path.display().to_string();
    let socket = UnixListener::bind(&socket_path).map_err(at(place.clone()))?;
    std::fs::set_permissions(&socket_path, std::fs::Permissions::from_mode(0o600)).map_err(at(place.clone()))?;
    let socket = http::serve_socket(socket, http::operator_routes(api.clone())).map_err(at(place))?;
    let place = config.http.to_string();
    let tcp = TcpListener::bind(config.http).map_err(at(place.clone()))?;
    let address = tcp.local_addr().map_err(at(place.clone()))?;
    let tcp = http::serve_tcp(tcp, http::app_routes(api)).map_err(at(place))?;
    secret_file::write_public(&folder.run("http.addr"), address.to_string().as_bytes())?;
    Ok((tcp, socket, address))
}

async fn keep_line(parts: sync::Parts, questions: sync::Questions, stopping: watch::Receiver<bool>) {
    if let Err(error) = sync::run(parts, questions, stopping).await {
        tracing::error!(%error, "there is no line to the hub; records are kept");
    }
}

/// Looks at the clocks every second, records what happened to them, and keeps licence time on disk.
async fn keep_time(clock: Clock, recorder: (Journal, Arc<Anonymity>), mut stopping: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut saved: Option<Instant> = None;
    loop {
        let stop = tokio::select! {
            _ = tick.tick() => false,
            _ = stopping.changed() => true,
        };
        clock.tick();
        let changes = clock.take_changes();
        for change in &changes {
            tracing::warn!(cause = ?change.cause, wall = %change.wall, before = %change.before, after = %change.after, "the clock");
        }
        if !record_changes(&recorder, &changes, clock.now()).await {
            clock.put_back(changes.clone());
        }
        if stop || !changes.is_empty() || saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY) {
            saved = Some(Instant::now());
            let clock = clock.clone();
            let kept = tokio::task::spawn_blocking(move || clock.save()).await;
            if let Ok(Err(error)) = kept {
                tracing::warn!(%error, "licence time is not kept; a restart would begin at the hub's last word");
            }
        }
        if stop {
            break;
        }
    }
}

/// Whether they are on disk.
async fn record_changes((journal, anonymity): &(Journal, Arc<Anonymity>), changes: &[Change], now: UnixMillis) -> bool {
    if changes.is_empty() {
        return true;
    }
    let records: Result<Vec<_>, _> =
        changes.iter().map(|change| anonymity.encode(now, &Body::Clock(*change))).collect();
    let appended = match records {
        Ok(records) => journal.append(records.into_iter().collect()).await.map(drop).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = &appended {
        tracing::warn!(error, "a change of the clock is not recorded yet");
    }
    appended.is_ok()
}

/// When the newest record was made; `None` if there is none but the first, which says that the journal began, or if it
/// cannot be read.
async fn newest_record(journal: &Journal) -> Option<UnixMillis> {
    let (journal, head) = (journal.clone(), *journal.head().borrow());
    let before = Position { seq: head.seq.checked_sub(1).filter(|seq| *seq > 0)?, ..head };
    let draft = tokio::task::spawn_blocking(move || journal.read_after(before)).await.ok()?.ok()??;
    let newest = draft.records.iter().last()?;
    Record::decode(newest).ok().map(|record| record.at)
}
