//! Reading API keys.

use super::{ApiKey, Purpose};
use crate::store::{Role, Scope, error::Error, error::found, page_size};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sitewarden_protocol::{api_key::ApiKeyDigest, id::SiteId, snapshot::MAX_API_KEYS, time::UnixMillis};

const COLUMNS: &str = "id, name, customer, site, hint, created_at, expires_at, last_used, revoked_at, purpose, role, \
     revision";

pub(super) fn find(connection: &Connection, id: i64) -> Result<ApiKey, Error> {
    let sql = format!("SELECT {COLUMNS} FROM api_keys WHERE id = ?");
    found(connection.prepare_cached(&sql)?.query_row([id], api_key).optional()?, "API key")
}

/// A key by its digest, whether it counts or not.
pub(in crate::store) fn of_digest(
    connection: &Connection,
    digest: &ApiKeyDigest,
    purpose: Purpose,
) -> Result<Option<(ApiKeyDigest, ApiKey)>, Error> {
    let sql = format!("SELECT {COLUMNS}, digest FROM api_keys WHERE digest = ? AND purpose = ?");
    let mut query = connection.prepare_cached(&sql)?;
    let row = query.query_row(params![digest.as_bytes(), purpose.name()], |row| {
        Ok((ApiKeyDigest::from_bytes(row.get("digest")?), api_key(row)?))
    });
    Ok(row.optional()?)
}

/// The digests that a site's snapshot holds, in the order of their making.
pub(in crate::store) fn of_site(
    connection: &Connection,
    site: SiteId,
    customer: i64,
) -> Result<Vec<ApiKeyDigest>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT digest FROM api_keys WHERE told = 1 AND customer = ?1 AND (site IS NULL OR site = ?2)
         ORDER BY id LIMIT ?3",
    )?;
    let limit = i64::try_from(MAX_API_KEYS).unwrap_or(i64::MAX);
    let rows =
        query.query_map(params![customer, site.as_bytes(), limit], |row| row.get(0).map(ApiKeyDigest::from_bytes))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn list(
    connection: &Connection,
    scope: Scope,
    (customer, purpose): (Option<i64>, Option<Purpose>),
    after: Option<i64>,
    limit: usize,
) -> Result<Vec<ApiKey>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM api_keys
         WHERE id > ?1 AND (?2 IS NULL OR customer = ?2) AND (?3 IS NULL OR purpose = ?3)
            AND (?4 IS NULL OR customer = ?4) AND (?5 IS NULL OR site = ?5) ORDER BY id LIMIT ?6"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let (purpose, site) = (purpose.map(Purpose::name), scope.site.map(|id| *id.as_bytes()));
    let asked = params![after.unwrap_or(0), customer, purpose, scope.customer, site, page_size(limit)];
    let rows = query.query_map(asked, api_key)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Keys in snapshots whose time is over.
pub(super) fn over(connection: &Connection, now: UnixMillis, limit: usize) -> Result<Vec<ApiKey>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM api_keys WHERE told = 1 AND expires_at <= ?1 ORDER BY id LIMIT ?2");
    let mut query = connection.prepare_cached(&sql)?;
    let rows = query.query_map(params![now.0, page_size(limit)], api_key)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(UnixMillis));
    Ok(ApiKey {
        id: row.get(0)?,
        name: row.get(1)?,
        purpose: match row.get_ref(9)?.as_str()? {
            "api" => Purpose::Api,
            _ => Purpose::Telemetry,
        },
        // The table holds no other than the three.
        role: Role::by_name(row.get_ref(10)?.as_str()?).unwrap_or(Role::Viewer),
        customer: row.get(2)?,
        site: row.get::<_, Option<[u8; 16]>>(3)?.map(SiteId::from_bytes),
        hint: row.get(4)?,
        created_at: UnixMillis(row.get(5)?),
        expires_at: time(6)?,
        last_used: time(7)?,
        revoked_at: time(8)?,
        revision: row.get(11)?,
    })
}
