//! An administrator changes a licence: terms, limits, name, status. Decided and written in one transaction.

use super::{
    LicenseSelector, change, check_room, checked_row,
    expire::{expire, expire_around},
    find,
    row::LicenseRow,
    rules::{self, Refusal, Stop},
    usage,
};
use crate::store::{Act, Store, error::Error, plants, secrets::StoreSecrets, sites, writer::Tx};
use rusqlite::{OptionalExtension, params};
use serde::Deserialize;
use sitewarden_protocol::{
    id::{PlantId, SiteId},
    license::{KeyDigest, Kind, Policy, Rule, Status, Term},
    time::UnixMillis,
};
use std::sync::Arc;

/// What is to be changed; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LicenseEdit {
    /// Unique at its site.
    pub name: Option<String>,
    /// In the vendor's words.
    pub description: Option<String>,
    /// Another app; only before it was ever activated.
    pub app: Option<String>,
    /// The plant that its site must be in.
    pub plant: Option<PlantId>,
    /// Another site; only before it was ever activated.
    pub site: Option<SiteId>,
    /// How it is sold.
    pub kind: Option<Kind>,
    /// How long it lasts, counted from when it was activated: this renews and extends.
    pub term: Option<Term>,
    /// The first moment of a term with fixed dates; the rest of the term stays.
    pub from: Option<UnixMillis>,
    /// The moment after the last of such a term; the inner `None` is without end.
    pub until: Option<Option<UnixMillis>>,
    /// Monitors; the inner `None` is without limit. So too the next two.
    pub monitors: Option<Option<u32>>,
    /// Floating users.
    pub users: Option<Option<u32>>,
    /// What it switches on.
    pub features: Option<Vec<String>>,
    /// Machines with floating users.
    pub activations: Option<Option<u32>>,
    /// What happens when it ends.
    pub policy: PolicyEdit,
    /// Shares of its limits at which the vendor wants to be told, per cent.
    pub thresholds: Option<Vec<u16>>,
    /// Where it is in its life.
    pub status: Option<Status>,
}

/// What is to be changed of a policy; `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyEdit {
    /// From the moment the licence ends.
    pub expiry: Option<Rule>,
    /// From the moment the snapshot is stale.
    pub staleness: Option<Rule>,
    /// From the moment more monitors run than permitted.
    pub overage: Option<Rule>,
    /// Per cent of the quota.
    pub overage_percent: Option<u16>,
}

impl PolicyEdit {
    /// The policy with the changes.
    pub fn of(self, before: Policy) -> Policy {
        Policy {
            expiry: self.expiry.unwrap_or(before.expiry),
            staleness: self.staleness.unwrap_or(before.staleness),
            overage: self.overage.unwrap_or(before.overage),
            overage_percent: self.overage_percent.unwrap_or(before.overage_percent),
        }
    }
}

impl Store {
    /// Changes a licence; what changes nothing makes no revision.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], [`Error::Invalid`] for a value. What the rules forbid is the inner [`Refusal`].
    pub async fn edit_license(
        &self,
        act: &Act,
        which: LicenseSelector,
        edit: LicenseEdit,
    ) -> Result<Result<LicenseRow, Refusal>, Error> {
        let (act, secrets) = (act.clone(), Arc::clone(&self.0.secrets));
        self.write(move |tx| match change_one(tx, &act, which, &edit, &secrets) {
            Ok(row) => Ok(Ok(row)),
            Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
            Err(Stop::Failed(error)) => Err(error),
        })
        .await
    }
}

fn change_one(
    tx: &Tx<'_>,
    act: &Act,
    which: LicenseSelector,
    edit: &LicenseEdit,
    secrets: &StoreSecrets,
) -> Result<LicenseRow, Stop> {
    let stored = find(tx, which)?;
    act.check_seen(stored.revision.into())?;
    // So that the rules see no Active licence whose time is over.
    expire_around(tx, act.at, &stored)?;
    if let Some(site) = edit.site {
        expire(tx, act.at, Some(site))?;
    }
    let before = find(tx, which)?;
    let after = checked_row(rules::settle(&before, edit, act.at)?)?;
    let after = placed(tx, &before, after, edit.plant, secrets)?;
    if after == before {
        return Ok(before);
    }
    check_name(tx, &after)?;
    if after.status == Status::Active && before.status != Status::Active {
        check_alone(tx, &after)?;
    }
    // A renewal stops nothing that runs, as a lowered quota does not.
    if after.status == Status::Active && before.activated_at.is_none() {
        let in_use = after.site.map_or(Ok(0), |site| usage::monitors(tx, site, &after.app))?;
        if let Some(permitted) = after.limits.monitors.filter(|permitted| in_use > *permitted) {
            return Err(Refusal::QuotaTooSmall { in_use, permitted }.into());
        }
    }
    Ok(change::save(tx, act, &before, after, None)?)
}

/// Checks that site and plant fit, and lets the licence's key be recognised at another site.
fn placed(
    tx: &Tx<'_>,
    before: &LicenseRow,
    after: LicenseRow,
    plant: Option<PlantId>,
    secrets: &StoreSecrets,
) -> Result<LicenseRow, Stop> {
    let absent = |error| match error {
        Error::NotFound { .. } => Refusal::Place.into(),
        error => Stop::Failed(error),
    };
    let Some(id) = after.site else { return if plant.is_none() { Ok(after) } else { Err(Refusal::Place.into()) } };
    let site = sites::find(tx, id).map_err(absent)?;
    if plant.is_some_and(|plant| plant != site.plant) {
        return Err(Refusal::Place.into());
    }
    if after.site == before.site {
        return Ok(after);
    }
    check_room(tx, id)?;
    let customer = plants::find(tx, site.plant).map_err(absent)?.customer;
    let sealed: Vec<u8> = tx
        .prepare_cached("SELECT key_sealed FROM licenses WHERE id = ?")
        .and_then(|mut query| query.query_row([after.id], |row| row.get(0)))
        .map_err(Error::from)?;
    let key = KeyDigest::of(id, &secrets.open(after.uuid, &sealed)?);
    Ok(LicenseRow { customer, key, ..after })
}

/// Licences of no site may share a name: nothing tells them apart by it.
fn check_name(tx: &Tx<'_>, after: &LicenseRow) -> Result<(), Stop> {
    let mut query =
        tx.prepare_cached("SELECT 1 FROM licenses WHERE site = ? AND name = ? AND id != ?").map_err(Error::from)?;
    let site = after.site.map(|id| *id.as_bytes());
    let same = query.query_row(params![site, after.name, after.id], |_| Ok(())).optional();
    match same.map_err(Error::from)? {
        Some(()) => Err(Refusal::NameTaken(after.name.clone()).into()),
        None => Ok(()),
    }
}

fn check_alone(tx: &Tx<'_>, after: &LicenseRow) -> Result<(), Stop> {
    let sql = "SELECT name FROM licenses WHERE site = ? AND app = ? AND status = 'Active' AND id != ?";
    let mut query = tx.prepare_cached(sql).map_err(Error::from)?;
    let site = after.site.map(|id| *id.as_bytes());
    let other = query.query_row(params![site, after.app, after.id], |row| row.get(0)).optional();
    match other.map_err(Error::from)? {
        Some(name) => Err(Refusal::AnotherActive(name).into()),
        None => Ok(()),
    }
}
