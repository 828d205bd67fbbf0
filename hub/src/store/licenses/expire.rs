//! Time ends licences: an Active one whose end has passed becomes Expired.

use super::{COLUMNS, change, license_row, row::LicenseRow};
use crate::store::{Act, Store, error::Error, writer::Tx};
use rusqlite::params;
use sitewarden_protocol::{id::SiteId, license::Status, time::UnixMillis};

/// Licences expired in one transaction: others wait for it.
const AT_ONCE: usize = 200;

impl Store {
    /// Expires licences whose end has passed, and answers how many. When nothing is due, nothing is written.
    ///
    /// # Errors
    /// What the database says; what was expired before stays so.
    pub async fn expire_licenses(&self, now: UnixMillis) -> Result<usize, Error> {
        let mut expired = 0;
        while self.read(move |connection| Ok(!due(connection, now, None, 1)?.is_empty())).await? {
            expired += self.write(move |tx| expire(tx, now, None)).await?;
        }
        Ok(expired)
    }
}

/// Expires what is due, of one site if given, and answers how many; at most so many as go into one transaction.
pub(in crate::store) fn expire(tx: &Tx<'_>, now: UnixMillis, site: Option<SiteId>) -> Result<usize, Error> {
    let due = due(tx, now, site, AT_ONCE)?;
    let act = Act::hub(now);
    for before in &due {
        change::save(tx, &act, before, LicenseRow { status: Status::Expired, ..before.clone() }, None)?;
    }
    Ok(due.len())
}

/// Expires what is due of what a decision on this licence looks at: its site's licences, or itself where it has none.
pub(in crate::store) fn expire_around(tx: &Tx<'_>, now: UnixMillis, license: &LicenseRow) -> Result<(), Error> {
    match license.site {
        Some(site) => expire(tx, now, Some(site)).map(drop),
        None if license.status_at(now) != license.status => {
            let (act, after) = (Act::hub(now), LicenseRow { status: Status::Expired, ..license.clone() });
            change::save(tx, &act, license, after, None).map(drop)
        }
        None => Ok(()),
    }
}

fn due(
    connection: &rusqlite::Connection,
    now: UnixMillis,
    site: Option<SiteId>,
    limit: usize,
) -> Result<Vec<LicenseRow>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM licenses WHERE status = 'Active' AND expires_at <= ?1 AND (?2 IS NULL OR site = ?2)
         ORDER BY expires_at LIMIT ?3"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(1);
    let mut rows = query.query(params![now.0, site.map(|id| *id.as_bytes()), limit])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        due.push(license_row(row)?);
    }
    Ok(due)
}
