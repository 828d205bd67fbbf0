//! Reading users.

use super::{Account, Role, Scope, User};
use crate::store::{error::Error, page_size};
use rusqlite::{Connection, OptionalExtension, Row, Rows, params};
use sitewarden_protocol::{id::SiteId, time::UnixMillis};

const COLUMNS: &str = "name, role, customer, site, enabled, on_site, created_at, revision";

const DAMAGED: Error = Error::Damaged { what: "user" };

pub(in crate::store) fn enabled(connection: &Connection, name: &str) -> Result<Option<User>, Error> {
    let mut query = connection
        .prepare_cached("SELECT name, role, customer, site, password_hash FROM users WHERE name = ? AND enabled = 1")?;
    user(query.query([name])?)
}

/// An enabled user by his session, if it is not over.
pub(in crate::store) fn of_session(
    connection: &Connection,
    session: [u8; 16],
    now: UnixMillis,
) -> Result<Option<User>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT u.name, u.role, u.customer, u.site, u.password_hash FROM sessions s JOIN users u ON u.id = s.user
         WHERE s.id = ? AND s.expires_at > ? AND u.enabled = 1",
    )?;
    user(query.query(params![session, now.0])?)
}

fn user(mut rows: Rows<'_>) -> Result<Option<User>, Error> {
    let Some(row) = rows.next()? else { return Ok(None) };
    let scope = Scope { customer: row.get(2)?, site: site(row)? };
    Ok(Some(User { name: row.get(0)?, role: role(row)?, scope, password_hash: row.get(4)? }))
}

pub(super) fn find(connection: &Connection, name: &str) -> Result<Account, Error> {
    let sql = format!("SELECT {COLUMNS} FROM users WHERE name = ?");
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query([name])?;
    rows.next()?.map(account).transpose()?.ok_or(Error::NotFound { what: "user" })
}

pub(super) fn list(
    connection: &Connection,
    scope: Scope,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Account>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM users WHERE name > ?1 AND (?2 IS NULL OR site = ?2) AND (?3 IS NULL OR customer = ?3
            OR site IN (SELECT s.id FROM sites s JOIN plants p ON p.id = s.plant WHERE p.customer = ?3))
         ORDER BY name LIMIT ?4"
    );
    let mut query = connection.prepare_cached(&sql)?;
    // No name is empty.
    let only = scope.site.map(|id| *id.as_bytes());
    let mut rows = query.query(params![after.unwrap_or_default(), only, scope.customer, page_size(limit)])?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next()? {
        accounts.push(account(row)?);
    }
    Ok(accounts)
}

/// Whether anybody but this user keeps the hub from being locked.
pub(super) fn another_holds_the_hub(connection: &Connection, name: &str) -> Result<bool, Error> {
    let mut query = connection.prepare_cached(
        "SELECT 1 FROM users WHERE name != ? AND role = 'admin' AND enabled = 1 AND customer IS NULL AND site IS NULL
         LIMIT 1",
    )?;
    Ok(query.query_row([name], |_| Ok(())).optional()?.is_some())
}

fn account(row: &Row<'_>) -> Result<Account, Error> {
    Ok(Account {
        name: row.get(0)?,
        role: role(row)?,
        customer: row.get(2)?,
        site: site(row)?,
        enabled: row.get(4)?,
        on_site: row.get(5)?,
        created_at: UnixMillis(row.get(6)?),
        revision: row.get(7)?,
    })
}

fn role(row: &Row<'_>) -> Result<Role, Error> {
    Role::by_name(row.get_ref(1)?.as_str().map_err(|_| DAMAGED)?).ok_or(DAMAGED)
}

fn site(row: &Row<'_>) -> rusqlite::Result<Option<SiteId>> {
    Ok(row.get::<_, Option<[u8; 16]>>(3)?.map(SiteId::from_bytes))
}
