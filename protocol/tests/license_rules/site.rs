//! A model of one site: the hub's list of its licences, what of it has reached the plant, and the plant's clocks.

use super::steps::{APPS, START, Step};
use sitewarden_protocol::id::{LicenseId, SiteId};
use sitewarden_protocol::license::{
    Circumstances, KeyDigest, Kind, License, Limits, LocalActivation, Relief, Reliefs, Status, Use, access, activate,
    effective, in_force, key_hint, may_reserve,
};
use sitewarden_protocol::snapshot::Version;
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::trusted_time::{Reading, Settings, TrustedTime};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) const SITE: SiteId = SiteId::from_bytes([1; 16]);
/// Days of override that the vendor allows in a year.
pub(crate) const OVERRIDE_DAYS: u16 = 30;
/// A machine that is read once a day only is far from how it is, but loses no property; less often would.
const READ_EVERY: i64 = super::steps::DAY;

/// A snapshot, as far as the rules go.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) version: Version,
    pub(crate) licenses: Vec<License>,
    fresh_until: UnixMillis,
}

#[derive(Clone)]
pub(crate) struct Site {
    // The hub.
    pub(crate) hub: Vec<License>,
    revision: u64,
    sent: Vec<Snapshot>,
    // The plant.
    pub(crate) snapshot: Snapshot,
    activations: Vec<LocalActivation>,
    /// Activations in the journal that the hub has not heard of.
    untold: Vec<LocalActivation>,
    pub(crate) reliefs: Reliefs,
    /// Every override that ever began.
    pub(crate) overrides: Vec<Relief>,
    monitors: BTreeMap<usize, BTreeSet<u8>>,
    over_since: BTreeMap<usize, UnixMillis>,
    excess_since: BTreeMap<usize, UnixMillis>,
    /// Whether the last step was a reservation of a new monitor, and was granted.
    pub(crate) granted: bool,
    // Time.
    pub(crate) real: i64,
    off: i64,
    uptime: i64,
    boot: u8,
    pub(crate) time: TrustedTime,
}

impl Site {
    pub(crate) fn new() -> Self {
        let snapshot = Snapshot { version: Version::default(), licenses: vec![], fresh_until: START };
        let reading = Reading { wall: START, uptime: Duration::ZERO, boot: [0; 16] };
        Self {
            hub: vec![],
            revision: 0,
            sent: vec![],
            snapshot,
            activations: vec![],
            untold: vec![],
            reliefs: Reliefs::default(),
            overrides: vec![],
            monitors: BTreeMap::new(),
            over_since: BTreeMap::new(),
            excess_since: BTreeMap::new(),
            granted: false,
            real: START.0,
            off: 0,
            uptime: 0,
            boot: 0,
            time: TrustedTime::begin(START, reading),
        }
    }

    /// The licences as the plant has them.
    pub(crate) fn licenses(&self) -> Vec<License> {
        effective(&self.snapshot.licenses, &self.activations)
    }

    pub(crate) fn circumstances(&self, now: UnixMillis) -> Circumstances {
        Circumstances {
            now,
            fresh_until: self.snapshot.fresh_until,
            relieved_until: self.reliefs.until(now, OVERRIDE_DAYS),
        }
    }

    pub(crate) fn used(&self, app: usize) -> Use {
        let in_use = self.monitors.get(&app).map_or(0, BTreeSet::len);
        Use {
            in_use: u32::try_from(in_use).unwrap(),
            over_since: self.over_since.get(&app).copied(),
            excess_since: self.excess_since.get(&app).copied(),
        }
    }

    pub(crate) fn happen(&mut self, step: &Step) {
        self.granted = false;
        self.happen_at_hub(step);
        match *step {
            Step::Deliver { fresh_days } => self.deliver(fresh_days),
            Step::Replay(which) if !self.sent.is_empty() => self.install(self.sent[which % self.sent.len()].clone()),
            Step::Activate { license, replace } => self.activate(license, replace),
            Step::Reserve(app, monitor) => self.reserve(app, monitor),
            Step::Release(app, monitor) => drop(self.monitors.entry(app).or_default().remove(&monitor)),
            Step::Override { days } => {
                let at = self.time.now();
                if let Ok(until) = self.reliefs.may_begin(days, OVERRIDE_DAYS, at) {
                    self.reliefs.begin(Relief { at, until });
                    self.overrides.push(Relief { at, until });
                }
            }
            Step::Run(span) => self.run(span),
            Step::Off(span) => {
                (self.real, self.uptime, self.boot) = (self.real + span, 0, self.boot + 1);
                self.read();
            }
            Step::Clock(off) => {
                self.off = off;
                self.read();
            }
            Step::Heard { age } => {
                let _ = self.time.heard(UnixMillis(self.real - age), &Settings::default());
            }
            Step::Answered => {
                let _ = self.time.answered(UnixMillis(self.real), &Settings::default());
                let now = self.time.now();
                self.reliefs.use_up_what_is_to_come(now);
                self.overrides.iter_mut().for_each(|one| *one = one.corrected(now));
            }
            _ => {}
        }
        self.note_overages();
    }

    fn run(&mut self, span: i64) {
        let mut left = span;
        while left > 0 {
            let some = left.min(READ_EVERY);
            (self.real, self.uptime, left) = (self.real + some, self.uptime + some, left - some);
            self.read();
        }
    }

    fn read(&mut self) {
        let (wall, uptime) = (UnixMillis(self.real + self.off), Duration::from_millis(self.uptime.unsigned_abs()));
        let _ = self.time.advance(Reading { wall, uptime, boot: [self.boot; 16] }, &Settings::default());
    }

    // The plant.

    fn deliver(&mut self, fresh_days: u16) {
        let now = UnixMillis(self.real);
        let fresh_until = now.after(Duration::from_secs(86_400) * u32::from(fresh_days));
        let version = Version { revision: self.revision, issued_at: now };
        let snapshot = Snapshot { version, licenses: self.hub.clone(), fresh_until };
        self.sent.push(snapshot.clone());
        self.install(snapshot);
        let _ = self.time.heard(now, &Settings::default());
    }

    fn install(&mut self, snapshot: Snapshot) {
        if snapshot.version <= self.snapshot.version {
            return;
        }
        // What was activated here is never forgotten here: the rules alone have to drop it where the hub said more.
        self.snapshot = snapshot;
    }

    fn activate(&mut self, which: usize, replace: bool) {
        let licenses = self.licenses();
        let now = self.time.now();
        let in_use = |app: &str| self.used(APPS.iter().position(|name| *name == app).unwrap()).in_use;
        if let Ok(allowed) = activate(&licenses, SITE, &key(which), replace, now, in_use) {
            let (license, replaces) = (allowed.license, allowed.replaces);
            let activation = LocalActivation { license, replaces, at: now };
            self.activations.push(activation.clone());
            self.untold.push(activation);
        }
    }

    fn reserve(&mut self, app: usize, monitor: u8) {
        let (licenses, now, used) = (self.licenses(), self.circumstances(self.time.now()), self.used(app));
        if self.monitors.get(&app).is_some_and(|monitors| monitors.contains(&monitor)) {
            return;
        }
        let Ok(Some(license)) = access(&licenses, APPS[app], &now, used) else { return };
        if may_reserve(license, &now, used).is_ok() {
            self.granted = self.monitors.entry(app).or_default().insert(monitor);
        }
    }

    fn note_overages(&mut self) {
        let licenses = self.licenses();
        for (app, name) in APPS.iter().enumerate() {
            let Some(license) = in_force(&licenses, name) else { continue };
            let (in_use, now) = (self.used(app).in_use, self.time.now());
            let note = |since: &mut BTreeMap<usize, UnixMillis>, limit: Option<u32>| {
                if in_use <= limit.unwrap_or(u32::MAX) {
                    since.remove(&app);
                } else {
                    since.entry(app).or_insert(now);
                }
            };
            note(&mut self.over_since, license.limits.monitors);
            note(&mut self.excess_since, license.permitted());
        }
    }

    // The hub, by the rules of its store.

    fn happen_at_hub(&mut self, step: &Step) {
        let now = UnixMillis(self.real);
        match step {
            Step::Issue { app, term, quota, policy } => {
                let license = license(self.hub.len(), APPS[*app], *quota, now);
                self.hub.push(License { term: *term, policy: *policy, ..license });
                self.revision += 1;
            }
            Step::Quota(which, quota) => self.edit(*which, |license| license.limits.monitors = *quota),
            Step::Policy(which, policy) => self.edit(*which, |license| license.policy = *policy),
            Step::Term(which, term) => {
                self.edit(*which, |license| {
                    license.term = *term;
                    license.expires_at = license.activated_at.and_then(|at| term.expiry(at));
                });
                self.renew_or_expire(*which, now);
            }
            Step::Revoke(which) => self.edit(*which, |license| license.status = Status::Invalid),
            Step::Expire => (0..self.hub.len()).for_each(|which| self.expire(which, now)),
            Step::ActivateAtHub(which) => self.activate_at_hub(*which, now),
            Step::Hear => {
                for activation in std::mem::take(&mut self.untold) {
                    self.hear(&activation, now);
                }
            }
            _ => {}
        }
    }

    fn edit(&mut self, which: usize, change: impl FnOnce(&mut License)) {
        let Some(which) = which.checked_rem(self.hub.len()) else { return };
        if self.hub[which].status != Status::Invalid {
            change(&mut self.hub[which]);
            self.revision += 1;
        }
    }

    fn expire(&mut self, which: usize, now: UnixMillis) {
        let license = &self.hub[which];
        if license.status == Status::Active && license.expires_at.is_some_and(|end| end <= now) {
            self.edit(which, |license| license.status = Status::Expired);
        }
    }

    fn renew_or_expire(&mut self, which: usize, now: UnixMillis) {
        let Some(which) = which.checked_rem(self.hub.len()) else { return };
        self.expire(which, now);
        let license = self.hub[which].clone();
        let ahead = license.expires_at.is_none_or(|end| end > now);
        if license.status == Status::Expired && ahead && self.active_at_hub(&license).is_none() {
            self.edit(which, |license| license.status = Status::Active);
        }
    }

    fn active_at_hub(&self, beside: &License) -> Option<usize> {
        let active = |license: &License| license.status == Status::Active && license.app == beside.app;
        self.hub.iter().position(|license| active(license) && license.id != beside.id)
    }

    fn activate_at_hub(&mut self, which: usize, now: UnixMillis) {
        let Some(which) = which.checked_rem(self.hub.len()) else { return };
        let license = self.hub[which].clone();
        let end = license.term.expiry(now);
        if license.status != Status::Inactive || end.is_some_and(|end| end <= now) {
            return;
        }
        if let Some(other) = self.active_at_hub(&license) {
            self.edit(other, |license| license.status = Status::Deactivated);
        }
        self.edit(which, |license| {
            (license.status, license.activated_at, license.expires_at) = (Status::Active, Some(now), end);
        });
    }

    /// What a record of an activation does at the hub; see `hub/src/store/ingest/activations.rs`.
    fn hear(&mut self, told: &LocalActivation, now: UnixMillis) {
        let Some(which) = self.hub.iter().position(|license| license.id == told.license) else { return };
        let license = self.hub[which].clone();
        if license.status != Status::Inactive {
            return;
        }
        let at = told.at.min(now);
        let end = license.term.expiry(at);
        let over = end.is_some_and(|end| end <= now);
        let mut status = if over { Status::Expired } else { Status::Active };
        let replaced = self.hub.iter().position(|old| Some(old.id) == told.replaces && old.status == Status::Active);
        if let Some(old) = replaced {
            self.edit(old, |license| license.status = Status::Deactivated);
        }
        if let Some(other) = self.active_at_hub(&license).filter(|_| status == Status::Active) {
            if self.hub[other].activated_at.is_some_and(|began| began > at) {
                status = Status::Deactivated;
            } else {
                self.edit(other, |license| license.status = Status::Deactivated);
            }
        }
        self.edit(which, |license| {
            (license.status, license.activated_at, license.expires_at) = (status, Some(at), end);
        });
    }
}

/// The key of the licence with this number.
pub(crate) fn key(number: usize) -> String {
    format!("key {number}")
}

/// An Inactive licence.
pub(crate) fn license(number: usize, app: &str, quota: Option<u32>, now: UnixMillis) -> License {
    License {
        id: LicenseId::from_bytes([u8::try_from(number).unwrap(); 16]),
        name: format!("L{number}"),
        description: String::new(),
        app: app.into(),
        kind: Kind::Subscription,
        term: sitewarden_protocol::license::Term::Endless,
        limits: Limits { monitors: quota, ..Limits::default() },
        features: vec![],
        policy: sitewarden_protocol::license::Policy::default(),
        status: Status::Inactive,
        activated_at: None,
        expires_at: None,
        created_at: now,
        key: KeyDigest::of(SITE, &key(number)),
        key_hint: key_hint(&key(number)),
        revision: 1,
    }
}
