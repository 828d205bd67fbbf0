//! The answers. Each reads rows of one scope, and of no more than a year.

use super::{HOUR, scope, sketch::Sketch};
use crate::store::{
    Granularity, LicenseSelector, Scope, Store, counted, customers, error::Error, licenses, plants, sites,
};
use rusqlite::{Connection, OptionalExtension, params};
use sitewarden_protocol::{license::Status, time::UnixMillis};
use std::collections::BTreeMap;

/// The longest range, days.
pub const MAX_SPAN_DAYS: i64 = 366;

const DAY: i64 = 24 * HOUR;

/// Of what, and for whom.
#[derive(Debug, Clone, Copy, Default)]
pub struct UsageOf {
    /// What who asks may see.
    pub scope: Scope,
    /// Of one customer.
    pub customer: Option<i64>,
    /// Of one licence, by its number.
    pub license: Option<i64>,
}

/// From a moment up to another, of which it has at least one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageSpan {
    from: UnixMillis,
    to: UnixMillis,
}

/// What was used in a range. The module says what each figure means.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// How often machines said how many users they have.
    pub heartbeats: u64,
    /// Different machines that were heard of.
    pub unique_activations: u64,
    /// What heartbeats said, on the average; `None` without any.
    pub average_users: Option<f64>,
    /// Active users of the busiest hour.
    pub peak_users: u64,
    /// The earliest first; spans in which nothing happened have none.
    pub points: Vec<UsagePoint>,
}

/// One hour, day, week or month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsagePoint {
    /// When it begins.
    pub start: UnixMillis,
    /// Active users of its busiest hour.
    pub active_users: u64,
    /// How often machines said how many users they have.
    pub heartbeats: u64,
    /// Machines that were activated for the first time.
    pub new_activations: u64,
}

/// What was used of a feature in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureUse {
    /// Its name.
    pub name: String,
    /// How often.
    pub used: u64,
    /// By how many different machines.
    pub machines: u64,
    /// How often in the range of the same length before.
    pub before: u64,
}

/// Everything at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// Licences, in whatever state.
    pub licenses: u64,
    /// Licences in force.
    pub active_licenses: u64,
    /// Activations that were ever made.
    pub activations: u64,
    /// Those not given back.
    pub active_activations: u64,
    /// Users at this moment.
    pub users: u64,
    /// By day.
    pub days: Vec<UsagePoint>,
    /// By feature, how often it was used in the range.
    pub features: BTreeMap<String, u64>,
}

impl UsageSpan {
    /// # Errors
    /// [`Error::Invalid`] for one that ends before it begins, or is longer than [`MAX_SPAN_DAYS`].
    pub fn new(from: UnixMillis, to: UnixMillis) -> Result<Self, Error> {
        if to <= from {
            return Err(Error::Invalid { what: "to_date", allowed: "after from_date" });
        }
        if to.0.saturating_sub(from.0) > MAX_SPAN_DAYS * DAY {
            return Err(Error::Invalid { what: "from_date, to_date", allowed: "at most 366 days apart" });
        }
        Ok(Self { from, to })
    }

    fn hours(self) -> (i64, i64) {
        (self.from.0.div_euclid(HOUR), self.to.0.saturating_sub(1).div_euclid(HOUR))
    }

    fn days(self) -> (i64, i64) {
        (self.from.0.div_euclid(DAY), self.to.0.saturating_sub(1).div_euclid(DAY))
    }

    /// As many days, before these.
    fn days_before(self) -> (i64, i64) {
        let (first, last) = self.days();
        (first - (last - first) - 1, first - 1)
    }
}

impl Store {
    /// What was used.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a customer or a licence that is not there, or not for this caller.
    pub async fn usage(&self, of: UsageOf, span: UsageSpan, granularity: Granularity) -> Result<Usage, Error> {
        self.read(move |connection| {
            let scope = scope_of(connection, &of)?;
            let mut usage = hours(connection, &scope, span, granularity)?;
            usage.unique_activations = machines(connection, &scope, span)?;
            Ok(usage)
        })
        .await
    }

    /// Which features were used, the most used first.
    ///
    /// # Errors
    /// As [`Self::usage`].
    pub async fn feature_usage(&self, of: UsageOf, span: UsageSpan) -> Result<Vec<FeatureUse>, Error> {
        self.read(move |connection| {
            let scope = scope_of(connection, &of)?;
            let mut features: BTreeMap<i64, FeatureUse> = BTreeMap::new();
            for (feature, used) in used(connection, &scope, span.days())? {
                features.insert(feature, FeatureUse { name: String::new(), used, machines: 0, before: 0 });
            }
            for (feature, before) in used(connection, &scope, span.days_before())? {
                let none = FeatureUse { name: String::new(), used: 0, machines: 0, before: 0 };
                features.entry(feature).or_insert(none).before = before;
            }
            for (feature, set) in sets(connection, &scope, span)? {
                if let Some(of_feature) = features.get_mut(&feature) {
                    of_feature.machines = set.count();
                }
            }
            let mut named = Vec::new();
            for (feature, of_feature) in features {
                named.push(FeatureUse { name: name(connection, feature)?, ..of_feature });
            }
            named.sort_by(|one, other| other.used.cmp(&one.used).then_with(|| one.name.cmp(&other.name)));
            Ok(named)
        })
        .await
    }

    /// Everything at a glance; what is by day and feature, of a range.
    ///
    /// # Errors
    /// As [`Self::usage`].
    pub async fn statistics(&self, of: UsageOf, span: UsageSpan) -> Result<Statistics, Error> {
        self.read(move |connection| {
            let scope = scope_of(connection, &of)?;
            let (licenses, active_licenses) = count_licenses(connection, &of, &scope)?;
            let (active_activations, inactive, users, _) = tallied(connection, &scope)?;
            let mut features = BTreeMap::new();
            for (feature, used) in used(connection, &scope, span.days())? {
                features.insert(name(connection, feature)?, used);
            }
            let days = hours(connection, &scope, span, Granularity::Day)?.points;
            let activations = active_activations + inactive;
            Ok(Statistics { licenses, active_licenses, activations, active_activations, users, days, features })
        })
        .await
    }
}

/// The name of a scope that may be seen.
pub(in crate::store) fn scope_of(connection: &Connection, of: &UsageOf) -> Result<String, Error> {
    if let Some(id) = of.license {
        let license = licenses::find(connection, LicenseSelector::Number(id))?;
        let asked = of.customer.is_none_or(|customer| customer == license.customer);
        let seen = of.scope.covers(&license) && asked;
        return if seen { Ok(scope::of_license(id)) } else { Err(Error::NotFound { what: "license" }) };
    }
    let absent = Err(Error::NotFound { what: "customer" });
    let its_own = match (of.scope.site, of.scope.customer) {
        (Some(site), _) => Some(plants::find(connection, sites::find(connection, site)?.plant)?.customer),
        (None, customer) => customer,
    };
    match (its_own, of.customer) {
        (Some(own), Some(asked)) if own != asked => absent,
        (None, Some(asked)) => Ok(scope::of_customer(customers::find(connection, asked)?.id)),
        _ => Ok(match (of.scope.site, its_own) {
            (Some(site), _) => scope::of_site(site),
            (None, Some(own)) => scope::of_customer(own),
            (None, None) => scope::all(),
        }),
    }
}

const HOURS: &str = "SELECT hour, heartbeats, users_told, active_users, new_activations FROM machine_hours
     WHERE scope = ?1 AND hour BETWEEN ?2 AND ?3 ORDER BY hour";
const USED: &str = "SELECT feature, used FROM feature_days WHERE scope = ?1 AND day BETWEEN ?2 AND ?3";
const SETS: &str = "SELECT feature, machines FROM machine_sets
     WHERE scope = ?1 AND day BETWEEN ?2 AND ?3 AND feature > 0";
const MACHINES: &str = "SELECT machines FROM machine_sets
     WHERE scope = ?1 AND day BETWEEN ?2 AND ?3 AND feature = 0";
const PEAK: &str = "SELECT coalesce(max(active_users), 0) FROM machine_hours WHERE scope = ?1";

/// Everything but the unique machines.
fn hours(connection: &Connection, scope: &str, span: UsageSpan, granularity: Granularity) -> Result<Usage, Error> {
    let (first, last) = span.hours();
    let mut query = connection.prepare_cached(HOURS)?;
    let mut rows = query.query(params![scope, first, last])?;
    let (mut points, mut heartbeats, mut told, mut peak_users): (Vec<UsagePoint>, u64, u64, u64) = (vec![], 0, 0, 0);
    while let Some(row) = rows.next()? {
        let point = UsagePoint {
            start: granularity.start(row.get(0)?),
            heartbeats: counted(row, 1)?,
            active_users: counted(row, 3)?,
            new_activations: counted(row, 4)?,
        };
        heartbeats += point.heartbeats;
        told += counted(row, 2)?;
        peak_users = peak_users.max(point.active_users);
        match points.last_mut().filter(|before| before.start == point.start) {
            Some(before) => {
                before.heartbeats += point.heartbeats;
                before.new_activations += point.new_activations;
                before.active_users = before.active_users.max(point.active_users);
            }
            None => points.push(point),
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "an average to be shown")]
    let average_users = (heartbeats > 0).then(|| told as f64 / heartbeats as f64);
    Ok(Usage { heartbeats, unique_activations: 0, average_users, peak_users, points })
}

fn machines(connection: &Connection, scope: &str, span: UsageSpan) -> Result<u64, Error> {
    let (first, last) = span.days();
    let mut query = connection.prepare_cached(MACHINES)?;
    let mut rows = query.query(params![scope, first, last])?;
    let mut all = Sketch::default();
    while let Some(row) = rows.next()? {
        all.join(read_set(row.get_ref(0)?)?);
    }
    Ok(all.count())
}

fn sets(connection: &Connection, scope: &str, span: UsageSpan) -> Result<BTreeMap<i64, Sketch>, Error> {
    let (first, last) = span.days();
    let mut query = connection.prepare_cached(SETS)?;
    let mut rows = query.query(params![scope, first, last])?;
    let mut sets: BTreeMap<i64, Sketch> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        sets.entry(row.get(0)?).or_default().join(read_set(row.get_ref(1)?)?);
    }
    Ok(sets)
}

fn read_set(bytes: rusqlite::types::ValueRef<'_>) -> Result<Sketch, Error> {
    let damaged = Error::Damaged { what: "set of machines" };
    bytes.as_blob().ok().and_then(Sketch::read).ok_or(damaged)
}

fn used(connection: &Connection, scope: &str, (first, last): (i64, i64)) -> Result<BTreeMap<i64, u64>, Error> {
    let mut query = connection.prepare_cached(USED)?;
    let mut rows = query.query(params![scope, first, last])?;
    let mut features = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let sum: &mut u64 = features.entry(row.get(0)?).or_default();
        *sum = sum.saturating_add(counted(row, 1)?);
    }
    Ok(features)
}

fn name(connection: &Connection, feature: i64) -> Result<String, Error> {
    let mut query = connection.prepare_cached("SELECT name FROM features WHERE id = ?")?;
    Ok(query.query_row([feature], |row| row.get(0))?)
}

/// All, and those in force.
fn count_licenses(connection: &Connection, of: &UsageOf, scope: &str) -> Result<(u64, u64), Error> {
    if let Some(id) = of.license {
        let status = licenses::find(connection, LicenseSelector::Number(id))?.status;
        return Ok((1, u64::from(status == Status::Active)));
    }
    let mut query = connection.prepare_cached(
        "SELECT coalesce(sum(licenses), 0), coalesce(sum(licenses) FILTER (WHERE status = 'Active'), 0)
         FROM license_tallies WHERE scope = ?",
    )?;
    Ok(query.query_row([scope], |row| Ok((counted(row, 0)?, counted(row, 1)?)))?)
}

/// Activations that are in use, those that are not, users at this moment, and the most users of each, summed.
pub(in crate::store) fn tallied(connection: &Connection, scope: &str) -> Result<(u64, u64, u64, u64), Error> {
    let mut query = connection
        .prepare_cached("SELECT active, inactive, users, most_users FROM activation_tallies WHERE scope = ?")?;
    let row =
        query.query_row([scope], |row| Ok((counted(row, 0)?, counted(row, 1)?, counted(row, 2)?, counted(row, 3)?)));
    Ok(row.optional()?.unwrap_or_default())
}

/// All questions about sums, for the test of their plans.
#[cfg(test)]
pub(in crate::store) fn queries() -> Vec<&'static str> {
    vec![HOURS, USED, SETS, MACHINES, PEAK]
}

/// Active users of the busiest hour ever.
pub(in crate::store) fn peak(connection: &Connection, scope: &str) -> Result<u64, Error> {
    Ok(connection.prepare_cached(PEAK)?.query_row([scope], |row| counted(row, 0))?)
}

/// How often each feature was ever used.
pub(in crate::store) fn used_ever(connection: &Connection, scope: &str) -> Result<BTreeMap<String, u64>, Error> {
    let all = used(connection, scope, (i64::MIN, i64::MAX))?;
    all.into_iter().map(|(feature, used)| Ok((name(connection, feature)?, used))).collect()
}
