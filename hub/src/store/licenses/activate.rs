//! A key is typed in at the hub. The same rule decides as at the plant: `protocol::license::activate`.

use super::{
    AtSite, LicenseSelector, NOWHERE, change, expire::expire_around, find, of_site, row::LicenseRow, rules, usage,
};
use crate::store::{Act, Scope, Store, error::Error, error::found, writer::Tx};
use rusqlite::{OptionalExtension, params};
use sitewarden_protocol::{
    id::AgentId,
    license::{self, ActivationError, License, Status},
    message::Activate,
    time::UnixMillis,
};

/// The most characters of a site user's name that are kept.
pub(in crate::store) const MAX_BY: usize = 100;

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
            at_hub(tx, &act, &license, &key, replace)
        })
        .await
    }

    /// Activates the licence with the key that was typed at an agent's site, and belongs to that site. The agent says how
    /// many monitors run.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the agent. What the rules forbid is the inner [`ActivationError`].
    pub async fn activate_at_site(
        &self,
        now: UnixMillis,
        agent: AgentId,
        ask: Activate,
    ) -> Result<Result<LicenseRow, ActivationError>, Error> {
        let lookup = self.0.secrets.lookup(&ask.key);
        self.write(move |tx| {
            let mut query = tx.prepare_cached("SELECT id, site FROM agents WHERE uuid = ? AND status = 'active'")?;
            let row = query.query_row([agent.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)));
            let (agent_row, site): (i64, [u8; 16]) = found(row.optional()?, "agent")?;
            let mut query = tx.prepare_cached("SELECT id FROM licenses WHERE key_lookup = ? AND site = ?")?;
            let Some(id) = query.query_row(params![lookup, site], |row| row.get(0)).optional()? else {
                return Ok(Err(ActivationError::Unknown));
            };
            let license = find(tx, LicenseSelector::Number(id))?;
            let act = Act::agent(agent, now);
            let by: String = ask.by.chars().take(MAX_BY).collect();
            let at_site = Some(AtSite { agent: agent_row, by: &by });
            let typed = Typed { key: &ask.key, replace: ask.replace, at_site };
            let used = |app: &str| ask.in_use.iter().find(|(of, _)| of == app).map_or(0, |(_, used)| *used);
            activate(tx, &act, &license, &typed, used)
        })
        .await
    }
}

/// A machine under the licence calls the hub, and is the first one: this activates the licence as typing its key does.
pub(in crate::store) fn activate_direct(
    tx: &Tx<'_>,
    act: &Act,
    license: &LicenseRow,
    key: &str,
) -> Result<Result<LicenseRow, ActivationError>, Error> {
    at_hub(tx, act, license, key, false)
}

fn at_hub(
    tx: &Tx<'_>,
    act: &Act,
    license: &LicenseRow,
    key: &str,
    replace: bool,
) -> Result<Result<LicenseRow, ActivationError>, Error> {
    let in_use = license.site.map_or_else(|| Ok(vec![]), |site| usage::reported(tx, site))?;
    let typed = Typed { key, replace, at_site: None };
    activate(tx, act, license, &typed, |app| usage::of(&in_use, app))
}

/// A key, and who typed it.
struct Typed<'a> {
    key: &'a str,
    replace: bool,
    at_site: Option<AtSite<'a>>,
}

/// Of a licence without a site no other one is looked at: a customer may have several in force for one app.
fn activate(
    tx: &Tx<'_>,
    act: &Act,
    license: &LicenseRow,
    typed: &Typed<'_>,
    in_use: impl Fn(&str) -> u32,
) -> Result<Result<LicenseRow, ActivationError>, Error> {
    // First, so that one whose time is over is Expired, not given up.
    expire_around(tx, act.at, license)?;
    let rows = match license.site {
        Some(site) => of_site(tx, site)?,
        None => vec![find(tx, LicenseSelector::Number(license.id))?],
    };
    let licenses: Vec<License> = rows.iter().cloned().map(License::from).collect();
    let allowed =
        license::activate(&licenses, license.site.unwrap_or(NOWHERE), typed.key, typed.replace, act.at, in_use);
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
    Ok(Ok(change::save(tx, act, &new, active, typed.at_site)?))
}
