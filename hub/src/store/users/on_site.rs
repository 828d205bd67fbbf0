//! Whom the agents of a site know without asking the hub.

use super::Account;
use crate::store::error::Error;
use rusqlite::{Connection, params};
use sitewarden_protocol::id::SiteId;

/// The most administrators that one site's snapshot names: with their hashes they take under 20 KiB of the frame (1 MiB)
/// that it has to fit into.
pub const MAX_ON_SITE: usize = 50;

/// Names and password hashes, ordered by name.
pub(in crate::store) fn administrators(connection: &Connection, site: SiteId) -> Result<Vec<(String, String)>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT u.name, u.password_hash FROM users u
         WHERE u.on_site = 1 AND u.enabled = 1 AND u.role = 'admin' AND (u.site IS NULL OR u.site = ?1)
            AND (u.customer IS NULL OR u.customer = (SELECT p.customer FROM sites s JOIN plants p ON p.id = s.plant
                                                     WHERE s.id = ?1))
         ORDER BY u.name LIMIT ?2",
    )?;
    let limit = i64::try_from(MAX_ON_SITE).unwrap_or(i64::MAX);
    let rows = query.query_map(params![site.as_bytes(), limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether each site in the user's scope can be told of one more. He himself does not count.
pub(super) fn has_room(connection: &Connection, account: &Account) -> Result<bool, Error> {
    let most: i64 = connection
        .prepare_cached(
            "SELECT coalesce(max(told), 0) FROM (
                SELECT count(*) AS told FROM sites s JOIN plants p ON p.id = s.plant
                JOIN users u ON u.on_site = 1 AND u.enabled = 1 AND u.name != ?1
                    AND (u.site IS NULL OR u.site = s.id) AND (u.customer IS NULL OR u.customer = p.customer)
                WHERE (?2 IS NULL OR s.id = ?2) AND (?3 IS NULL OR p.customer = ?3) GROUP BY s.id)",
        )?
        .query_row(params![account.name, account.site.map(|id| *id.as_bytes()), account.customer], |row| row.get(0))?;
    Ok(usize::try_from(most).is_ok_and(|most| most < MAX_ON_SITE))
}
