//! Licences as lists and statistics show them: by the licence server's words, with totals, keys and what is used.
//!
//! Always true: a page is found in an index, and its total is kept, so that neither costs more the more there is.

use super::{COLUMNS, Issued, LicenseSelector, find, license_row};
use crate::store::{
    Customer, Scope, Store, counted, customers,
    error::Error,
    machines::{ListedActivation, newest_of},
    plants,
    secrets::StoreSecrets,
    sites,
    usage::{self, UsageOf},
};
use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter, types::Value as Sql};
use sitewarden_protocol::{id::SiteId, license::Status};
use std::{collections::BTreeMap, sync::Arc};

/// How far a list can be leafed through: further is found with a filter, or from a row on.
pub(in crate::store) const MAX_OFFSET: u64 = 100_000;
/// The most activations that are shown with their licence; the list of activations has all.
const MAX_SHOWN: usize = 1_000;

/// Where a licence is in its life, in the licence server's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In force.
    Active,
    /// Not activated yet, or given up for another one.
    Inactive,
    /// Ended by time.
    Expired,
    /// Withdrawn.
    Revoked,
}

/// Which licences; all conditions together.
#[derive(Debug, Clone, Default)]
pub struct LicenseFilter {
    /// What who asks may see.
    pub scope: Scope,
    /// Of one customer.
    pub customer: Option<i64>,
    /// Of one site.
    pub site: Option<SiteId>,
    /// As the books have it: an end that has just passed is entered within a minute.
    pub standing: Option<Standing>,
    /// The one with this key.
    pub key: Option<String>,
    /// After the one with this number.
    pub after: Option<i64>,
}

/// A licence on a list.
#[derive(Debug, Clone)]
pub struct ListedLicense {
    /// What is stored, and its key.
    pub issued: Issued,
    /// Its customer's name.
    pub customer_name: String,
    /// Machines under it that were not given back.
    pub activations: u64,
}

/// A page of licences, in the order of their numbers.
#[derive(Debug, Clone)]
pub struct LicensePage {
    /// What is on it.
    pub licenses: Vec<ListedLicense>,
    /// How many there are on all pages, `after` aside.
    pub total: u64,
}

/// A licence with all that belongs to it.
#[derive(Debug, Clone)]
pub struct LicenseDetail {
    /// What is stored, its key, and so on.
    pub listed: ListedLicense,
    /// Whose it is.
    pub customer: Customer,
    /// The newest thousand machines, those given back included.
    pub machines: Vec<ListedActivation>,
    /// The most users that each of its machines ever had, summed.
    pub total_users: u64,
    /// Active users of its busiest hour.
    pub peak_users: u64,
    /// How often each feature was ever used.
    pub feature_usage: BTreeMap<String, u64>,
}

impl Standing {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Active, "active"),
        (Self::Inactive, "inactive"),
        (Self::Expired, "expired"),
        (Self::Revoked, "revoked"),
    ];

    /// The word.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(standing, _)| *standing == self).map_or("inactive", |(_, name)| name)
    }

    /// The standing with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map(|(standing, _)| standing)
    }
}

impl From<Status> for Standing {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Expired => Self::Expired,
            Status::Invalid => Self::Revoked,
            Status::Inactive | Status::Deactivated => Self::Inactive,
        }
    }
}

impl Store {
    /// A page of licences.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a customer or site that is not there, or not for this caller; [`Error::Invalid`] for a page
    /// that lies too far.
    pub async fn license_page(&self, filter: LicenseFilter, offset: u64, rows: u32) -> Result<LicensePage, Error> {
        check_offset(offset)?;
        let secrets = Arc::clone(&self.0.secrets);
        self.read(move |connection| page(connection, &filter, offset, rows, &secrets)).await
    }

    /// One licence with all that belongs to it.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that `scope` does not cover.
    pub async fn license_detail(&self, scope: Scope, which: LicenseSelector) -> Result<LicenseDetail, Error> {
        let secrets = Arc::clone(&self.0.secrets);
        self.read(move |connection| {
            let license = find(connection, which)?;
            if !scope.covers(&license) {
                return Err(Error::NotFound { what: "license" });
            }
            let of = usage::of_license(license.id);
            let (_, _, _, total_users) = usage::tallied(connection, &of)?;
            Ok(LicenseDetail {
                customer: customers::find(connection, license.customer)?,
                machines: newest_of(connection, license.id, MAX_SHOWN)?,
                total_users,
                peak_users: usage::peak(connection, &of)?,
                feature_usage: usage::used_ever(connection, &of)?,
                listed: listed(connection, license, &secrets)?,
            })
        })
        .await
    }
}

/// # Errors
/// [`Error::Invalid`].
pub(in crate::store) fn check_offset(offset: u64) -> Result<(), Error> {
    let allowed = "within the first 100000 rows; what lies further is found with a filter";
    if offset <= MAX_OFFSET { Ok(()) } else { Err(Error::Invalid { what: "page", allowed }) }
}

fn page(
    connection: &Connection,
    filter: &LicenseFilter,
    offset: u64,
    rows: u32,
    secrets: &StoreSecrets,
) -> Result<LicensePage, Error> {
    let Some((scope, path)) = path(connection, filter)? else {
        return Ok(LicensePage { licenses: vec![], total: 0 });
    };
    if let Some(key) = &filter.key {
        let licenses = with_key(connection, filter, secrets.lookup(key))?;
        let licenses =
            licenses.into_iter().map(|row| listed(connection, row, secrets)).collect::<Result<Vec<_>, _>>()?;
        return Ok(LicensePage { total: u64::try_from(licenses.len()).unwrap_or(0), licenses });
    }
    let (sql, mut values) = question(&path, filter.standing);
    values.insert(0, Sql::Integer(filter.after.unwrap_or(0)));
    values.extend([Sql::Integer(i64::from(rows)), Sql::Integer(i64::try_from(offset).unwrap_or(0))]);
    let mut query = connection.prepare_cached(&sql)?;
    let mut found = query.query(params_from_iter(values))?;
    let mut licenses = Vec::new();
    while let Some(row) = found.next()? {
        licenses.push(listed(connection, license_row(row)?, secrets)?);
    }
    Ok(LicensePage { licenses, total: total(connection, &scope, filter.standing)? })
}

/// By which column the index is searched.
enum Path {
    All,
    Customer(i64),
    Site(SiteId),
}

/// The scope that is asked for; `None` if no licence can be in it.
fn path(connection: &Connection, filter: &LicenseFilter) -> Result<Option<(String, Path)>, Error> {
    let of = UsageOf { scope: filter.scope, customer: filter.customer, license: None };
    let scope = usage::scope_of(connection, &of)?;
    let Some(site) = filter.site.or(filter.scope.site) else {
        let customer = filter.customer.or(filter.scope.customer);
        return Ok(Some((scope, customer.map_or(Path::All, Path::Customer))));
    };
    let customer = plants::find(connection, sites::find(connection, site)?.plant)?.customer;
    let own =
        filter.scope.site.is_none_or(|only| only == site) && filter.scope.customer.is_none_or(|only| only == customer);
    if !own {
        return Err(Error::NotFound { what: "site" });
    }
    let asked = filter.customer.is_none_or(|asked| asked == customer);
    Ok(asked.then(|| (usage::of_site(site), Path::Site(site))))
}

/// The numbers are found in an index alone, and only what is shown is read.
fn question(path: &Path, standing: Option<Standing>) -> (String, Vec<Sql>) {
    let (mut conditions, mut values) = (String::new(), Vec::new());
    // For all of them the numbers have an index of their own: skipping rows in the table would read every page of it.
    let index = match (path, standing) {
        (Path::All, None) => "INDEXED BY licenses_in_order",
        (Path::All, Some(_)) => "INDEXED BY licenses_by_standing",
        (Path::Customer(_), None) => "INDEXED BY licenses_of_customer",
        (Path::Customer(_), Some(_)) => "INDEXED BY licenses_of_customer_by_standing",
        (Path::Site(_), None) => "INDEXED BY licenses_of_site",
        (Path::Site(_), Some(_)) => "INDEXED BY licenses_of_site_by_standing",
    };
    match path {
        Path::All => {}
        Path::Customer(id) => {
            conditions.push_str(" AND customer = ?");
            values.push(Sql::Integer(*id));
        }
        Path::Site(id) => {
            conditions.push_str(" AND site = ?");
            values.push(Sql::Blob(id.as_bytes().to_vec()));
        }
    }
    if let Some(standing) = standing {
        conditions.push_str(" AND standing = ?");
        values.push(Sql::Text(standing.name().to_owned()));
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM licenses WHERE id IN (
            SELECT id FROM licenses {index} WHERE id > ?{conditions} ORDER BY id LIMIT ? OFFSET ?) ORDER BY id"
    );
    (sql, values)
}

fn with_key(
    connection: &Connection,
    filter: &LicenseFilter,
    lookup: [u8; 32],
) -> Result<Option<super::LicenseRow>, Error> {
    let mut query = connection.prepare_cached("SELECT id FROM licenses WHERE key_lookup = ?")?;
    let id = query.query_row([&lookup as &dyn ToSql], |row| row.get(0)).optional()?;
    let license = id.map(|id| find(connection, LicenseSelector::Number(id))).transpose()?;
    Ok(license.filter(|license| {
        filter.scope.covers(license)
            && filter.customer.is_none_or(|customer| customer == license.customer)
            && filter.site.is_none_or(|site| license.site == Some(site))
            && filter.standing.is_none_or(|standing| standing == license.status.into())
    }))
}

fn total(connection: &Connection, scope: &str, standing: Option<Standing>) -> Result<u64, Error> {
    let mut query = connection.prepare_cached("SELECT status, licenses FROM license_tallies WHERE scope = ?")?;
    let mut rows = query.query([scope])?;
    let mut total = 0;
    while let Some(row) = rows.next()? {
        let status = Status::by_name(&row.get::<_, String>(0)?);
        let counts = status.is_some_and(|status| standing.is_none_or(|wanted| wanted == status.into()));
        total += if counts { counted(row, 1)? } else { 0 };
    }
    Ok(total)
}

fn listed(connection: &Connection, license: super::LicenseRow, secrets: &StoreSecrets) -> Result<ListedLicense, Error> {
    let mut query = connection.prepare_cached("SELECT key_sealed FROM licenses WHERE id = ?")?;
    let sealed: Vec<u8> = query.query_row([license.id], |row| row.get(0))?;
    let key = secrets.open(license.uuid, &sealed)?;
    let (activations, ..) = usage::tallied(connection, &usage::of_license(license.id))?;
    let customer_name = customers::find(connection, license.customer)?.name;
    Ok(ListedLicense { issued: Issued { license, key }, customer_name, activations })
}

/// All questions, for the test of their plans.
#[cfg(test)]
pub(in crate::store) fn queries() -> Vec<String> {
    let paths = [Path::All, Path::Customer(1), Path::Site(SiteId::from_bytes([1; 16]))];
    let standings = [None, Some(Standing::Active)];
    paths.iter().flat_map(|path| standings.map(|standing| question(path, standing).0)).collect()
}
