//! How much of its licences a site uses, as its agent last said.

use crate::store::error::Error;
use rusqlite::{Connection, OptionalExtension};
use sitewarden_protocol::{
    codec,
    id::SiteId,
    message::{LiveStatus, Quota},
};

/// What the agent that was heard last said; nothing, if none ever did. A revoked agent does not count.
pub(super) fn reported(connection: &Connection, site: SiteId) -> Result<Vec<Quota>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT live_status FROM agents WHERE site = ? AND status = 'active' AND live_status IS NOT NULL
         ORDER BY last_seen DESC LIMIT 1",
    )?;
    let said: Option<Vec<u8>> = query.query_row([site.as_bytes()], |row| row.get(0)).optional()?;
    // One of a newer version says nothing here; the next one replaces it.
    let said = said.and_then(|bytes| codec::decode::<LiveStatus>(&bytes).ok());
    Ok(said.map(|said| said.quotas).unwrap_or_default())
}

/// Monitors of one app.
pub(super) fn monitors(connection: &Connection, site: SiteId, app: &str) -> Result<u32, Error> {
    Ok(of(&reported(connection, site)?, app))
}

/// Monitors of one app, among what was said.
pub(super) fn of(quotas: &[Quota], app: &str) -> u32 {
    quotas.iter().find(|quota| quota.app == app).map_or(0, |quota| quota.used)
}
