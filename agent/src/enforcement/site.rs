//! The site's state: what the one writer works on, and the picture of it that everybody reads.

use super::checkpoint::Monitors;
use crate::journal::AppendError;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::id::SiteId;
use sitewarden_protocol::license::seats::Machines;
use sitewarden_protocol::license::{
    self, BlockedNew, Cause, Circumstances, Explanation, License, LocalActivation, NoRoom, OverQuota, Relief, Reliefs,
    Status, Use,
};
use sitewarden_protocol::message::Quota;
use sitewarden_protocol::record::{Body, Excess, MonitorChange, Overage, Record};
use sitewarden_protocol::snapshot::Snapshot;
use sitewarden_protocol::time::UnixMillis;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is in force, as handlers read it.
#[derive(Debug)]
pub struct State {
    /// The hub's last word.
    pub snapshot: Arc<Snapshot>,
    /// The licences as they stand, with activations that the hub has not heard of.
    pub licenses: Arc<Vec<License>>,
    /// Monitors in use, by app.
    pub uses: BTreeMap<String, Use>,
    /// Emergency overrides of the last year.
    pub reliefs: Reliefs,
    /// Machines that are activated, with their users.
    pub machines: Arc<Machines>,
    /// Since when machines can be heard: the agent's start.
    pub listening_since: UnixMillis,
}

impl State {
    /// Decides whether `app` may be used at `now`.
    ///
    /// # Errors
    /// The cause of the denial, for the operator.
    pub fn access(&self, app: &str, now: UnixMillis) -> Result<Option<&License>, Cause> {
        license::access(&self.licenses, app, &self.circumstances(now), self.used(app))
    }

    /// Why `app` may or may not be used at `at`, and when that changes.
    pub fn explain(&self, app: &str, at: UnixMillis) -> Explanation {
        license::explain(&self.licenses, app, &self.circumstances(at), self.used(app))
    }

    /// What decisions at `now` depend on.
    pub fn circumstances(&self, now: UnixMillis) -> Circumstances {
        Circumstances {
            now,
            fresh_until: self.snapshot.fresh_until,
            relieved_until: self.reliefs.until(now, self.snapshot.override_days),
        }
    }

    /// What runs of an app.
    pub fn used(&self, app: &str) -> Use {
        self.uses.get(app).copied().unwrap_or_default()
    }

    /// Each licensed app's monitors.
    pub fn quotas(&self) -> Vec<Quota> {
        let active = self.licenses.iter().filter(|license| license.status == Status::Active);
        let quota = |license: &License| Quota {
            app: license.app.clone(),
            used: self.used(&license.app).in_use,
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
    /// Why the first of them did not.
    pub denied: Option<Denied>,
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
    BlockedNew(#[from] BlockedNew),
    /// The quota is used up.
    #[error("Unable to reserve the monitor as {0}")]
    Quota(#[from] OverQuota),
}

impl From<NoRoom> for Denied {
    fn from(error: NoRoom) -> Self {
        match error {
            NoRoom::BlockedNew(blocked) => blocked.into(),
            NoRoom::Quota(over) => over.into(),
        }
    }
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
    snapshot: Arc<Snapshot>,
    derived: Derived,
    licenses: Arc<Vec<License>>,
    listening_since: UnixMillis,
}

/// The small part of what is derived, as it was before a group of changes.
pub(super) struct Mark {
    over_since: BTreeMap<String, UnixMillis>,
    excess_since: BTreeMap<String, UnixMillis>,
    reliefs: Reliefs,
    machines: Arc<Machines>,
}

/// What is derived from the journal's records, and kept in the checkpoint.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Derived {
    /// Monitors in use.
    pub(super) monitors: Monitors,
    /// Activations that the hub has not heard of.
    pub(super) activations: Vec<LocalActivation>,
    /// Since when more of an app's monitors run than its quota.
    #[serde(default)]
    pub(super) over_since: BTreeMap<String, UnixMillis>,
    /// Since when more of them run than is permitted, the overage included.
    #[serde(default)]
    pub(super) excess_since: BTreeMap<String, UnixMillis>,
    /// Emergency overrides of the last year.
    #[serde(default)]
    pub(super) reliefs: Reliefs,
    /// Machines that are activated, with their users.
    #[serde(default, with = "super::seats::shared")]
    pub(super) machines: Arc<Machines>,
}

impl Site {
    pub(super) fn restore(snapshot: Snapshot, derived: Derived) -> Self {
        let mut site = Self {
            snapshot: Arc::new(snapshot),
            derived,
            licenses: Arc::default(),
            listening_since: UnixMillis::default(),
        };
        site.settle();
        site
    }

    /// The picture of it.
    pub(super) fn state(&self) -> State {
        State {
            snapshot: Arc::clone(&self.snapshot),
            licenses: Arc::clone(&self.licenses),
            uses: self.derived.monitors.keys().map(|app| (app.clone(), self.used(app))).collect(),
            reliefs: self.derived.reliefs.clone(),
            machines: Arc::clone(&self.derived.machines),
            listening_since: self.listening_since,
        }
    }

    /// From now on machines can be heard: the agent has begun, or its licence time was corrected.
    pub(super) fn listen(&mut self, now: UnixMillis) {
        self.derived.reliefs.use_up_what_is_to_come(now);
        self.listening_since = now;
    }

    pub(super) fn listening_since(&self) -> UnixMillis {
        self.listening_since
    }

    pub(super) fn machines(&self) -> &Machines {
        &self.derived.machines
    }

    pub(super) fn id(&self) -> SiteId {
        self.snapshot.site
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(super) fn derived(&self) -> &Derived {
        &self.derived
    }

    pub(super) fn licenses(&self) -> &[License] {
        &self.licenses
    }

    pub(super) fn used(&self, app: &str) -> Use {
        Use {
            in_use: self.derived.monitors.get(app).map_or(0, |monitors| number(monitors.len())),
            over_since: self.derived.over_since.get(app).copied(),
            excess_since: self.derived.excess_since.get(app).copied(),
        }
    }

    pub(super) fn circumstances(&self, now: UnixMillis) -> Circumstances {
        let relieved_until = self.derived.reliefs.until(now, self.snapshot.override_days);
        Circumstances { now, fresh_until: self.snapshot.fresh_until, relieved_until }
    }

    pub(super) fn has(&self, app: &str, monitor: &str) -> bool {
        self.derived.monitors.get(app).is_some_and(|monitors| monitors.contains(monitor))
    }

    /// Decides on one more monitor; the permitted number if it may be.
    pub(super) fn may_reserve(&self, app: &str, now: UnixMillis) -> Result<Option<u32>, Denied> {
        let (circumstances, used) = (self.circumstances(now), self.used(app));
        let allowed = license::access(&self.licenses, app, &circumstances, used)?;
        // License management needs no license, and so has no quota to take from.
        let license = allowed.ok_or_else(|| Cause::NoLicense { app: app.to_owned() })?;
        license::may_reserve(license, &circumstances, used)?;
        Ok(license.limits.monitors)
    }

    /// Overages that began or ended, and are not noted yet.
    pub(super) fn overages(&self) -> Vec<Body> {
        let Derived { monitors, over_since, excess_since, .. } = &self.derived;
        let apps = monitors.keys().chain(over_since.keys()).chain(excess_since.keys()).collect::<BTreeSet<_>>();
        apps.into_iter().flat_map(|app| self.overages_of(app)).collect()
    }

    fn overages_of(&self, app: &str) -> Vec<Body> {
        let (used, in_force) = (self.used(app), license::in_force(&self.licenses, app));
        let Some(License { id: license, limits, .. }) = in_force else { return vec![] };
        let (app, license, in_use) = (app.to_owned(), *license, used.in_use);
        let quota = limits.monitors.unwrap_or(u32::MAX);
        let permitted = in_force.and_then(License::permitted).unwrap_or(u32::MAX);
        let over = (in_use > quota) != used.over_since.is_some();
        let excess = (in_use > permitted) != used.excess_since.is_some();
        let over = over.then(|| Body::Overage(Overage { app: app.clone(), license, in_use, quota }));
        let excess = excess.then_some(Body::Excess(Excess { app, license, in_use, permitted }));
        over.into_iter().chain(excess).collect()
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
                self.derived.monitors.entry(app.clone()).or_default().insert(monitor.clone());
            }
            Body::MonitorReleased(MonitorChange { app, monitor }) => {
                if let Some(monitors) = self.derived.monitors.get_mut(app) {
                    monitors.remove(monitor);
                    if monitors.is_empty() {
                        self.derived.monitors.remove(app);
                    }
                }
            }
            Body::LicenseActivated(activation) => {
                self.derived.activations.retain(|known| known.license != activation.license);
                let (license, replaces) = (activation.license, activation.replaces);
                self.derived.activations.push(LocalActivation { license, replaces, at });
                self.settle();
            }
            Body::Overage(Overage { app, in_use, quota, .. }) => {
                if in_use > quota {
                    self.derived.over_since.insert(app.clone(), at);
                } else {
                    self.derived.over_since.remove(app);
                }
            }
            Body::Excess(Excess { app, in_use, permitted, .. }) => {
                if in_use > permitted {
                    self.derived.excess_since.insert(app.clone(), at);
                } else {
                    self.derived.excess_since.remove(app);
                }
            }
            Body::Override(begun) => self.derived.reliefs.begin(Relief { at, until: begun.until }),
            body if Machines::concerns(body) => Arc::make_mut(&mut self.derived.machines).apply(body, at),
            _ => {}
        }
    }

    /// What [`Self::back_to`] needs beside the records since: what they replace or let go of. As small as it is rare.
    pub(super) fn mark(&self) -> Mark {
        let Derived { over_since, excess_since, reliefs, machines, .. } = &self.derived;
        let (over_since, excess_since) = (over_since.clone(), excess_since.clone());
        Mark { over_since, excess_since, reliefs: reliefs.clone(), machines: Arc::clone(machines) }
    }

    /// Undoes changes that could not be made durable; `bodies` are all those since the mark.
    pub(super) fn back_to(&mut self, mark: Mark, bodies: &[Body]) {
        bodies.iter().rev().for_each(|body| self.revert(body));
        let derived = &mut self.derived;
        (derived.over_since, derived.excess_since) = (mark.over_since, mark.excess_since);
        (derived.reliefs, derived.machines) = (mark.reliefs, mark.machines);
    }

    /// Undoes a change that could not be made durable, but for what a [`Mark`] restores.
    pub(super) fn revert(&mut self, body: &Body) {
        match body {
            Body::MonitorReserved(change) => self.apply_body(&Body::MonitorReleased(change.clone()), UnixMillis(0)),
            Body::MonitorReleased(change) => self.apply_body(&Body::MonitorReserved(change.clone()), UnixMillis(0)),
            Body::LicenseActivated(activation) => {
                self.derived.activations.retain(|known| known.license != activation.license);
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
        self.derived.activations.retain(|known| !settled(known));
        self.snapshot = Arc::new(snapshot);
        self.settle();
    }

    fn settle(&mut self) {
        self.licenses = Arc::new(license::effective(&self.snapshot.licenses, &self.derived.activations));
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
