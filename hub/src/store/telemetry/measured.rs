//! Measurements, the newest first.

use super::{
    filter::{Place, TelemetryCursor, TelemetryFilter, TelemetryRow},
    page::Look,
    places::Places,
};
use crate::store::error::Error;
use rusqlite::{Connection, Row, params_from_iter, types::Value as Sql};
use serde_json::Value;
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    record::Measured,
    time::UnixMillis,
};

/// The number of a question's first value of its own: those before are the range and the limit.
const FIRST_VALUE: usize = 5;

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

/// The measurements of one place.
pub(super) struct Measurements(Whose);

enum Whose {
    Everybody,
    Customer(i64),
    Site([u8; 16]),
}

impl Measurements {
    /// Those of these places.
    pub(super) fn of(places: &Places) -> Vec<Self> {
        match places {
            Places::Everywhere => vec![Self(Whose::Everybody)],
            Places::Customer(customer) => vec![Self(Whose::Customer(*customer))],
            Places::Sites(sites) => sites.iter().map(|site| Self(Whose::Site(*site))).collect(),
        }
    }

    /// Looks at up to so many rows behind a place.
    pub(super) fn look(
        &self,
        connection: &Connection,
        filter: &TelemetryFilter,
        after: TelemetryCursor,
        rows: usize,
    ) -> Result<Look, Error> {
        let (sql, mut values) = self.question(filter);
        let before = match after.place {
            Place::Measured(id) => id,
            Place::Reported { .. } => i64::MAX,
        };
        let limit = i64::try_from(rows).unwrap_or(i64::MAX);
        let range = [after.at, before, filter.first_at(), limit].map(Sql::Integer);
        values.splice(0..0, range);
        let (mut found, mut looked, mut last) = (Vec::new(), 0, None);
        let mut query = connection.prepare_cached(&sql)?;
        let mut measurements = query.query(params_from_iter(values))?;
        while let Some(row) = measurements.next()? {
            looked += 1;
            let key = TelemetryCursor { at: row.get(1)?, place: Place::Measured(row.get(0)?) };
            last = Some(key);
            if is_wanted(filter, row)? {
                found.push((key, TelemetryRow::Measured(Box::new(measured(row)?))));
            }
        }
        Ok(Look { found, looked, through: last.filter(|_| looked == rows) })
    }

    /// One index does the search, by what leaves least; what else is asked for is looked at row by row. Who may see one
    /// customer only is never led through others' rows: the place where a page ends would tell of them.
    fn question(&self, filter: &TelemetryFilter) -> (String, Vec<Sql>) {
        let mut values = Vec::new();
        let mut path = match self.0 {
            Whose::Everybody => String::new(),
            Whose::Customer(customer) => {
                values.push(Sql::Integer(customer));
                "m.customer = ?5 AND ".to_owned()
            }
            Whose::Site(site) => {
                values.push(Sql::Blob(site.to_vec()));
                "m.site = ?5 AND ".to_owned()
            }
        };
        let place = FIRST_VALUE + values.len();
        if let Some(group) = &filter.group {
            values.push(Sql::Text(group.clone()));
            path += &format!("m.data_group = ?{place} AND ");
        } else if filter.flagged == Some(true) {
            path += "m.flagged = 1 AND ";
        } else if let (Whose::Everybody, Some(app)) = (&self.0, &filter.app) {
            values.push(Sql::Text(app.clone()));
            path += &format!("m.app = ?{place} AND ");
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM measurements m LEFT JOIN agents a ON a.id = m.agent
             WHERE {path}(m.at, m.id) < (?1, ?2) AND m.at >= ?3 ORDER BY m.at DESC, m.id DESC LIMIT ?4"
        );
        (sql, values)
    }
}

fn is_wanted(filter: &TelemetryFilter, row: &Row<'_>) -> Result<bool, Error> {
    let (flagged, app, group): (bool, String, String) = (row.get(4)?, row.get(5)?, row.get(6)?);
    Ok(filter.flagged.is_none_or(|wanted| wanted == flagged)
        && filter.app.as_ref().is_none_or(|wanted| *wanted == app)
        && filter.group.as_ref().is_none_or(|wanted| *wanted == group))
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
    let filters = [
        TelemetryFilter::default(),
        TelemetryFilter { group: Some(String::new()), ..TelemetryFilter::default() },
        TelemetryFilter { flagged: Some(true), ..TelemetryFilter::default() },
        TelemetryFilter { app: Some(String::new()), ..TelemetryFilter::default() },
    ];
    let of = |whose: fn() -> Whose| filters.iter().map(move |filter| Measurements(whose()).question(filter).0);
    of(|| Whose::Everybody).chain(of(|| Whose::Customer(1))).chain(of(|| Whose::Site([1; 16]))).collect()
}
