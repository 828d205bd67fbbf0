//! What an app may do at a site, as far as the hub knows: by the same rules as at the site, with what its agent last said.

use super::{LicenseRow, of_site, usage};
use crate::store::{Scope, Store, error::Error, ingest::Bound, sites};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use sitewarden_protocol::{
    codec,
    id::SiteId,
    license::{self, Circumstances, Explanation, License, Use},
    message::LiveStatus,
    time::UnixMillis,
};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Store {
    /// Explains what `app` may do at a site at a moment. `fresh_days` is for sites that have none of their own. A site
    /// whose agent was never heard of counts as fresh.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for a site that `scope` does not cover.
    pub async fn explain(
        &self,
        scope: Scope,
        site: SiteId,
        app: String,
        at: UnixMillis,
        fresh_days: u16,
    ) -> Result<Explanation, Error> {
        self.read(move |connection| {
            let found = sites::find(connection, site)?;
            super::seen::check_place(connection, scope, found.plant, site)?;
            let licenses: Vec<License> = of_site(connection, site)?.into_iter().map(License::from).collect();
            let (circumstances, used) = scene(connection, site, &app, at, fresh_days)?;
            Ok(license::explain(&licenses, &app, &circumstances, used))
        })
        .await
    }

    /// Whether `app` may be used at `at` at one of the sites that `scope` covers; decided as it is explained.
    ///
    /// # Errors
    /// What the database says.
    pub async fn may_use(&self, scope: Scope, app: String, at: UnixMillis, fresh_days: u16) -> Result<bool, Error> {
        self.read(move |connection| {
            for site in super::seen::in_force(connection, scope, None, None)? {
                if license::in_force(&site.licenses, &app).is_none() {
                    continue;
                }
                let (circumstances, used) = scene(connection, site.site, &app, at, fresh_days)?;
                if license::access(&site.licenses, &app, &circumstances, used).is_ok() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }
}

/// What a decision on an app at a site depends on beside its licences.
fn scene(
    connection: &Connection,
    site: SiteId,
    app: &str,
    at: UnixMillis,
    fresh_days: u16,
) -> Result<(Circumstances, Use), Error> {
    let fresh_until = fresh_until(connection, site, fresh_days)?;
    let relieved_until = overridden_until(connection, site)?;
    let used = Use {
        in_use: usage::monitors(connection, site, app)?,
        over_since: passed_since(connection, site, app, Bound::Quota)?,
        excess_since: passed_since(connection, site, app, Bound::Permitted)?,
    };
    Ok((Circumstances { now: at, fresh_until, relieved_until }, used))
}

/// What a decision on machines that call the hub depends on: the hub is never out of touch with itself.
pub(in crate::store) fn circumstances(
    connection: &Connection,
    license: &LicenseRow,
    now: UnixMillis,
) -> Result<(Circumstances, Use), Error> {
    let of_itself = Circumstances { now, fresh_until: UnixMillis(i64::MAX), relieved_until: None };
    let Some(site) = license.site else { return Ok((of_itself, Use::default())) };
    let (of_site, used) = scene(connection, site, &license.app, now, 0)?;
    Ok((Circumstances { fresh_until: of_itself.fresh_until, ..of_site }, used))
}

fn passed_since(connection: &Connection, site: SiteId, app: &str, bound: Bound) -> Result<Option<UnixMillis>, Error> {
    let mut query = connection.prepare_cached("SELECT since FROM overages WHERE site = ? AND app = ? AND bound = ?")?;
    let since = query.query_row(params![site.as_bytes(), app, bound.name()], |row| row.get(0)).optional()?;
    Ok(since.map(UnixMillis))
}

/// How long the snapshot lasts that the site's agent last said it has.
fn fresh_until(connection: &Connection, site: SiteId, fresh_days: u16) -> Result<UnixMillis, Error> {
    let mut query = connection.prepare_cached(
        "SELECT a.live_status, s.fresh_days FROM agents AS a JOIN sites AS s ON s.id = a.site
         WHERE a.site = ? AND a.status = 'active' AND a.live_status IS NOT NULL ORDER BY a.last_seen DESC LIMIT 1",
    )?;
    let said: Option<(Vec<u8>, Option<u16>)> =
        query.query_row([site.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let until = said.and_then(|(status, own_days)| {
        let status: LiveStatus = codec::decode(&status).ok()?;
        Some(status.snapshot.issued_at.after(DAY * u32::from(own_days.unwrap_or(fresh_days))))
    });
    Ok(until.unwrap_or(UnixMillis(i64::MAX)))
}

/// The end of the last emergency override that the site told of.
fn overridden_until(connection: &Connection, site: SiteId) -> Result<Option<UnixMillis>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT details FROM red_flags WHERE site = ? AND kind = 'override' ORDER BY id DESC LIMIT 1",
    )?;
    let details: Option<String> = query.query_row([site.as_bytes()], |row| row.get(0)).optional()?;
    let until = details.and_then(|details| serde_json::from_str::<Value>(&details).ok()?["until"].as_i64());
    Ok(until.map(UnixMillis))
}
