//! The rows of a measurement: itself, and its part in the hourly sums.

use super::judge::Judged;
use crate::store::{error::Error, whole, writer::Tx};
use rusqlite::params;
use serde_json::json;
use sitewarden_protocol::{
    id::SiteId,
    record::{Measured, Part, ReadingTotal, Rest},
    telemetry::{MAX_BODY, MAX_CHARACTERS, MAX_TEXT_CHARACTERS, Reading},
    time::UnixMillis,
};
use std::collections::{BTreeMap, btree_map::Entry};

const HOUR: i64 = 3_600_000;

/// What an honest reading's wrong fields have at most, escaped: a body of control characters.
const MAX_RAW: usize = 6 * MAX_BODY;

/// Where a measurement comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Origin {
    pub(in crate::store) customer: i64,
    pub(in crate::store) site: Option<SiteId>,
    pub(in crate::store) api_key: Option<i64>,
    /// The agent's row, if it came through one.
    pub(in crate::store) agent: Option<i64>,
    /// Epoch and number of its record.
    pub(in crate::store) place: Option<(u64, u64)>,
    pub(in crate::store) at: UnixMillis,
    pub(in crate::store) received_at: UnixMillis,
}

/// Stores a measurement and adds it to the sums.
pub(in crate::store) fn insert(
    tx: &Tx<'_>,
    origin: &Origin,
    reading: &Reading,
    judged: &Judged,
    sums: &mut Sums,
) -> Result<(), Error> {
    let (kind, x, y, text) = match &reading.value {
        Measured::Number(number) => ("number", None, Some(*number), None),
        Measured::Point { x, y } => ("point", Some(*x), Some(*y), None),
        Measured::Text(text) => ("text", None, None, Some(text)),
        Measured::Nothing => ("nothing", None, None, None),
    };
    let flagged = !judged.signs.is_empty();
    let errors = reading.problems.iter().map(|(field, problem)| (field.name(), problem.message(*field)));
    let errors = errors.collect::<Vec<_>>();
    tx.prepare_cached(
        "INSERT INTO measurements (customer, site, api_key, agent, epoch, seq, at, received_at, app, product, version,
            user, activation, data_group, license, kind, x, y, text, flagged, malformed, signs, errors, raw)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        origin.customer,
        origin.site.map(|id| *id.as_bytes()),
        origin.api_key,
        origin.agent,
        origin.place.map(|(epoch, _)| whole(epoch)),
        origin.place.map(|(_, seq)| whole(seq)),
        origin.at.0,
        origin.received_at.0,
        judged.app,
        reading.product,
        reading.version,
        reading.user,
        reading.activation,
        reading.group,
        judged.license,
        kind,
        x,
        y,
        text,
        flagged,
        !errors.is_empty(),
        json!(judged.signs).to_string(),
        json!(errors).to_string(),
        reading.raw,
    ])?;
    if let Some(number) = y.filter(|_| !reading.group.is_empty()) {
        sums.add(origin, &reading.group, kind, flagged, number);
    }
    Ok(())
}

/// Goes on with a text of a measurement whose record was too small for it.
pub(in crate::store) fn append_rest(
    tx: &Tx<'_>,
    agent: i64,
    (epoch, seq): (u64, u64),
    rest: &Rest,
) -> Result<(), Error> {
    let (sql, most) = match rest.part {
        Part::Raw => (
            "UPDATE measurements SET raw = raw || ?1 WHERE agent = ?2 AND epoch = ?3 AND seq = ?4
             AND length(raw) < ?5",
            MAX_RAW,
        ),
        Part::User => (
            "UPDATE measurements SET user = user || ?1 WHERE agent = ?2 AND epoch = ?3 AND seq = ?4
             AND length(user) < ?5",
            MAX_CHARACTERS,
        ),
        Part::Text => (
            "UPDATE measurements SET text = coalesce(text, '') || ?1 WHERE agent = ?2 AND epoch = ?3 AND seq = ?4
             AND length(coalesce(text, '')) < ?5",
            MAX_TEXT_CHARACTERS,
        ),
    };
    // One whose reading is not here (lost with a damaged journal) changes nothing, and is kept as a record.
    let first = whole(seq).saturating_sub(i64::from(rest.back));
    tx.prepare_cached(sql)?.execute(params![
        rest.text,
        agent,
        whole(epoch),
        first,
        i64::try_from(most).unwrap_or(i64::MAX)
    ])?;
    Ok(())
}

/// What is to be added to the hourly sums, put together before it is written.
#[derive(Debug, Default)]
pub(in crate::store) struct Sums(BTreeMap<Key, Sum>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    group: String,
    customer: i64,
    site: Option<SiteId>,
    kind: &'static str,
    flagged: bool,
    hour: i64,
}

#[derive(Debug)]
struct Sum {
    count: i64,
    sum: f64,
    min: f64,
    max: f64,
    last: f64,
    last_at: i64,
}

impl Sums {
    /// Adds what is left of measurements that a site had no room for. An agent that was tampered with may have signed numbers
    /// that are none; they are not added.
    pub(in crate::store) fn add_total(&mut self, origin: &Origin, total: &ReadingTotal, judged: &Judged) {
        let sound = [total.sum, total.min, total.max, total.last].iter().all(|number| number.is_finite());
        if !sound || total.group.is_empty() || total.count == 0 {
            return;
        }
        let kind = if total.points { "point" } else { "number" };
        let new = Sum {
            count: whole(total.count),
            sum: total.sum,
            min: total.min,
            max: total.max,
            last: total.last,
            last_at: total.last_at.0,
        };
        self.merge(origin, &total.group, kind, !judged.signs.is_empty(), new);
    }

    fn add(&mut self, origin: &Origin, group: &str, kind: &'static str, flagged: bool, number: f64) {
        let one = Sum { count: 1, sum: number, min: number, max: number, last: number, last_at: origin.at.0 };
        self.merge(origin, group, kind, flagged, one);
    }

    fn merge(&mut self, origin: &Origin, group: &str, kind: &'static str, flagged: bool, new: Sum) {
        let hour = origin.at.0.div_euclid(HOUR);
        let key = Key { group: group.to_owned(), customer: origin.customer, site: origin.site, kind, flagged, hour };
        let sum = match self.0.entry(key) {
            Entry::Vacant(place) => {
                place.insert(new);
                return;
            }
            Entry::Occupied(known) => known.into_mut(),
        };
        sum.count = sum.count.saturating_add(new.count);
        // Endless numbers cannot be stored: their difference is none.
        sum.sum = (sum.sum + new.sum).clamp(f64::MIN, f64::MAX);
        sum.min = sum.min.min(new.min);
        sum.max = sum.max.max(new.max);
        if new.last_at >= sum.last_at {
            (sum.last, sum.last_at) = (new.last, new.last_at);
        }
    }

    /// Writes them.
    pub(in crate::store) fn store(&self, tx: &Tx<'_>) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut upsert = tx.prepare_cached(
            "INSERT INTO series_hourly (data_group, customer, site, kind, flagged, hour, count, sum, min, max, last, last_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (data_group, customer, site, kind, flagged, hour) DO UPDATE SET
                count = CASE WHEN count > 9223372036854775807 - excluded.count THEN 9223372036854775807
                             ELSE count + excluded.count END,
                sum = max(-1.7976931348623157e308, min(1.7976931348623157e308, sum + excluded.sum)),
                min = min(min, excluded.min), max = max(max, excluded.max),
                last = CASE WHEN excluded.last_at >= last_at THEN excluded.last ELSE last END,
                last_at = max(last_at, excluded.last_at)",
        )?;
        for (key, sum) in &self.0 {
            let site = key.site.map_or(Vec::new(), |id| id.as_bytes().to_vec());
            upsert.execute(params![
                key.group,
                key.customer,
                site,
                key.kind,
                key.flagged,
                key.hour,
                sum.count,
                sum.sum,
                sum.min,
                sum.max,
                sum.last,
                sum.last_at,
            ])?;
        }
        Ok(())
    }
}
