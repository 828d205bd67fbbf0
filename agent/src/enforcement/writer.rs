//! The one task that changes the site's state.
//!
//! It takes the commands that are waiting, decides each on the state that the ones before it leave, appends all their
//! records in one go, and only then publishes and answers.

mod seats;

pub(super) use seats::SeatCommand;

use super::checkpoint;
use super::site::{Denied, Mark, ReserveError, Reserved, ReservedSome, Site, State};
use crate::anonymity::Anonymity;
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::folder::Folder;
use crate::journal::{AppendError, Journal};
use arc_swap::ArcSwap;
use sitewarden_certs::secret_file;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::codec;
use sitewarden_protocol::license::{self, ActivationError, License, ReliefError};
use sitewarden_protocol::record::{Activation, Body, MonitorChange, Override, Run};
use sitewarden_protocol::snapshot;
use sitewarden_protocol::time::UnixMillis;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

/// Commands that are decided and written together.
const GROUP: usize = 256;
/// By how much more or less than uptime licence time goes on if it was corrected.
const JUMP: Duration = Duration::from_secs(60);
/// How long a group is waited for, at most.
const GATHER: Duration = Duration::from_millis(2);
/// How often the derived state is written, if records were. Bounds what a start has to replay.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// A change, with the place for its answer.
pub(super) enum Command {
    Reserve {
        app: String,
        monitor: String,
        answer: oneshot::Sender<Result<Reserved, ReserveError>>,
    },
    ReserveSome {
        app: String,
        monitors: Vec<String>,
        all_or_nothing: bool,
        answer: oneshot::Sender<Result<ReservedSome, ReserveError>>,
    },
    Release {
        app: String,
        monitor: String,
        answer: oneshot::Sender<Result<bool, AppendError>>,
    },
    List {
        app: String,
        answer: oneshot::Sender<Vec<String>>,
    },
    Activate {
        key: String,
        replace: bool,
        by: String,
        answer: oneshot::Sender<Result<License, ActivateError>>,
    },
    Install {
        signed: Box<snapshot::Signed>,
        answer: oneshot::Sender<Result<bool, InstallError>>,
    },
    Override {
        days: u16,
        reason: String,
        by: String,
        answer: oneshot::Sender<Result<UnixMillis, OverrideError>>,
    },
    Seats(SeatCommand),
    Acknowledged {
        through: Position,
    },
}

/// No override begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// The rules do not allow it.
    #[error(transparent)]
    Refused(#[from] ReliefError),
    /// It is allowed, and could not be made durable.
    #[error(transparent)]
    Journal(#[from] AppendError),
}

/// A licence is not activated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivateError {
    /// The rules do not allow it.
    #[error(transparent)]
    Refused(#[from] ActivationError),
    /// It is allowed, and could not be made durable.
    #[error(transparent)]
    Journal(#[from] AppendError),
}

/// A snapshot is not taken.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It is not the hub's, or unreadable.
    #[error(transparent)]
    Unacceptable(#[from] snapshot::Error),
    /// It is another site's.
    #[error("the snapshot is for another site")]
    OtherSite,
    /// It is older than the one in force.
    #[error("the snapshot is revision {offered}, and revision {have} is in force")]
    Older {
        /// The revision that came.
        offered: u64,
        /// The revision in force.
        have: u64,
    },
    /// It cannot be stored.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// Sends the answer once the group's records are durable, or could not be made so.
type Reply = Box<dyn FnOnce(Result<(), AppendError>) + Send>;

/// What a group of commands comes to before it is written.
struct Group {
    at: UnixMillis,
    mark: Mark,
    bodies: Vec<Body>,
    replies: Vec<Reply>,
}

pub(super) struct Writer {
    folder: Folder,
    journal: Journal,
    anonymity: Arc<Anonymity>,
    clock: Clock,
    site: Site,
    credentials: Arc<Credentials>,
    state: Arc<ArcSwap<State>>,
    acknowledged: Position,
    /// What the checkpoint on disk says: derived up to, and acknowledged up to.
    written: (Position, Position),
    /// Licence time and uptime when the last group began.
    looked: (UnixMillis, Duration),
}

impl Writer {
    pub(super) fn new(
        folder: Folder,
        (journal, anonymity): (Journal, Arc<Anonymity>),
        clock: Clock,
        site: Site,
        credentials: Arc<Credentials>,
        state: Arc<ArcSwap<State>>,
        (through, acknowledged): (Position, Position),
    ) -> Self {
        let (written, looked) = ((through, acknowledged), (clock.now(), clock.uptime()));
        Self { folder, journal, anonymity, clock, site, credentials, state, acknowledged, written, looked }
    }

    /// Until every handle is gone.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut tick = interval_at(Instant::now() + CHECKPOINT_EVERY, CHECKPOINT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = Vec::with_capacity(GROUP);
        // A caller alone never waits.
        let mut expected = 1;
        loop {
            tokio::select! {
                taken = commands.recv_many(&mut waiting, GROUP) => {
                    if taken == 0 {
                        break;
                    }
                    gather(&mut commands, &mut waiting, expected).await;
                    expected = waiting.len();
                    self.group(waiting.drain(..)).await;
                }
                _ = tick.tick() => {
                    self.end_lapsed().await;
                    self.checkpoint().await;
                }
            }
        }
        self.checkpoint().await;
    }

    async fn group(&mut self, commands: impl Iterator<Item = Command>) {
        let mut group = self.begin();
        for command in commands {
            match command {
                Command::Reserve { app, monitor, answer } => self.reserve(app, monitor, answer, &mut group),
                Command::ReserveSome { app, monitors, all_or_nothing, answer } => {
                    let decided = self.decide_some(app, monitors, all_or_nothing, &mut group);
                    group.replies.push(Box::new(move |written| {
                        let outcome = decided.map_err(ReserveError::from);
                        drop(answer.send(outcome.and_then(|some| written.map(|()| some).map_err(ReserveError::from))));
                    }));
                }
                Command::Release { app, monitor, answer } => self.release(app, monitor, answer, &mut group),
                Command::Activate { key, replace, by, answer } => self.activate(&key, replace, by, answer, &mut group),
                Command::List { app, answer } => {
                    let listed = self.site.derived().monitors.get(&app).map(|all| all.iter().cloned().collect());
                    drop(answer.send(listed.unwrap_or_default()));
                }
                Command::Install { signed, answer } => {
                    // A snapshot stands between what came before it and what came after.
                    let before = std::mem::replace(&mut group, self.begin());
                    self.write(before).await;
                    let installed = self.install(*signed).await;
                    group = self.begin();
                    drop(answer.send(installed));
                }
                Command::Override { days, reason, by, answer } => {
                    self.begin_override(days, reason, by, answer, &mut group)
                }
                Command::Seats(command) => self.seats(command, &mut group),
                Command::Acknowledged { through } => self.acknowledged = self.acknowledged.max(through),
            }
        }
        self.write(group).await;
    }

    /// A group of changes begins, at this moment and with what goes back if it cannot be made durable.
    fn begin(&mut self) -> Group {
        let (now, uptime) = (self.clock.now(), self.clock.uptime());
        let (last_now, last_uptime) = std::mem::replace(&mut self.looked, (now, uptime));
        let expected = last_now.after(uptime.saturating_sub(last_uptime));
        if now.since(expected).max(expected.since(now)) > JUMP {
            // Licence time was corrected: silence up to now says nothing about who is there.
            self.site.listen(now);
            self.state.store(Arc::new(self.site.state()));
        }
        Group { at: now, mark: self.site.mark(), bodies: Vec::new(), replies: Vec::new() }
    }

    async fn write(&mut self, mut group: Group) {
        let asked_for = group.bodies.len();
        // A quota that is passed, or no longer, is told with what passed it.
        for overage in self.site.overages() {
            group.change(&mut self.site, overage);
        }
        let Group { at, mark, bodies, replies } = group;
        let records: Result<Run, _> = bodies.iter().map(|body| self.anonymity.encode(at, body)).collect();
        let written = match records {
            Ok(records) if records.count() == 0 => Ok(()),
            Ok(records) => self.journal.append(records).await.map(drop),
            Err(error) => Err(AppendError::TooLarge(error.0)),
        };
        match &written {
            Ok(()) => self.state.store(Arc::new(self.site.state())),
            Err(_) => self.site.back_to(mark, &bodies),
        }
        // An overage that cannot be told yet is found again with the next change, and is no reason to refuse what needed
        // nothing to be written.
        let written = if asked_for == 0 { Ok(()) } else { written };
        replies.into_iter().for_each(|reply| reply(written.clone()));
    }

    fn reserve(
        &mut self,
        app: String,
        monitor: String,
        answer: oneshot::Sender<Result<Reserved, ReserveError>>,
        group: &mut Group,
    ) {
        let before = self.site.has(&app, &monitor);
        let allowed = if before { Ok(self.quota(&app)) } else { self.site.may_reserve(&app, group.at) };
        let decided = match allowed {
            Ok(quota) => {
                if !before {
                    group.change(&mut self.site, Body::MonitorReserved(MonitorChange { app: app.clone(), monitor }));
                }
                Ok(Reserved { before, in_use: self.site.used(&app).in_use, quota })
            }
            Err(denied) => Err(denied),
        };
        group.replies.push(Box::new(move |written| {
            let outcome = match (decided, written) {
                (Err(denied), _) => Err(denied.into()),
                (Ok(_), Err(error)) => Err(error.into()),
                (Ok(reserved), Ok(())) => Ok(reserved),
            };
            drop(answer.send(outcome));
        }));
    }

    fn decide_some(
        &mut self,
        app: String,
        monitors: Vec<String>,
        all_or_nothing: bool,
        group: &mut Group,
    ) -> Result<ReservedSome, Denied> {
        let before = group.bodies.len();
        let (mut reserved, mut refused, mut denied) = (Vec::new(), Vec::new(), None);
        for monitor in monitors {
            let allowed = if self.site.has(&app, &monitor) {
                Ok(false)
            } else {
                self.site.may_reserve(&app, group.at).map(|_| true)
            };
            match allowed {
                Ok(new) => {
                    if new {
                        let change = MonitorChange { app: app.clone(), monitor: monitor.clone() };
                        group.change(&mut self.site, Body::MonitorReserved(change));
                    }
                    reserved.push(monitor);
                }
                Err(denied) if all_or_nothing => {
                    group.bodies.drain(before..).rev().for_each(|body| self.site.revert(&body));
                    return Err(denied);
                }
                Err(cause) => {
                    denied.get_or_insert(cause);
                    refused.push(monitor);
                }
            }
        }
        Ok(ReservedSome { reserved, refused, denied, in_use: self.site.used(&app).in_use, quota: self.quota(&app) })
    }

    fn quota(&self, app: &str) -> Option<u32> {
        license::in_force(self.site.licenses(), app).and_then(|license| license.limits.monitors)
    }

    fn release(
        &mut self,
        app: String,
        monitor: String,
        answer: oneshot::Sender<Result<bool, AppendError>>,
        group: &mut Group,
    ) {
        let had = self.site.has(&app, &monitor);
        if had {
            group.change(&mut self.site, Body::MonitorReleased(MonitorChange { app, monitor }));
        }
        group.replies.push(Box::new(move |written| drop(answer.send(written.map(|()| had)))));
    }

    fn activate(
        &mut self,
        key: &str,
        replace: bool,
        by: String,
        answer: oneshot::Sender<Result<License, ActivateError>>,
        group: &mut Group,
    ) {
        let site = &self.site;
        let allowed =
            license::activate(site.licenses(), site.id(), key, replace, group.at, |app| site.used(app).in_use);
        let decided = allowed.map(|allowed| {
            let id = allowed.license;
            group.change(
                &mut self.site,
                Body::LicenseActivated(Activation { license: id, replaces: allowed.replaces, by }),
            );
            self.site.licenses().iter().find(|license| license.id == id).cloned()
        });
        group.replies.push(Box::new(move |written| {
            let outcome = match (decided, written) {
                (Err(refused), _) => Err(refused.into()),
                (Ok(_), Err(error)) => Err(error.into()),
                (Ok(license), Ok(())) => license.ok_or_else(|| ActivationError::Unknown.into()),
            };
            drop(answer.send(outcome));
        }));
    }

    fn begin_override(
        &mut self,
        days: u16,
        reason: String,
        by: String,
        answer: oneshot::Sender<Result<UnixMillis, OverrideError>>,
        group: &mut Group,
    ) {
        let allowed = self.site.snapshot().override_days;
        let decided = self.site.derived().reliefs.may_begin(days, allowed, group.at);
        if let Ok(until) = decided {
            group.change(&mut self.site, Body::Override(Override { days, until, reason, by }));
        }
        group.replies.push(Box::new(move |written| {
            let outcome = decided.map_err(OverrideError::from);
            drop(answer.send(outcome.and_then(|until| written.map(|()| until).map_err(OverrideError::from))));
        }));
    }

    async fn install(&mut self, signed: snapshot::Signed) -> Result<bool, InstallError> {
        let trusted = self.credentials.held();
        let snapshot = signed.verify(&trusted.signing_keys)?;
        if snapshot.site != self.site.id() {
            return Err(InstallError::OtherSite);
        }
        let (offered, have) = (snapshot.version, self.site.snapshot().version);
        if offered.revision < have.revision {
            return Err(InstallError::Older { offered: offered.revision, have: have.revision });
        }
        if offered <= have {
            return Ok(false);
        }
        let (path, credentials, trust) =
            (self.folder.state("snapshot.bin"), Arc::clone(&self.credentials), snapshot.trust.clone());
        let stored = tokio::task::spawn_blocking(move || {
            secret_file::write(&path, &codec::encode(&signed))?;
            // The snapshot first: what is on disk must be believed at the next start.
            if let Err(error) = credentials.take_over(&trust, signed.signer(&trusted.signing_keys)) {
                tracing::error!(%error, "whom the hub says to trust from now on is not kept");
            }
            Ok::<_, secret_file::Error>(())
        });
        stored.await.map_err(|_| InstallError::Stopping)??;
        self.site.install(snapshot);
        self.state.store(Arc::new(self.site.state()));
        Ok(true)
    }

    /// Writes what was derived so far, if the journal has grown or the hub has confirmed more since the last time.
    async fn checkpoint(&mut self) {
        // Every record that changes the site comes from this task, so all of them up to the head are applied.
        let through = *self.journal.head().borrow();
        let known = (through, self.acknowledged);
        if known == self.written {
            return;
        }
        let (path, journal) = (self.folder.state(checkpoint::FILE), self.journal.clone());
        let written = match checkpoint::encode(through, self.acknowledged, self.site.derived()) {
            Ok(bytes) => tokio::task::spawn_blocking(move || {
                secret_file::write(&path, &bytes)?;
                journal.checkpointed(through);
                Ok::<_, checkpoint::Error>(())
            })
            .await
            .unwrap_or(Ok(())),
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => self.written = known,
            Err(error) => {
                tracing::error!(%error, "the checkpoint cannot be written; the journal keeps its records until it can")
            }
        }
    }
}

/// Those who took part in the last group are on their way back with their next commands: waits for as many. The journal
/// has the same rule, and sees this task as one caller.
async fn gather(commands: &mut mpsc::Receiver<Command>, waiting: &mut Vec<Command>, expected: usize) {
    let deadline = Instant::now() + GATHER;
    while waiting.len() < expected {
        let more = commands.recv_many(waiting, GROUP - waiting.len());
        if !matches!(timeout_at(deadline, more).await, Ok(1..)) {
            break;
        }
    }
}

impl Group {
    fn change(&mut self, site: &mut Site, body: Body) {
        site.apply_body(&body, self.at);
        self.bodies.push(body);
    }
}
