//! API keys are made, replaced and revoked.

use super::{ApiKey, Purpose, bump, check_room, read, untell};
use crate::store::{Act, Role, Store, audit, customers, customers::checked_name, error::Error, secrets, writer::Tx};
use rusqlite::{OptionalExtension, params};
use serde_json::json;
use sitewarden_protocol::{
    api_key::{ApiKeyDigest, access_key, api_key},
    id::SiteId,
    license::key_hint,
    time::UnixMillis,
};
use std::{fmt, time::Duration};
use zeroize::Zeroizing;

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What the vendor calls it.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// What may be done with it; a telemetry key's has no meaning.
    pub role: Role,
    /// Whose programs get it; `None` for the vendor's own, which a telemetry key cannot be.
    pub customer: Option<i64>,
    /// At which site alone.
    pub site: Option<SiteId>,
    /// When it stops counting.
    pub expires_at: Option<UnixMillis>,
}

impl NewApiKey {
    /// A key with which a customer's programs send telemetry.
    pub fn telemetry(name: impl Into<String>, customer: i64, site: Option<SiteId>) -> Self {
        let (purpose, role) = (Purpose::Telemetry, Role::Viewer);
        Self { name: name.into(), purpose, role, customer: Some(customer), site, expires_at: None }
    }
}

/// A key that took another's place.
pub struct RotatedApiKey {
    /// The key itself, shown this once.
    pub key: Zeroizing<String>,
    /// The new one.
    pub new: ApiKey,
    /// The one before, and how long it still counts.
    pub old: ApiKey,
}

impl fmt::Debug for RotatedApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotatedApiKey").field("new", &self.new).field("old", &self.old).finish_non_exhaustive()
    }
}

impl Store {
    /// Makes a key; it is shown this once.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the customer or the site, [`Error::Invalid`] for a site of another customer, a name, a
    /// moment that is over, or one key too many.
    pub async fn add_api_key(&self, act: &Act, new: NewApiKey) -> Result<(Zeroizing<String>, ApiKey), Error> {
        let act = act.clone();
        let name = checked_name(&new.name)?;
        if new.expires_at.is_some_and(|end| end <= act.at) {
            return Err(Error::Invalid { what: "expires", allowed: "in the future" });
        }
        if new.purpose == Purpose::Telemetry && new.customer.is_none() && new.site.is_none() {
            return Err(Error::Invalid { what: "customer", allowed: "given for a telemetry key, or a site" });
        }
        let key = new_key(new.purpose)?;
        self.write(move |tx| {
            let customer = owner(tx, new.customer, new.site)?;
            let made = insert(tx, &act, &NewApiKey { name, customer, ..new }, &key)?;
            Ok((key, made))
        })
        .await
    }

    /// Makes a key of the same name and scope, and lets the old one count for as long as `overlap` still.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Changed`]; [`Error::Conflict`] if the key does not count any more; [`Error::Invalid`] for one key too
    /// many.
    pub async fn rotate_api_key(&self, act: &Act, id: i64, overlap: Duration) -> Result<RotatedApiKey, Error> {
        let act = act.clone();
        let random = Zeroizing::new(secrets::random()?);
        self.write(move |tx| {
            let before = read::find(tx, id)?;
            act.check_seen(before.revision)?;
            if !before.counts(act.at) {
                return Err(Error::Conflict { what: "end of this API key" });
            }
            // One that ends anyway leaves no successor that ends at once with it.
            let key = shaped(before.purpose, &random);
            let successor = NewApiKey {
                name: before.name.clone(),
                purpose: before.purpose,
                role: before.role,
                customer: before.customer,
                site: before.site,
                expires_at: None,
            };
            let end = act.at.after(overlap);
            let end = before.expires_at.map_or(end, |earlier| earlier.min(end));
            tx.prepare_cached("UPDATE api_keys SET expires_at = ?, revision = revision + 1 WHERE id = ?")?
                .execute(params![end.0, id])?;
            if overlap.is_zero() {
                untell(tx, &before)?;
            }
            let new = insert(tx, &act, &successor, &key)?;
            let old = read::find(tx, id)?;
            let (was, is) = (json!(before), json!(old));
            audit::write(tx, &act, "apikey.rotate", &format!("apikey {id}"), Some(&was), Some(&is))?;
            Ok(RotatedApiKey { key, new, old })
        })
        .await
    }

    /// Revokes a key; it does not count from now on. A repeat changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Changed`].
    pub async fn revoke_api_key(&self, act: &Act, id: i64) -> Result<ApiKey, Error> {
        let act = act.clone();
        self.write(move |tx| {
            let before = read::find(tx, id)?;
            act.check_seen(before.revision)?;
            if before.revoked_at.is_some() {
                return Ok(before);
            }
            tx.prepare_cached("UPDATE api_keys SET revoked_at = ?, revision = revision + 1 WHERE id = ?")?
                .execute(params![act.at.0, id])?;
            untell(tx, &before)?;
            let after = read::find(tx, id)?;
            let (was, is) = (json!(before), json!(after));
            audit::write(tx, &act, "apikey.revoke", &format!("apikey {id}"), Some(&was), Some(&is))?;
            Ok(after)
        })
        .await
    }
}

fn insert(tx: &Tx<'_>, act: &Act, new: &NewApiKey, key: &str) -> Result<ApiKey, Error> {
    let told = new.purpose == Purpose::Telemetry;
    if let (true, Some(customer)) = (told, new.customer) {
        check_room(tx, customer, new.site)?;
    }
    tx.prepare_cached(
        "INSERT INTO api_keys (name, digest, role, purpose, hint, told, customer, site, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        new.name,
        ApiKeyDigest::of(key).as_bytes(),
        new.role.name(),
        new.purpose.name(),
        key_hint(key),
        told,
        new.customer,
        new.site.map(|id| *id.as_bytes()),
        act.at.0,
        new.expires_at.map(|at| at.0),
    ])?;
    let made = read::find(tx, tx.last_insert_rowid())?;
    audit::write(tx, act, "apikey.add", &format!("apikey {}", made.id), None, Some(&json!(made)))?;
    if told {
        bump(tx, &made)?;
    }
    Ok(made)
}

fn new_key(purpose: Purpose) -> Result<Zeroizing<String>, Error> {
    Ok(shaped(purpose, &Zeroizing::new(secrets::random()?)))
}

fn shaped(purpose: Purpose, random: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(match purpose {
        Purpose::Telemetry => api_key(random),
        Purpose::Api => access_key(random),
    })
}

/// The customer that a key is limited to: the site's, if only a site is given.
fn owner(tx: &Tx<'_>, customer: Option<i64>, site: Option<SiteId>) -> Result<Option<i64>, Error> {
    if let Some(customer) = customer {
        customers::find(tx, customer)?;
    }
    let Some(site) = site else { return Ok(customer) };
    let owner = tx
        .prepare_cached("SELECT p.customer FROM sites s JOIN plants p ON p.id = s.plant WHERE s.id = ?")?
        .query_row([site.as_bytes()], |row| row.get::<_, i64>(0))
        .optional()?;
    match owner {
        None => Err(Error::NotFound { what: "site" }),
        Some(owner) if customer.is_some_and(|customer| customer != owner) => {
            Err(Error::Invalid { what: "site", allowed: "one of this customer's" })
        }
        Some(owner) => Ok(Some(owner)),
    }
}
