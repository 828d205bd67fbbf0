//! API keys: those with which programs send telemetry, and those with which they use the API.
//!
//! Always true: a key is here as its digest only and is shown once, when it is made. A telemetry key lies on customers'
//! machines: nothing can be read with it, it is of one customer, and perhaps of one of its sites, and the snapshots of the
//! sites in its scope hold its digest from its making until it is revoked or expires, so that agents recognise it without
//! the hub. A key for the API has a role and a scope as users have, and no agent hears of it.

mod change;
mod read;

pub use change::{NewApiKey, RotatedApiKey};
pub(super) use read::{of_digest, of_site};

use super::{Role, Scope, Store, error::Error, sites, writer::Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::{api_key::ApiKeyDigest, id::SiteId, snapshot::MAX_API_KEYS, time::UnixMillis};

/// The most keys that expire in one transaction.
const MAX_LAPSES: usize = 1_000;

/// How exact the last use of a key is, milliseconds: a row that many requests share is not written for each.
pub(super) const LAST_USED: i64 = 60_000;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To send telemetry; to read nothing.
    Telemetry,
    /// To use the API, as the key's role and scope permit.
    Api,
}

/// An API key, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Its number.
    pub id: i64,
    /// What the vendor calls it.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// What may be done with it; of a telemetry key it means nothing.
    pub role: Role,
    /// Whose programs have it; `None` for the vendor's own.
    pub customer: Option<i64>,
    /// At which site alone; `None` for all of the customer's.
    pub site: Option<SiteId>,
    /// Its last characters.
    pub hint: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it stops counting.
    pub expires_at: Option<UnixMillis>,
    /// When it was last used at the hub, to about a minute.
    pub last_used: Option<UnixMillis>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMillis>,
    /// Grows with every edit; not with its use.
    pub revision: i64,
}

impl Purpose {
    /// The name, as it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Api => "api",
        }
    }
}

impl ApiKey {
    /// What may be seen with it.
    pub const fn scope(&self) -> Scope {
        Scope { customer: self.customer, site: self.site }
    }

    /// Whether it counts at a moment.
    pub fn counts(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

impl Store {
    /// The key that a program came with; `None` if it is unknown, revoked, over, or for something else.
    ///
    /// # Errors
    /// What the database says.
    pub async fn recognise_api_key(
        &self,
        key: &str,
        purpose: Purpose,
        now: UnixMillis,
    ) -> Result<Option<ApiKey>, Error> {
        let digest = ApiKeyDigest::of(key);
        self.read(move |connection| {
            let found = of_digest(connection, &digest, purpose)?;
            Ok(found.filter(|(known, key)| known.same(&digest) && key.counts(now)).map(|(_, key)| key))
        })
        .await
    }

    /// One API key.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_api_key(&self, id: i64) -> Result<ApiKey, Error> {
        self.read(move |connection| read::find(connection, id)).await
    }

    /// Notes that a key was used, to about a minute.
    ///
    /// # Errors
    /// What the database says.
    pub async fn note_use_of_key(&self, key: &ApiKey, now: UnixMillis) -> Result<(), Error> {
        if key.last_used.is_some_and(|last| now.0 - last.0 < LAST_USED) {
            return Ok(());
        }
        let id = key.id;
        self.write(move |tx| {
            tx.prepare_cached("UPDATE api_keys SET last_used = ? WHERE id = ?")?.execute([now.0, id])?;
            Ok(())
        })
        .await
    }

    /// API keys in the order of their numbers, after one of them: those that `scope` covers whole, of one customer and
    /// for one purpose, if given.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_api_keys(
        &self,
        scope: Scope,
        of: (Option<i64>, Option<Purpose>),
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, Error> {
        self.read(move |connection| read::list(connection, scope, of, after, limit)).await
    }

    /// Takes keys whose time is over out of the snapshots; answers how many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lapse_api_keys(&self, now: UnixMillis) -> Result<usize, Error> {
        self.write(move |tx| {
            let over = read::over(tx, now, MAX_LAPSES)?;
            over.iter().try_for_each(|key| untell(tx, key))?;
            Ok(over.len())
        })
        .await
    }
}

/// Takes a key out of the snapshots of its sites.
fn untell(tx: &Tx<'_>, key: &ApiKey) -> Result<(), Error> {
    let told = tx.prepare_cached("UPDATE api_keys SET told = 0 WHERE id = ? AND told = 1")?.execute([key.id])?;
    if told > 0 { bump(tx, key) } else { Ok(()) }
}

/// Makes new snapshots for the sites that know the key, or knew it.
fn bump(tx: &Tx<'_>, key: &ApiKey) -> Result<(), Error> {
    match key.site {
        Some(site) => sites::bump(tx, site),
        None => sites::bump_all(tx, key.scope()),
    }
}

/// Each site in the key's scope can be told of one more.
fn check_room(tx: &Tx<'_>, customer: i64, site: Option<SiteId>) -> Result<(), Error> {
    let most: i64 = tx
        .prepare_cached(
            "SELECT coalesce(max(told), 0) FROM (
                SELECT count(*) AS told FROM api_keys k LEFT JOIN sites s ON k.site IS NULL OR s.id = k.site
                WHERE k.told = 1 AND k.customer = ?1 AND (?2 IS NULL OR k.site IS NULL OR k.site = ?2)
                    AND (s.id IS NULL OR s.plant IN (SELECT id FROM plants WHERE customer = ?1))
                GROUP BY s.id)",
        )?
        .query_row(rusqlite::params![customer, site.map(|id| *id.as_bytes())], |row| row.get(0))?;
    let full = Error::Invalid { what: "number of API keys", allowed: "at most 100 at one site" };
    if usize::try_from(most).is_ok_and(|most| most < MAX_API_KEYS) { Ok(()) } else { Err(full) }
}
