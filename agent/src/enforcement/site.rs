//! The site's state: what the one writer works on, and the picture of it that everybody reads.

use super::checkpoint::Monitors;
use crate::journal::AppendError;
use sitewarden_protocol::id::SiteId;
use sitewarden_protocol::license::{self, Cause, License, LocalActivation, OverQuota, Rung, Status};
use sitewarden_protocol::message::Quota;
use sitewarden_protocol::record::{Body, MonitorChange, Record};
use sitewarden_protocol::snapshot::Snapshot;
use sitewarden_protocol::time::UnixMillis;
use std::collections::BTreeMap;

/// What is in force, as handlers read it.
#[derive(Debug)]
pub struct State {
    /// The hub's last word.
    pub snapshot: Snapshot,
    /// The licences as they stand, with activations that the hub has not heard of.
    pub licenses: Vec<License>,
    /// Monitors in use, by app.
    pub in_use: BTreeMap<String, u32>,
}

impl State {
    /// Decides whether `app` may be used at `now`.
    ///
    /// # Errors
    /// The cause of the denial, for the operator.
    pub fn access(&self, app: &str, now: UnixMillis) -> Result<Option<&License>, Cause> {
        license::access(&self.licenses, app, now, self.snapshot.fresh_until)
    }

    /// Each licensed app's monitors.
    pub fn quotas(&self) -> Vec<Quota> {
        let active = self.licenses.iter().filter(|license| license.status == Status::Active);
        let quota = |license: &License| Quota {
            app: license.app.clone(),
            used: self.in_use.get(&license.app).copied().unwrap_or(0),
            permitted: license.limits.monitors,
        };
        active.map(quota).collect()
    }
}

/// A monitor is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// Whether it was reserved before.
    pub before: bool,
    /// The app's monitors in use, with it.
    pub in_use: u32,
    /// How many are permitted; `None` for without limit.
    pub quota: Option<u32>,
}

/// Several monitors were asked for at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedSome {
    /// Those that are reserved now, those that were before included.
    pub reserved: Vec<String>,
    /// Those that did not fit.
    pub refused: Vec<String>,
    /// The app's monitors in use, with them.
    pub in_use: u32,
    /// How many are permitted; `None` for without limit.
    pub quota: Option<u32>,
}

/// Something is not allowed, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The app may not be used at all.
    #[error(transparent)]
    Access(#[from] Cause),
    /// The app may go on, but nothing new may start.
    #[error("no new monitors: {0}")]
    BlockedNew(String),
    /// The quota is used up.
    #[error("Unable to reserve the monitor as {0}")]
    Quota(#[from] OverQuota),
}

/// A monitor is not reserved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// It is not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It is allowed, and could not be made durable.
    #[error(transparent)]
    Journal(#[from] AppendError),
}

/// What the writer works on.
pub(super) struct Site {
    id: SiteId,
    snapshot: Snapshot,
    monitors: Monitors,
    activations: Vec<LocalActivation>,
    licenses: Vec<License>,
}

impl Site {
    pub(super) fn restore(
        id: SiteId,
        snapshot: Snapshot,
        monitors: Monitors,
        activations: Vec<LocalActivation>,
    ) -> Self {
        let mut site = Self { id, snapshot, monitors, activations, licenses: Vec::new() };
        site.settle();
        site
    }

    /// The picture of it.
    pub(super) fn state(&self) -> State {
        let count =
            |(app, monitors): (&String, &std::collections::BTreeSet<String>)| (app.clone(), number(monitors.len()));
        State {
            snapshot: self.snapshot.clone(),
            licenses: self.licenses.clone(),
            in_use: self.monitors.iter().map(count).collect(),
        }
    }

    pub(super) fn id(&self) -> SiteId {
        self.id
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(super) fn monitors(&self) -> &Monitors {
        &self.monitors
    }

    pub(super) fn activations(&self) -> &[LocalActivation] {
        &self.activations
    }

    pub(super) fn licenses(&self) -> &[License] {
        &self.licenses
    }

    pub(super) fn in_use(&self, app: &str) -> u32 {
        self.monitors.get(app).map_or(0, |monitors| number(monitors.len()))
    }

    pub(super) fn has(&self, app: &str, monitor: &str) -> bool {
        self.monitors.get(app).is_some_and(|monitors| monitors.contains(monitor))
    }

    /// Decides on one more monitor; the permitted number if it may be.
    pub(super) fn may_reserve(&self, app: &str, now: UnixMillis) -> Result<Option<u32>, Denied> {
        let allowed = license::access(&self.licenses, app, now, self.snapshot.fresh_until)?;
        // License management needs no license, and so has no quota to take from.
        let license = allowed.ok_or_else(|| Cause::NoLicense { app: app.to_owned() })?;
        let standing = license.standing(now, self.snapshot.fresh_until);
        if standing.rung >= Some(Rung::BlockNew) {
            let cause =
                if standing.expired { "the license has expired" } else { "the license information is out of date" };
            return Err(Denied::BlockedNew(cause.to_owned()));
        }
        license::may_reserve(license, self.in_use(app))?;
        Ok(license.limits.monitors)
    }

    /// The same record always has the same effect, now and in a replay.
    pub(super) fn apply(&mut self, record: &Record) {
        match record.decode_body() {
            Ok(body) => self.apply_body(&body, record.at),
            Err(error) => {
                tracing::error!(%error, kind = record.kind, "a record of the journal cannot be read; it has no effect")
            }
        }
    }

    pub(super) fn apply_body(&mut self, body: &Body, at: UnixMillis) {
        match body {
            Body::MonitorReserved(MonitorChange { app, monitor }) => {
                self.monitors.entry(app.clone()).or_default().insert(monitor.clone());
            }
            Body::MonitorReleased(MonitorChange { app, monitor }) => {
                if let Some(monitors) = self.monitors.get_mut(app) {
                    monitors.remove(monitor);
                    if monitors.is_empty() {
                        self.monitors.remove(app);
                    }
                }
            }
            Body::LicenseActivated(activation) => {
                self.activations.retain(|known| known.license != activation.license);
                self.activations.push(LocalActivation {
                    license: activation.license,
                    replaces: activation.replaces,
                    at,
                });
                self.settle();
            }
            _ => {}
        }
    }

    /// Undoes a change that could not be made durable.
    pub(super) fn revert(&mut self, body: &Body) {
        match body {
            Body::MonitorReserved(change) => self.apply_body(&Body::MonitorReleased(change.clone()), UnixMillis(0)),
            Body::MonitorReleased(change) => self.apply_body(&Body::MonitorReserved(change.clone()), UnixMillis(0)),
            Body::LicenseActivated(activation) => {
                self.activations.retain(|known| known.license != activation.license);
                self.settle();
            }
            _ => {}
        }
    }

    pub(super) fn install(&mut self, snapshot: Snapshot) {
        // The hub's word on a licence ends what was only known here.
        let settled = |known: &LocalActivation| {
            snapshot.licenses.iter().any(|license| license.id == known.license && license.status != Status::Inactive)
        };
        self.activations.retain(|known| !settled(known));
        self.snapshot = snapshot;
        self.settle();
    }

    fn settle(&mut self) {
        self.licenses = license::effective(&self.snapshot.licenses, &self.activations);
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
