//! What records of licence activations do to the licences.
//!
//! The site has acted already, offline; the hub follows it where it can, and flags where it cannot. Nothing here makes
//! the hub refuse the data. Where the hub did something meanwhile:
//!
//! - Inactive here: it becomes Active from the site's moment on, at the latest from when the hub hears of it; if its time
//!   is over by then, it becomes Expired. The licence that it replaced is Deactivated.
//! - Active here, by this agent: a repeat, nothing is done. By the hub: both said yes to the same; the earlier moment
//!   counts. By another agent: two machines use one site's licences, which is flagged.
//! - Another licence of the app is Active here, and it is not the replaced one: the one activated later is in force, the
//!   other is Deactivated, and it is flagged. The agent decides the same from the next snapshot.
//! - Expired, Deactivated or Invalid here: the hub's word stays, and the agent follows it from the next snapshot; what the
//!   activation replaced stays in force. Flagged, unless the agent's own activation had been applied before.
//! - One licence at two sites cannot be: each site recognises its own keys only.

use super::{Arrival, OpenedRecords, evidence::Flag, prepare::Activated};
use crate::store::{
    Act,
    error::Error,
    licenses::{self, AtSite, LicenseRow, LicenseSelector},
    writer::Tx,
};
use rusqlite::{OptionalExtension, params};
use serde_json::json;
use sitewarden_protocol::{id::LicenseId, license::Status, time::UnixMillis};
use std::time::Duration;

/// How far a site's clock may be ahead of the hub's before an activation made by it is flagged.
const TOLERANCE: Duration = Duration::from_secs(24 * 60 * 60);

impl Arrival<'_> {
    /// Applies the activations among the records after the first `skip`.
    pub(super) fn activate(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        records.activations.iter().filter(|activated| activated.index >= skip).try_for_each(|one| self.apply(tx, one))
    }

    fn apply(&self, tx: &Tx<'_>, activated: &Activated) -> Result<(), Error> {
        let id = activated.what.license;
        let Some(license) = self.license(tx, id)? else {
            return self.conflict(tx, None, id, "the site has no such license");
        };
        // A clock that was put forward must not buy time: the term begins at the latest when the hub hears of it.
        let at = activated.at.min(self.now);
        match license.status {
            Status::Inactive => {}
            _ if self.activated_by(tx, license.id, Some(self.sender.row))? => return Ok(()),
            Status::Active if self.activated_by(tx, license.id, None)? => {
                return self.begin_earlier(tx, &license, at, activated);
            }
            Status::Active => return self.conflict(tx, Some(license.id), id, "it was activated by another agent"),
            status => return self.conflict(tx, Some(license.id), id, &format!("it is {}", status.name())),
        }
        if activated.at > self.now.after(TOLERANCE) {
            let details = json!({ "license": id, "activated_at": activated.at, "received_at": self.now });
            self.flag(tx, &Flag { kind: "clock", license: Some(license.id), details })?;
        }
        self.make_active(tx, &license, at, activated)
    }

    fn make_active(&self, tx: &Tx<'_>, license: &LicenseRow, at: UnixMillis, what: &Activated) -> Result<(), Error> {
        let expires_at = match licenses::end_of(license.term, at) {
            Ok(end) => end,
            Err(_) => return self.conflict(tx, Some(license.id), license.uuid, "its end cannot be calculated"),
        };
        licenses::expire(tx, self.now, Some(self.sender.site))?;
        if let Some(replaced) = what.what.replaces {
            self.deactivate_replaced(tx, replaced, license)?;
        }
        let mut status = if expires_at.is_some_and(|end| end <= self.now) { Status::Expired } else { Status::Active };
        if let Some(other) = self.active_for(tx, license)?.filter(|_| status == Status::Active) {
            let why = format!("license {} was activated for the same app meanwhile", other.id);
            self.conflict(tx, Some(license.id), license.uuid, &why)?;
            if other.activated_at.is_some_and(|began| began > at) {
                status = Status::Deactivated;
            } else {
                self.deactivate(tx, &other)?;
            }
        }
        let after = LicenseRow { status, activated_at: Some(at), expires_at, ..license.clone() };
        licenses::save(tx, &self.act(), license, after, Some(self.at_site(what))).map(drop)
    }

    /// The site used it before it was activated at the hub.
    fn begin_earlier(&self, tx: &Tx<'_>, license: &LicenseRow, at: UnixMillis, what: &Activated) -> Result<(), Error> {
        if license.activated_at.is_some_and(|began| began > at)
            && let Ok(expires_at) = licenses::end_of(license.term, at)
        {
            let after = LicenseRow { activated_at: Some(at), expires_at, ..license.clone() };
            licenses::save(tx, &self.act(), license, after, Some(self.at_site(what)))?;
        }
        what.what.replaces.map_or(Ok(()), |replaced| self.deactivate_replaced(tx, replaced, license))
    }

    fn deactivate_replaced(&self, tx: &Tx<'_>, id: LicenseId, by: &LicenseRow) -> Result<(), Error> {
        let Some(old) = self.license(tx, id)?.filter(|old| old.app == by.app && old.id != by.id) else {
            return self.conflict(tx, None, id, "the site has no such license that could be replaced");
        };
        if old.status == Status::Active { self.deactivate(tx, &old) } else { Ok(()) }
    }

    fn deactivate(&self, tx: &Tx<'_>, old: &LicenseRow) -> Result<(), Error> {
        let after = LicenseRow { status: Status::Deactivated, ..old.clone() };
        licenses::save(tx, &self.act(), old, after, None).map(drop)
    }

    /// Another licence that is in force for the same app.
    fn active_for(&self, tx: &Tx<'_>, license: &LicenseRow) -> Result<Option<LicenseRow>, Error> {
        let mut query =
            tx.prepare_cached("SELECT id FROM licenses WHERE site = ? AND app = ? AND status = 'Active' AND id != ?")?;
        let other = query.query_row(params![self.sender.site.as_bytes(), license.app, license.id], |row| row.get(0));
        other.optional()?.map(|id| licenses::find(tx, LicenseSelector::Number(id))).transpose()
    }

    /// A licence of the agent's own site.
    fn license(&self, tx: &Tx<'_>, id: LicenseId) -> Result<Option<LicenseRow>, Error> {
        match licenses::find(tx, LicenseSelector::Uuid(id)) {
            Ok(license) => Ok(Some(license).filter(|license| license.site == Some(self.sender.site))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the licence was activated by an agent, or at the hub itself if none is named.
    fn activated_by(&self, tx: &Tx<'_>, license: i64, agent: Option<i64>) -> Result<bool, Error> {
        let mut query = tx.prepare_cached("SELECT 1 FROM license_starts WHERE license = ? AND agent IS ? LIMIT 1")?;
        Ok(query.query_row(params![license, agent], |_| Ok(())).optional()?.is_some())
    }

    fn conflict(&self, tx: &Tx<'_>, license: Option<i64>, id: LicenseId, why: &str) -> Result<(), Error> {
        self.flag(tx, &Flag { kind: "activation", license, details: json!({ "license": id, "why": why }) })
    }

    fn at_site<'a>(&self, what: &'a Activated) -> AtSite<'a> {
        AtSite { agent: self.sender.row, by: &what.what.by }
    }

    fn act(&self) -> Act {
        Act::agent(self.sender.id, self.now)
    }
}
