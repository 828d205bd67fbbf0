//! Licences: what was sold. Each change writes a revision and an audit row, and makes the site's snapshot a new one.

mod activate;
mod change;
mod edit;
mod expire;
mod explain;
mod history;
mod listed;
mod row;
mod rules;
mod seen;
mod usage;

pub use edit::{LicenseEdit, PolicyEdit};
pub use history::{LicenseChange, LicenseRevision};
pub use listed::{LicenseDetail, LicenseFilter, LicensePage, ListedLicense, Standing as LicenseStanding};
pub use row::LicenseRow;
pub use rules::Refusal as LicenseRefusal;
pub use seen::{SeenLicense, SiteInForce};

use super::{
    Act, Store, customers, customers::checked_name, error::Error, error::found, secrets, secrets::StoreSecrets,
    writer::Tx,
};

pub(super) use activate::{MAX_BY, activate_direct};
pub(super) use change::{AtSite, save};
pub(super) use expire::expire;
pub(super) use explain::circumstances;
pub(super) use listed::check_offset;
#[cfg(test)]
pub(super) use listed::queries;
pub(super) use row::{COLUMNS, NOWHERE, license_row};
pub(super) use rules::end_of;
use rusqlite::{Connection, OptionalExtension, params};
pub(super) use seen::check_place;
use sitewarden_protocol::{
    codec,
    id::{LicenseId, SiteId},
    license::{KeyDigest, Kind, Limits, Policy, Term, key_hint, random_key, short_key},
};
use std::{fmt, sync::Arc};

/// The most licences of one site: a snapshot is always sent whole, in one frame.
const MAX_OF_SITE: i64 = 500;

/// The most features of one licence.
const MAX_FEATURES: usize = 100;

/// The most thresholds of one licence.
const MAX_THRESHOLDS: usize = 10;

/// The highest threshold, per cent: overages go beyond the whole.
const MAX_THRESHOLD: u16 = 1_000;

/// Whose a licence is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A site's: its agent decides by it, offline. The key has the plant licence API's form.
    Site(SiteId),
    /// A customer's, for apps that call the hub themselves. The key has the licence server's form.
    Customer(i64),
}

/// A licence to be issued.
#[derive(Debug, Clone)]
pub struct NewLicense {
    /// Whose.
    pub holder: Holder,
    /// For which app; one that is not known yet becomes known.
    pub app: String,
    /// Unique at the site, if it has one.
    pub name: String,
    /// How it is sold.
    pub kind: Kind,
    /// How long it lasts.
    pub term: Term,
    /// How much it allows.
    pub limits: Limits,
    /// What it switches on.
    pub features: Vec<String>,
    /// What happens when it ends.
    pub policy: Policy,
    /// Shares of its limits at which the vendor wants to be told: per cent.
    pub thresholds: Vec<u16>,
    /// In the vendor's words.
    pub description: String,
}

/// A licence that was issued. Its key does not print.
#[derive(Clone)]
pub struct Issued {
    /// What is stored.
    pub license: LicenseRow,
    /// What the customer types in.
    pub key: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("license", &self.license).finish_non_exhaustive()
    }
}

/// How a licence is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LicenseSelector {
    /// By its number.
    Number(i64),
    /// By its UUID.
    Uuid(LicenseId),
}

impl Store {
    /// Issues a licence with a new random key.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the site or the customer, [`Error::Conflict`] if it has a licence of this name, [`Error::Invalid`].
    pub async fn issue_license(&self, act: &Act, new: NewLicense) -> Result<Issued, Error> {
        let new = checked(new)?;
        let uuid = LicenseId::new(act.at, secrets::random()?);
        let key = match new.holder {
            // Sixteen times the bytes that a key needs: so many are skipped as unfair about never.
            Holder::Site(_) => random_key(secrets::random::<512>()?),
            Holder::Customer(_) => short_key(secrets::random()?),
        };
        let (act, store_secrets) = (act.clone(), Arc::clone(&self.0.secrets));
        self.write(move |tx| {
            let license = issue(tx, &act, &new, (uuid, &key), &store_secrets)?;
            Ok(Issued { license, key })
        })
        .await
    }

    /// One licence.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_license(&self, which: LicenseSelector) -> Result<LicenseRow, Error> {
        self.read(move |connection| find(connection, which)).await
    }

    /// One licence and its key, to be shown to an administrator again.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Damaged`] if the key was sealed with another secret.
    pub async fn reveal_license(&self, which: LicenseSelector) -> Result<Issued, Error> {
        let store_secrets = Arc::clone(&self.0.secrets);
        self.read(move |connection| {
            let license = find(connection, which)?;
            let sealed: Vec<u8> = connection
                .prepare_cached("SELECT key_sealed FROM licenses WHERE id = ?")?
                .query_row([license.id], |row| row.get(0))?;
            let key = store_secrets.open(license.uuid, &sealed)?;
            Ok(Issued { license, key })
        })
        .await
    }

    /// The licence with this key, at whatever site.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn license_by_key(&self, key: &str) -> Result<LicenseRow, Error> {
        let lookup = self.0.secrets.lookup(key);
        self.read(move |connection| {
            let mut query = connection.prepare_cached("SELECT id FROM licenses WHERE key_lookup = ?")?;
            let id = found(query.query_row([lookup], |row| row.get(0)).optional()?, "license")?;
            find(connection, LicenseSelector::Number(id))
        })
        .await
    }
}

fn checked(new: NewLicense) -> Result<NewLicense, Error> {
    let app = new.app.trim().to_owned();
    let code = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if app.is_empty() || app.len() > 32 || !app.bytes().all(code) {
        return Err(Error::Invalid { what: "app", allowed: "1 to 32 letters, digits, '_', '-' or '.'" });
    }
    let fits = |feature: &String| !feature.is_empty() && feature.len() <= 100;
    if new.features.len() > MAX_FEATURES || !new.features.iter().all(fits) {
        return Err(Error::Invalid { what: "features", allowed: "at most 100, each of 1 to 100 bytes" });
    }
    if new.description.len() > 2_000 {
        return Err(Error::Invalid { what: "description", allowed: "at most 2000 bytes" });
    }
    if matches!(new.term, Term::Dates { from, until } if from >= until) {
        return Err(Error::Invalid { what: "term", allowed: "from a moment until a later one" });
    }
    if new.kind == Kind::Trial && new.term == Term::Endless {
        return Err(Error::Invalid { what: "term", allowed: "one with an end, for a trial" });
    }
    let thresholds = checked_thresholds(new.thresholds)?;
    Ok(NewLicense { name: checked_name(&new.name)?, app, thresholds, ..new })
}

/// In their order, each once.
fn checked_thresholds(mut thresholds: Vec<u16>) -> Result<Vec<u16>, Error> {
    thresholds.sort_unstable();
    thresholds.dedup();
    let fits = thresholds.len() <= MAX_THRESHOLDS && thresholds.iter().all(|one| (1..=MAX_THRESHOLD).contains(one));
    let invalid = Error::Invalid { what: "thresholds", allowed: "at most 10 numbers from 1 to 1000, per cent" };
    if fits { Ok(thresholds) } else { Err(invalid) }
}

/// A changed licence is bound by what a new one is.
fn checked_row(row: LicenseRow) -> Result<LicenseRow, Error> {
    let (app, name, description) = (row.app.clone(), row.name.clone(), row.description.clone());
    let (features, thresholds) = (row.features.clone(), row.thresholds.clone());
    let (kind, term, limits, policy) = (row.kind, row.term, row.limits, row.policy);
    let holder = row.site.map_or(Holder::Customer(row.customer), Holder::Site);
    let new = NewLicense { holder, app, name, kind, term, limits, features, policy, thresholds, description };
    let new = checked(new)?;
    Ok(LicenseRow { name: new.name, app: new.app, thresholds: new.thresholds, ..row })
}

/// The site and the customer of a licence to be.
fn place(tx: &Tx<'_>, holder: Holder) -> Result<(Option<SiteId>, i64), Error> {
    match holder {
        Holder::Customer(id) => Ok((None, customers::find(tx, id)?.id)),
        Holder::Site(site) => {
            let mut query = tx.prepare_cached(
                "SELECT plants.customer FROM sites JOIN plants ON plants.id = sites.plant WHERE sites.id = ?",
            )?;
            let customer = query.query_row([site.as_bytes()], |row| row.get(0)).optional()?;
            check_room(tx, site)?;
            Ok((Some(site), found(customer, "site")?))
        }
    }
}

/// Issues a licence whose fields are as they may be, with a UUID and a key.
pub(super) fn issue(
    tx: &Tx<'_>,
    act: &Act,
    new: &NewLicense,
    (uuid, key): (LicenseId, &str),
    store_secrets: &StoreSecrets,
) -> Result<LicenseRow, Error> {
    let id = insert(tx, act, new, uuid, key, store_secrets)?;
    let license = find(tx, LicenseSelector::Number(id))?;
    change::record(tx, act, "license.issue", None, &license)?;
    Ok(license)
}

fn insert(
    tx: &Tx<'_>,
    act: &Act,
    new: &NewLicense,
    uuid: LicenseId,
    key: &str,
    store_secrets: &StoreSecrets,
) -> Result<i64, Error> {
    let (site, customer) = place(tx, new.holder)?;
    tx.prepare_cached("INSERT OR IGNORE INTO apps (code, name, created_at) VALUES (?1, ?1, ?2)")?
        .execute(params![new.app, act.at.0])?;
    tx.prepare_cached(
        "INSERT INTO licenses (uuid, site, customer, app, name, description, kind, term, max_monitors, max_users,
            max_activations, features, policy, thresholds, status, key_sealed, key_lookup, key_digest, key_hint,
            created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'Inactive', ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        uuid.as_bytes(),
        site.map(|id| *id.as_bytes()),
        customer,
        new.app,
        new.name,
        new.description,
        row::kind_name(new.kind),
        row::json(&new.term)?,
        new.limits.monitors,
        new.limits.users,
        new.limits.activations,
        row::json(&new.features)?,
        row::json(&new.policy)?,
        row::json(&new.thresholds)?,
        store_secrets.seal(uuid, key)?,
        store_secrets.lookup(key),
        codec::encode(&KeyDigest::of(site.unwrap_or(NOWHERE), key)),
        key_hint(key),
        act.at.0,
    ])
    .map_err(|error| Error::or_conflict(error, "license with this name at this site"))?;
    Ok(tx.last_insert_rowid())
}

/// Whether one licence more fits into the site's snapshot.
fn check_room(tx: &Tx<'_>, site: SiteId) -> Result<(), Error> {
    let mut query = tx.prepare_cached("SELECT count(*) FROM licenses WHERE site = ?")?;
    let of_site: i64 = query.query_row([site.as_bytes()], |row| row.get(0))?;
    let full = Error::Invalid { what: "number of licenses", allowed: "at most 500 at one site" };
    if of_site < MAX_OF_SITE { Ok(()) } else { Err(full) }
}

pub(super) fn find(connection: &Connection, which: LicenseSelector) -> Result<LicenseRow, Error> {
    let read = |condition: &str, value: &dyn rusqlite::ToSql| {
        let sql = format!("SELECT {COLUMNS} FROM licenses WHERE {condition} = ?");
        let mut query = connection.prepare_cached(&sql)?;
        let mut rows = query.query([value])?;
        found(rows.next()?.map(license_row).transpose()?, "license")
    };
    match which {
        LicenseSelector::Number(id) => read("id", &id),
        LicenseSelector::Uuid(uuid) => read("uuid", uuid.as_bytes()),
    }
}

/// All licences of a site, in the order of their issue. Bounded by what a site may have.
pub(super) fn of_site(connection: &Connection, site: SiteId) -> Result<Vec<LicenseRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM licenses WHERE site = ? ORDER BY id");
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query([site.as_bytes()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(license_row(row)?);
    }
    Ok(found)
}
