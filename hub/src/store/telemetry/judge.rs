//! What smells of piracy or tampering in a measurement. It is stored all the same.

use super::rows::Origin;
use crate::store::{
    apps,
    error::Error,
    flags::{self, KeyFlag},
    writer::Tx,
};
use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};
use sitewarden_protocol::{
    codec,
    id::ActivationId,
    license::{KeyDigest, Status},
    license_server::activation_of,
    record::{Measured, ReadingTotal},
    telemetry::{Field, Problem, Reading},
};
use std::collections::HashMap;

/// Measurements in the wrong format from one source within [`BURST_SPAN`] that are a red flag: one may be a mistake.
const BURST: i64 = 10;
/// An hour, milliseconds.
const BURST_SPAN: i64 = 3_600_000;

/// The licence key that came with a measurement, as it can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::store) enum KeySent {
    /// None that could be read.
    Nothing,
    /// As the hub finds keys.
    Lookup([u8; 32]),
    /// As the site recognises its own.
    Digest(KeyDigest),
}

/// What the hub knows of a measurement.
#[derive(Debug, Default)]
pub(in crate::store) struct Judged {
    /// The app that the product is.
    pub(in crate::store) app: String,
    pub(in crate::store) license: Option<i64>,
    /// Kinds of red flags.
    pub(in crate::store) signs: Vec<&'static str>,
}

/// A licence as far as it matters here.
#[derive(Debug, Clone, Copy)]
struct Known {
    id: i64,
    customer: i64,
    revoked: bool,
}

/// Judges measurements of one transaction; what many of them share is looked up once.
pub(in crate::store) struct Judge<'a> {
    tx: &'a Tx<'a>,
    products: HashMap<String, Option<String>>,
    licenses: HashMap<KeySent, Option<Known>>,
    activations: HashMap<String, bool>,
    versions: HashMap<(String, String), bool>,
}

impl<'a> Judge<'a> {
    pub(in crate::store) fn new(tx: &'a Tx<'a>) -> Self {
        let (products, licenses) = (HashMap::new(), HashMap::new());
        Self { tx, products, licenses, activations: HashMap::new(), versions: HashMap::new() }
    }

    /// Raises what is to be raised. Adds to the reading's problems that its product is none, if so.
    pub(in crate::store) fn judge(
        &mut self,
        origin: &Origin,
        reading: &mut Reading,
        key: KeySent,
    ) -> Result<Judged, Error> {
        refuse_endless(reading);
        let mut judged = Judged { app: self.app(reading)?, ..Judged::default() };
        self.license(origin, reading, key, &mut judged)?;
        self.activation(origin, reading, &mut judged)?;
        self.version(origin, reading, &mut judged)?;
        if !reading.problems.is_empty() {
            judged.signs.push("malformed");
        }
        Ok(judged)
    }

    /// The same for measurements of which a total is left. Who they were of, and under which activation, is not in it.
    pub(in crate::store) fn judge_total(&mut self, origin: &Origin, total: &ReadingTotal) -> Result<Judged, Error> {
        let mut reading = Reading {
            group: total.group.clone(),
            value: Measured::Number(total.last),
            product: total.product.clone(),
            version: total.version.clone(),
            user: String::new(),
            activation: String::new(),
            problems: Vec::new(),
            raw: String::new(),
        };
        self.judge(origin, &mut reading, total.license.map_or(KeySent::Nothing, KeySent::Digest))
    }

    /// To be called when a measurement in the wrong format has been stored.
    pub(in crate::store) fn watch_burst(&self, origin: &Origin) -> Result<(), Error> {
        let recent: i64 = self
            .tx
            .prepare_cached(
                "SELECT count(*) FROM (SELECT 1 FROM measurements
                    WHERE malformed = 1 AND agent IS ?1 AND api_key IS ?2 AND received_at > ?3 LIMIT ?4)",
            )?
            .query_row(
                params![origin.agent, origin.api_key, origin.received_at.0.saturating_sub(BURST_SPAN), BURST],
                |row| row.get(0),
            )?;
        if recent < BURST {
            return Ok(());
        }
        let hour = origin.received_at.0.div_euclid(BURST_SPAN);
        let details = json!({ "measurements": format!("{BURST} or more within an hour"), "api_key": origin.api_key });
        self.flag(origin, "malformed", None, details, &format!("hour {hour}"))
    }

    fn app(&mut self, reading: &mut Reading) -> Result<String, Error> {
        if reading.product.is_empty() {
            return Ok(String::new());
        }
        let known = match self.products.get(&reading.product) {
            Some(known) => known.clone(),
            None => {
                let found = apps::of_product(self.tx, &reading.product)?;
                self.products.insert(reading.product.clone(), found.clone());
                found
            }
        };
        if known.is_none() {
            reading.object(Field::ProductId, Problem::Invalid);
        }
        Ok(known.unwrap_or_default())
    }

    fn license(&mut self, origin: &Origin, reading: &Reading, key: KeySent, judged: &mut Judged) -> Result<(), Error> {
        let observation = match key {
            KeySent::Nothing => return Ok(()),
            KeySent::Lookup(lookup) => digest(&[&lookup]),
            KeySent::Digest(site_digest) => digest(&[&codec::encode(&site_digest)]),
        };
        let known = match self.licenses.get(&key) {
            Some(known) => *known,
            None => {
                let found = find_license(self.tx, origin, key)?;
                self.licenses.insert(key, found);
                found
            }
        };
        // Another customer's licence is as strange here as none.
        let known = known.filter(|license| license.customer == origin.customer);
        judged.license = known.map(|license| license.id);
        let (kind, why) = match known {
            None => ("unknown_key", "no license of this customer has the key that was sent"),
            Some(license) if license.revoked => ("revoked_key", "the license is Invalid"),
            Some(_) => return Ok(()),
        };
        judged.signs.push(kind);
        let details = told(origin, reading, why);
        self.flag(origin, kind, judged.license, details, &observation)
    }

    fn activation(&mut self, origin: &Origin, reading: &Reading, judged: &mut Judged) -> Result<(), Error> {
        if reading.activation.is_empty() {
            return Ok(());
        }
        let known = match self.activations.get(&reading.activation) {
            Some(known) => *known,
            None => {
                let known = knows_activation(self.tx, origin.customer, &reading.activation)?;
                self.activations.insert(reading.activation.clone(), known);
                known
            }
        };
        if known {
            return Ok(());
        }
        judged.signs.push("unknown_activation");
        let mut details = told(origin, reading, "the hub knows of no such activation");
        details["activation"] = json!(reading.activation);
        let observation = digest(&[reading.activation.as_bytes()]);
        self.flag(origin, "unknown_activation", judged.license, details, &observation)
    }

    fn version(&mut self, origin: &Origin, reading: &Reading, judged: &mut Judged) -> Result<(), Error> {
        if reading.version.is_empty() || judged.app.is_empty() {
            return Ok(());
        }
        let place = (judged.app.clone(), reading.version.clone());
        let unreleased = match self.versions.get(&place) {
            Some(unreleased) => *unreleased,
            None => {
                let unreleased = apps::is_unreleased(self.tx, &place.0, &place.1)?;
                self.versions.insert(place, unreleased);
                unreleased
            }
        };
        if !unreleased {
            return Ok(());
        }
        judged.signs.push("unreleased_version");
        let details = told(origin, reading, "the vendor never released this version of the app");
        let observation = digest(&[judged.app.as_bytes(), reading.version.as_bytes()]);
        self.flag(origin, "unreleased_version", judged.license, details, &observation)
    }

    fn flag(
        &self,
        origin: &Origin,
        kind: &'static str,
        license: Option<i64>,
        details: Value,
        observation: &str,
    ) -> Result<(), Error> {
        let (site, agent, api_key) = (origin.site, origin.agent, origin.api_key);
        let flag = KeyFlag { kind, site, agent, api_key, license, details: &details, observation };
        flags::raise_for_key(self.tx, origin.received_at, &flag).map(drop)
    }
}

/// An agent that was tampered with may have signed numbers that are none: the database would not take them, and the
/// stream has to go on.
fn refuse_endless(reading: &mut Reading) {
    let wrong = match reading.value {
        Measured::Number(number) if !number.is_finite() => Field::NumericDataSingleValue,
        Measured::Point { x, .. } if !x.is_finite() => Field::NumericDataX,
        Measured::Point { y, .. } if !y.is_finite() => Field::NumericDataY,
        _ => return,
    };
    reading.value = Measured::Nothing;
    reading.object(wrong, Problem::NotANumber);
}

/// What a flag tells. No key, of whatever kind.
fn told(origin: &Origin, reading: &Reading, why: &str) -> Value {
    json!({
        "why": why, "customer": origin.customer, "api_key": origin.api_key, "product": reading.product,
        "version": reading.version, "user": reading.user, "group": reading.group,
    })
}

fn find_license(tx: &Tx<'_>, origin: &Origin, key: KeySent) -> Result<Option<Known>, Error> {
    let known = |row: &Row<'_>| {
        let status: String = row.get(2)?;
        Ok(Known { id: row.get(0)?, customer: row.get(1)?, revoked: status == Status::Invalid.name() })
    };
    let found = match key {
        KeySent::Nothing => None,
        KeySent::Lookup(lookup) => tx
            .prepare_cached("SELECT id, customer, status FROM licenses WHERE key_lookup = ?")?
            .query_row([lookup], known)
            .optional()?,
        KeySent::Digest(digest) => tx
            .prepare_cached("SELECT id, customer, status FROM licenses WHERE key_digest = ? AND site IS ?")?
            .query_row(params![codec::encode(&digest), origin.site.map(|id| *id.as_bytes())], known)
            .optional()?,
    };
    Ok(found)
}

fn knows_activation(tx: &Tx<'_>, customer: i64, text: &str) -> Result<bool, Error> {
    let id = activation_of(text).or_else(|| text.parse::<ActivationId>().ok());
    let Some(id) = id else { return Ok(false) };
    let mut query = tx.prepare_cached("SELECT 1 FROM activations WHERE id = ? AND customer = ?")?;
    Ok(query.query_row(params![id.as_bytes(), customer], |_| Ok(())).optional()?.is_some())
}

/// Names an observation without telling what was sent.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("sitewarden hub telemetry observation 1");
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hasher.update(&length.to_le_bytes()).update(part);
    }
    let hash = hasher.finalize();
    hash.as_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
