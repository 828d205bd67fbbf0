//! A key is typed in at the hub. The same rule decides as at the plant: `protocol::license::activate`.

use super::{LicenseSelector, change, expire::expire, find, of_site, row::LicenseRow, rules, usage};
use crate::store::{Act, Scope, Store, error::Error, error::found, writer::Tx};
use rusqlite::OptionalExtension;
use sitewarden_protocol::license::{self, ActivationError, License, Status};

impl Store {
    /// Activates the licence with this key, if `scope` covers it. With `replace` the Active one of its app is
    /// Deactivated in the same step.
    ///
    /// # Errors
    /// What the database says. What the rules forbid is the inner [`ActivationError`].
    pub async fn activate_license(
        &self,
        act: &Act,
        scope: Scope,
        key: &str,
        replace: bool,
    ) -> Result<Result<LicenseRow, ActivationError>, Error> {
        let lookup = self.0.secrets.lookup(key);
        let (act, key) = (act.clone(), zeroize::Zeroizing::new(key.to_owned()));
        self.write(move |tx| {
            let mut query = tx.prepare_cached("SELECT id FROM licenses WHERE key_lookup = ?")?;
            let Some(id) = query.query_row([lookup], |row| row.get(0)).optional()? else {
                return Ok(Err(ActivationError::Unknown));
            };
            let license = find(tx, LicenseSelector::Number(id))?;
            if !scope.covers(&license) {
                return Ok(Err(ActivationError::Unknown));
            }
            activate(tx, &act, &license, &key, replace)
        })
        .await
    }
}

fn activate(
    tx: &Tx<'_>,
    act: &Act,
    license: &LicenseRow,
    key: &str,
    replace: bool,
) -> Result<Result<LicenseRow, ActivationError>, Error> {
    // First, so that one whose time is over is Expired, not given up.
    expire(tx, act.at, Some(license.site))?;
    let rows = of_site(tx, license.site)?;
    let licenses: Vec<License> = rows.iter().cloned().map(License::from).collect();
    let in_use = usage::reported(tx, license.site)?;
    let allowed = license::activate(&licenses, license.site, key, replace, act.at, |app| usage::of(&in_use, app));
    let allowed = match allowed {
        Ok(allowed) => allowed,
        Err(refused) => return Ok(Err(refused)),
    };
    let row = |id| found(rows.iter().find(|row| row.uuid == id).cloned(), "license");
    // The old one first: the database holds one Active licence for each app only.
    if let Some(old) = allowed.replaces.map(row).transpose()? {
        change::save(tx, act, &old, LicenseRow { status: Status::Deactivated, ..old.clone() }, None)?;
    }
    let new = row(allowed.license)?;
    let expires_at = rules::end_of(new.term, act.at)?;
    let active = LicenseRow { status: Status::Active, activated_at: Some(act.at), expires_at, ..new.clone() };
    Ok(Ok(change::save(tx, act, &new, active, None)?))
}
