//! Activations as lists show them, the newest first.

use crate::store::{
    Store, counted,
    error::Error,
    licenses::check_offset,
    usage::{self, UsageOf},
};
use rusqlite::{Connection, Row, params, params_from_iter, types::Value as Sql};
use sitewarden_protocol::{
    id::{ActivationId, AgentId, SiteId},
    time::UnixMillis,
};

const HOUR: i64 = 3_600_000;

/// Which activations; all conditions together.
#[derive(Debug, Clone, Default)]
pub struct ActivationFilter {
    /// Of what, and for whom.
    pub of: UsageOf,
    /// Not given back, or given back.
    pub active: Option<bool>,
    /// Made from the hour of this moment on.
    pub from: Option<UnixMillis>,
    /// Made up to the hour before this moment's, or with it if the moment is within one.
    pub to: Option<UnixMillis>,
}

/// An activation on a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedActivation {
    /// Which.
    pub id: ActivationId,
    /// Its licence's number.
    pub license: i64,
    /// Its customer's number.
    pub customer: i64,
    /// Its site, if it has one.
    pub site: Option<SiteId>,
    /// The agent whose machine it is; `None`: it calls the hub.
    pub agent: Option<AgentId>,
    /// The machine's name.
    pub machine: String,
    /// The app's version.
    pub app_version: String,
    /// When it was made.
    pub activated_at: UnixMillis,
    /// When its last heartbeat came.
    pub last_heartbeat: Option<UnixMillis>,
    /// Its users at this moment.
    pub users: u32,
    /// When it was given back.
    pub deactivated_at: Option<UnixMillis>,
    /// Why, in the caller's words.
    pub reason: Option<String>,
}

/// A page of activations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationPage {
    /// What is on it.
    pub activations: Vec<ListedActivation>,
    /// How many there are on all pages.
    pub total: u64,
}

const COLUMNS: &str = "id, license, customer, site, (SELECT uuid FROM agents WHERE agents.id = agent), machine, app_version, \
     activated_at, last_heartbeat, users, deactivated_at, reason";

impl Store {
    /// A page of activations.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a customer or licence that is not there, or not for this caller; [`Error::Invalid`] for a
    /// page that lies too far.
    pub async fn activation_page(
        &self,
        filter: ActivationFilter,
        offset: u64,
        rows: u32,
    ) -> Result<ActivationPage, Error> {
        check_offset(offset)?;
        self.read(move |connection| {
            let scope = usage::scope_of(connection, &filter.of)?;
            let (sql, mut values) = question(&filter);
            values.extend([Sql::Integer(i64::from(rows)), Sql::Integer(i64::try_from(offset).unwrap_or(0))]);
            let mut query = connection.prepare_cached(&sql)?;
            let mut found = query.query(params_from_iter(values))?;
            let mut activations = Vec::new();
            while let Some(row) = found.next()? {
                activations.push(listed(row)?);
            }
            Ok(ActivationPage { activations, total: total(connection, &scope, &filter)? })
        })
        .await
    }
}

/// The newest activations of a licence, those given back included.
pub(in crate::store) fn newest_of(
    connection: &Connection,
    license: i64,
    rows: usize,
) -> Result<Vec<ListedActivation>, Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM activations WHERE license = ? ORDER BY activated_at DESC, number DESC LIMIT ?");
    let mut query = connection.prepare_cached(&sql)?;
    let found = query.query_map(params![license, i64::try_from(rows).unwrap_or(1)], listed)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The numbers are found in an index alone, and only what is shown is read.
fn question(filter: &ActivationFilter) -> (String, Vec<Sql>) {
    let (first, last) = bounds(filter);
    let (mut conditions, mut values) = (String::new(), vec![Sql::Integer(first), Sql::Integer(last)]);
    let scope = filter.of.scope;
    let by = match (filter.of.license, scope.site, filter.of.customer.or(scope.customer)) {
        (Some(license), ..) => Some(("license", Sql::Integer(license))),
        (None, Some(site), _) => Some(("site", Sql::Blob(site.as_bytes().to_vec()))),
        (None, None, Some(customer)) => Some(("customer", Sql::Integer(customer))),
        (None, None, None) => None,
    };
    let mut index = "activations".to_owned();
    if let Some((column, value)) = by {
        conditions.push_str(&format!(" AND {column} = ?"));
        index.push_str(&format!("_of_{column}"));
        values.push(value);
    }
    match (filter.active, index.len() > "activations".len()) {
        (Some(_), _) => index.push_str("_by_state"),
        (None, false) => index.push_str("_in_order"),
        (None, true) => {}
    }
    if let Some(active) = filter.active {
        conditions.push_str(" AND is_over = ?");
        values.push(Sql::Integer(i64::from(!active)));
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM activations WHERE number IN (
            SELECT number FROM activations INDEXED BY {index} WHERE activated_at BETWEEN ? AND ?{conditions}
            ORDER BY activated_at DESC, number DESC LIMIT ? OFFSET ?)
         ORDER BY activated_at DESC, number DESC"
    );
    (sql, values)
}

/// Moments, widened to whole hours: by the hour they are counted.
fn bounds(filter: &ActivationFilter) -> (i64, i64) {
    let (first, last) = hours(filter);
    (first.saturating_mul(HOUR), last.saturating_add(1).saturating_mul(HOUR).saturating_sub(1))
}

fn hours(filter: &ActivationFilter) -> (i64, i64) {
    let first = filter.from.map_or(i64::MIN / HOUR, |from| from.0.div_euclid(HOUR));
    (first, filter.to.map_or(i64::MAX / HOUR - 1, |to| to.0.saturating_sub(1).div_euclid(HOUR)))
}

pub(in crate::store) const MADE: &str = "SELECT coalesce(sum(new_activations), 0), coalesce(sum(given_back), 0)
     FROM machine_hours WHERE scope = ? AND hour BETWEEN ? AND ?";

fn total(connection: &Connection, scope: &str, filter: &ActivationFilter) -> Result<u64, Error> {
    let (made, given_back) = if filter.from.is_none() && filter.to.is_none() {
        let (active, inactive, ..) = usage::tallied(connection, scope)?;
        (active + inactive, inactive)
    } else {
        let (first, last) = hours(filter);
        let mut query = connection.prepare_cached(MADE)?;
        query.query_row(params![scope, first, last], |row| Ok((counted(row, 0)?, counted(row, 1)?)))?
    };
    Ok(match filter.active {
        None => made,
        Some(true) => made.saturating_sub(given_back),
        Some(false) => given_back,
    })
}

fn listed(row: &Row<'_>) -> rusqlite::Result<ListedActivation> {
    let moment = |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(UnixMillis));
    Ok(ListedActivation {
        id: ActivationId::from_bytes(row.get(0)?),
        license: row.get(1)?,
        customer: row.get(2)?,
        site: row.get::<_, Option<[u8; 16]>>(3)?.map(SiteId::from_bytes),
        agent: row.get::<_, Option<[u8; 16]>>(4)?.map(AgentId::from_bytes),
        machine: row.get(5)?,
        app_version: row.get(6)?,
        activated_at: UnixMillis(row.get(7)?),
        last_heartbeat: moment(8)?,
        users: row.get(9)?,
        deactivated_at: moment(10)?,
        reason: row.get(11)?,
    })
}

/// All questions, for the test of their plans.
#[cfg(test)]
pub(in crate::store) fn queries() -> Vec<String> {
    use crate::store::Scope;
    let of = [
        UsageOf::default(),
        UsageOf { customer: Some(1), ..UsageOf::default() },
        UsageOf { license: Some(1), ..UsageOf::default() },
        UsageOf { scope: Scope { site: Some(SiteId::from_bytes([1; 16])), customer: None }, ..UsageOf::default() },
    ];
    let of = of
        .into_iter()
        .flat_map(|of| [None, Some(true)].map(|active| ActivationFilter { of, active, ..Default::default() }));
    of.map(|filter| question(&filter).0).collect()
}
