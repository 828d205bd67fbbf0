//! What records of licence activations do to the licences.
//!
//! The site has acted already, offline; the hub follows it where it can, and flags where it cannot. Nothing here makes
//! the hub refuse the data.

use super::{Arrival, OpenedRecords, evidence::Flag, prepare::Activated};
use crate::store::{
    Act,
    error::Error,
    licenses::{self, LicenseRow, LicenseSelector},
    secrets,
    writer::Tx,
};
use rusqlite::{OptionalExtension, params};
use serde_json::json;
use sitewarden_protocol::{
    id::LicenseId,
    license::{Status, Term},
    time::UnixMillis,
};
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
        match license.status {
            Status::Inactive => {}
            Status::Active if self.activated_here(tx, license.id)? => return Ok(()),
            Status::Active => return self.conflict(tx, Some(license.id), id, "it was activated by another agent"),
            status => return self.conflict(tx, Some(license.id), id, &format!("it is {}", status.name())),
        }
        // A clock that was put forward must not buy time: the term begins at the latest when the hub hears of it.
        let at = activated.at.min(self.now);
        if activated.at > self.now.after(TOLERANCE) {
            let details = json!({ "license": id, "activated_at": activated.at, "received_at": self.now });
            self.flag(tx, &Flag { kind: "clock", license: Some(license.id), details })?;
        }
        self.make_active(tx, &license, at, &activated.what.by)?;
        let Some(replaced) = activated.what.replaces else { return Ok(()) };
        self.deactivate(tx, replaced, &license)
    }

    fn make_active(&self, tx: &Tx<'_>, license: &LicenseRow, at: UnixMillis, by: &str) -> Result<(), Error> {
        let expires = license.term.expiry(at);
        // `None` is "never" for a term without end only.
        if expires.is_none() && license.term != Term::Endless {
            return self.conflict(tx, Some(license.id), license.uuid, "its end cannot be calculated");
        }
        licenses::set_status(tx, &self.act(), license, Status::Active, Some(at), expires)?;
        tx.prepare_cached(
            "INSERT INTO activations (id, license, agent, activated_by, activated_at) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![secrets::random::<16>()?, license.id, self.sender.row, by, at.0])?;
        Ok(())
    }

    fn deactivate(&self, tx: &Tx<'_>, id: LicenseId, by: &LicenseRow) -> Result<(), Error> {
        let Some(old) = self.license(tx, id)?.filter(|old| old.app == by.app && old.id != by.id) else {
            return self.conflict(tx, None, id, "the site has no such license that could be replaced");
        };
        if old.status != Status::Active {
            return Ok(());
        }
        licenses::set_status(tx, &self.act(), &old, Status::Deactivated, old.activated_at, old.expires_at)?;
        tx.prepare_cached("UPDATE activations SET deactivated_at = ? WHERE license = ? AND deactivated_at IS NULL")?
            .execute(params![self.now.0, old.id])?;
        Ok(())
    }

    /// A licence of the agent's own site.
    fn license(&self, tx: &Tx<'_>, id: LicenseId) -> Result<Option<LicenseRow>, Error> {
        match licenses::find(tx, LicenseSelector::Uuid(id)) {
            Ok(license) => Ok(Some(license).filter(|license| license.site == self.sender.site)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn activated_here(&self, tx: &Tx<'_>, license: i64) -> Result<bool, Error> {
        let mut query = tx.prepare_cached("SELECT 1 FROM activations WHERE license = ? AND agent = ? LIMIT 1")?;
        Ok(query.query_row(params![license, self.sender.row], |_| Ok(())).optional()?.is_some())
    }

    fn conflict(&self, tx: &Tx<'_>, license: Option<i64>, id: LicenseId, why: &str) -> Result<(), Error> {
        self.flag(tx, &Flag { kind: "activation", license, details: json!({ "license": id, "why": why }) })
    }

    fn act(&self) -> Act {
        Act { by: format!("agent {}", self.sender.id), at: self.now }
    }
}
