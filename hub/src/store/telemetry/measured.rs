//! Measurements, the newest first.

use super::filter::{Page, TelemetryCursor, TelemetryRow};
use crate::store::error::Error;
use rusqlite::{Connection, Row, params_from_iter, types::Value as Sql};
use serde_json::Value;
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    record::Measured,
    time::UnixMillis,
};
use std::collections::BTreeSet;

/// A measurement as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredRow {
    /// Its number.
    pub id: i64,
    /// Whose programs sent it.
    pub customer: i64,
    /// At which site, if that is known.
    pub site: Option<SiteId>,
    /// With which API key.
    pub api_key: Option<i64>,
    /// Through which agent; `None`: straight to the hub.
    pub agent: Option<AgentId>,
    /// Epoch and number of its record there.
    pub place: Option<(u64, u64)>,
    /// When it was taken in, by the clock of who did.
    pub at: UnixMillis,
    /// When the hub took it in.
    pub received_at: UnixMillis,
    /// The app that the product is; empty if it is none.
    pub app: String,
    /// As it was sent; so too the next four.
    pub product: String,
    /// The product's version.
    pub version: String,
    /// Its user.
    pub user: String,
    /// Its activation.
    pub activation: String,
    /// What groups measurements.
    pub group: String,
    /// The number of the licence whose key was sent.
    pub license: Option<i64>,
    /// What was measured.
    pub value: Measured,
    /// Why it is flagged: kinds of red flags; empty if it is not.
    pub signs: Vec<String>,
    /// What was wrong: field and message.
    pub errors: Vec<(String, String)>,
    /// The wrong fields as they came.
    pub raw: Value,
}

const COLUMNS: &str = "m.id, m.at, m.customer, m.site, m.flagged, m.app, m.data_group, m.agent, m.api_key, a.uuid, m.epoch, \
     m.seq, m.received_at, m.product, m.version, m.user, m.activation, m.license, m.kind, m.x, m.y, m.text, m.signs, \
     m.errors, m.raw";

/// Fills the page from where it ends; only with what came straight to the hub, if so asked. Answers whether there may be
/// more.
pub(super) fn read(connection: &Connection, page: &mut Page<'_>, direct: bool) -> Result<bool, Error> {
    let plant = page.filter.plant.map(|plant| sites_of(connection, *plant.as_bytes())).transpose()?;
    let (sql, values) = question(page);
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        if !page.look(TelemetryCursor::Measured { id: row.get(0)?, at: row.get(1)? }) {
            return Ok(true);
        }
        let strange = direct && row.get::<_, Option<i64>>(7)?.is_some();
        if !strange && is_wanted(page, plant.as_ref(), row)? {
            page.put(TelemetryRow::Measured(Box::new(measured(row)?)));
        }
    }
    Ok(false)
}

/// One index does the search, by what leaves least; what else is asked for is looked at row by row.
fn question(page: &Page<'_>) -> (String, Vec<Sql>) {
    let filter = page.filter;
    let site = filter.sites().into_iter().flatten().next();
    let customer = filter.customers().into_iter().flatten().next();
    let mut given = Vec::new();
    // Who may see one customer only is never led through others' rows: the place where a page ends would tell of them.
    let path = match (site, customer, &filter.group, filter.flagged) {
        (Some(site), ..) => {
            given.push(Sql::Blob(site.as_bytes().to_vec()));
            "m.site = ?4 AND"
        }
        (None, Some(customer), Some(group), _) => {
            given.extend([Sql::Integer(customer), Sql::Text(group.clone())]);
            "m.customer = ?4 AND m.data_group = ?5 AND"
        }
        (None, Some(customer), None, _) => {
            given.push(Sql::Integer(customer));
            "m.customer = ?4 AND"
        }
        (None, None, Some(group), _) => {
            given.push(Sql::Text(group.clone()));
            "m.data_group = ?4 AND"
        }
        (None, None, None, Some(true)) => "m.flagged = 1 AND",
        (None, None, None, _) => "",
    };
    let (at, id) = match page.end {
        Some(TelemetryCursor::Measured { at, id }) => (at, id),
        _ => page.first(),
    };
    let from = filter.from.map_or(i64::MIN, |from| from.0);
    let sql = format!(
        "SELECT {COLUMNS} FROM measurements m LEFT JOIN agents a ON a.id = m.agent
         WHERE {path} (m.at, m.id) < (?1, ?2) AND m.at >= ?3 ORDER BY m.at DESC, m.id DESC"
    );
    let values = [Sql::Integer(at), Sql::Integer(id), Sql::Integer(from)];
    (sql, values.into_iter().chain(given).collect())
}

fn is_wanted(page: &Page<'_>, plant: Option<&BTreeSet<[u8; 16]>>, row: &Row<'_>) -> Result<bool, Error> {
    let filter = page.filter;
    let (customer, site): (i64, Option<[u8; 16]>) = (row.get(2)?, row.get(3)?);
    let (flagged, app, group): (bool, String, String) = (row.get(4)?, row.get(5)?, row.get(6)?);
    let in_plant = plant.is_none_or(|sites| site.is_some_and(|site| sites.contains(&site)));
    let of_site = |wanted: Option<SiteId>| wanted.is_none_or(|wanted| site == Some(*wanted.as_bytes()));
    Ok(in_plant
        && filter.sites().into_iter().all(of_site)
        && filter.customers().into_iter().all(|wanted| wanted.is_none_or(|wanted| wanted == customer))
        && filter.flagged.is_none_or(|wanted| wanted == flagged)
        && filter.app.as_ref().is_none_or(|wanted| *wanted == app)
        && filter.group.as_ref().is_none_or(|wanted| *wanted == group))
}

fn sites_of(connection: &Connection, plant: [u8; 16]) -> Result<BTreeSet<[u8; 16]>, Error> {
    let mut query = connection.prepare_cached("SELECT id FROM sites WHERE plant = ?")?;
    let rows = query.query_map([plant], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn measured(row: &Row<'_>) -> Result<MeasuredRow, Error> {
    const DAMAGED: Error = Error::Damaged { what: "measurement" };
    let number = |column: usize| row.get::<_, Option<f64>>(column)?.ok_or(DAMAGED);
    let value = match row.get_ref(18)?.as_str().map_err(|_| DAMAGED)? {
        "number" => Measured::Number(number(20)?),
        "point" => Measured::Point { x: number(19)?, y: number(20)? },
        "text" => Measured::Text(row.get::<_, Option<String>>(21)?.unwrap_or_default()),
        _ => Measured::Nothing,
    };
    let json = |column: usize| row.get_ref(column)?.as_str().map(str::to_owned).map_err(|_| DAMAGED);
    let place = |column: usize| Ok::<_, Error>(row.get::<_, Option<i64>>(column)?.map(i64::unsigned_abs));
    Ok(MeasuredRow {
        id: row.get(0)?,
        customer: row.get(2)?,
        site: row.get::<_, Option<[u8; 16]>>(3)?.map(SiteId::from_bytes),
        api_key: row.get(8)?,
        agent: row.get::<_, Option<[u8; 16]>>(9)?.map(AgentId::from_bytes),
        place: place(10)?.zip(place(11)?),
        at: UnixMillis(row.get(1)?),
        received_at: UnixMillis(row.get(12)?),
        app: row.get(5)?,
        product: row.get(13)?,
        version: row.get(14)?,
        user: row.get(15)?,
        activation: row.get(16)?,
        group: row.get(6)?,
        license: row.get(17)?,
        value,
        signs: serde_json::from_str(&json(22)?).map_err(|_| DAMAGED)?,
        errors: serde_json::from_str(&json(23)?).map_err(|_| DAMAGED)?,
        // Empty, or with its end lost in a damaged journal.
        raw: serde_json::from_str(&json(24)?).unwrap_or_default(),
    })
}

#[cfg(test)]
pub(super) fn queries() -> Vec<String> {
    use super::TelemetryFilter;
    let filters = [
        TelemetryFilter::default(),
        TelemetryFilter { site: Some(SiteId::from_bytes([1; 16])), ..TelemetryFilter::default() },
        TelemetryFilter { group: Some(String::new()), ..TelemetryFilter::default() },
        TelemetryFilter { flagged: Some(true), ..TelemetryFilter::default() },
        TelemetryFilter { customer: Some(1), ..TelemetryFilter::default() },
        TelemetryFilter { customer: Some(1), group: Some(String::new()), ..TelemetryFilter::default() },
    ];
    filters.iter().map(|filter| question(&Page::of(filter)).0).collect()
}
