//! What stands in for records that a site had no room for: totals of an hour, and counts of what was refused.
//!
//! Only what apps report is folded, and only what can be summed: events, and readings that are well-formed numbers. What is
//! billed or audited stays a record of its own. Folding loses attributes, users and the single values; it loses no count.

use super::{Body, Event, Measured, Measurement, Record, Sent};
use crate::api_key::ApiKeyDigest;
use crate::codec::{self, Decode, Encode};
use crate::license::KeyDigest;
use crate::time::UnixMillis;

const HOUR: i64 = 3_600_000;

/// What apps reported within an hour while the journal had no room for each report.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Folded {
    /// The agent's own number of the set of totals that this is one of, 1 or more.
    pub set: u64,
    /// Its place in the set. Set and place name it for ever: it is never in two records.
    pub place: u32,
    /// The total.
    pub total: Total,
}

/// Reports of one hour that are alike, summed.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Total {
    /// Of events.
    Events(EventTotal),
    /// Of readings.
    Readings(Box<ReadingTotal>),
}

/// Events of one hour, app, kind, environment and outcome.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EventTotal {
    /// When the hour began.
    pub hour: UnixMillis,
    /// As in [`Event`]; so too the next three.
    pub app: String,
    /// What kind of event.
    pub kind: String,
    /// Where.
    pub environment: String,
    /// How it went.
    pub outcome: String,
    /// How many were reported.
    pub events: u64,
    /// How many times they happened: their counts, summed; stops at the largest number.
    pub count: u64,
}

/// Numbers of one hour, data group and origin.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct ReadingTotal {
    /// When the hour began.
    pub hour: UnixMillis,
    /// The API key that they came with, as it is recognised.
    pub key: ApiKeyDigest,
    /// The licence key that came with them, as this site recognises it.
    pub license: Option<KeyDigest>,
    /// As it was sent; so too the next two.
    pub product: String,
    /// The product's version.
    pub version: String,
    /// What groups measurements.
    pub group: String,
    /// Whether they are points; the numbers are then their second ones.
    pub points: bool,
    /// How many.
    pub count: u64,
    /// Their sum; stops at the largest finite number.
    pub sum: f64,
    /// The least of them.
    pub min: f64,
    /// The largest of them.
    pub max: f64,
    /// The last of them.
    pub last: f64,
    /// When that one was taken in.
    pub last_at: UnixMillis,
}

/// Reports that were refused because quota or disk was full. Whoever reported them was told so; the record stands where
/// they would have stood.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Dropped {
    /// When the first of them was refused.
    pub since: UnixMillis,
    /// When the last of them was.
    pub until: UnixMillis,
    /// How many of each kind of record, at least 1.
    pub counts: Vec<(u16, u64)>,
}

impl Total {
    /// The total of one record; `None` for one that has to stay as it is.
    pub fn of(record: &Record) -> Option<Self> {
        match record.decode_body().ok()? {
            Body::Event(event) => Some(Self::Events(EventTotal::of(record.at, event))),
            Body::Measurement(Measurement::Sent(sent)) => {
                ReadingTotal::of(record.at, *sent).map(Box::new).map(Self::Readings)
            }
            _ => None,
        }
    }

    /// Equal for totals that can be added up.
    pub fn key(&self) -> Vec<u8> {
        let alike = match self {
            Self::Events(total) => Self::Events(EventTotal { events: 0, count: 0, ..total.clone() }),
            Self::Readings(total) => Self::Readings(Box::new(ReadingTotal {
                count: 0,
                sum: 0.0,
                min: 0.0,
                max: 0.0,
                last: 0.0,
                last_at: UnixMillis(0),
                ..(**total).clone()
            })),
        };
        codec::encode(&alike)
    }

    /// Adds a total with the same [key](Total::key); one with another changes nothing.
    pub fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Events(total), Self::Events(other)) => {
                total.events = total.events.saturating_add(other.events);
                total.count = total.count.saturating_add(other.count);
            }
            (Self::Readings(total), Self::Readings(other)) => total.add(other),
            _ => {}
        }
    }

    /// When its hour began.
    pub const fn hour(&self) -> UnixMillis {
        match self {
            Self::Events(total) => total.hour,
            Self::Readings(total) => total.hour,
        }
    }

    /// How many reports it stands for.
    pub const fn reports(&self) -> u64 {
        match self {
            Self::Events(total) => total.events,
            Self::Readings(total) => total.count,
        }
    }
}

impl EventTotal {
    fn of(at: UnixMillis, event: Event) -> Self {
        let Event { app, kind, environment, outcome, count, .. } = event;
        Self { hour: hour(at), app, kind, environment, outcome, events: 1, count: count.max(1) }
    }
}

impl ReadingTotal {
    /// What is wrong in any way, or no number, is evidence, and stays.
    fn of(at: UnixMillis, sent: Sent) -> Option<Self> {
        let Sent { key, license, reading } = sent;
        let (points, number) = match reading.value {
            Measured::Number(number) => (false, number),
            Measured::Point { y, .. } => (true, y),
            Measured::Text(_) | Measured::Nothing => return None,
        };
        let sound = reading.problems.is_empty() && number.is_finite();
        sound.then(|| Self {
            hour: hour(at),
            key,
            license,
            product: reading.product,
            version: reading.version,
            group: reading.group,
            points,
            count: 1,
            sum: number,
            min: number,
            max: number,
            last: number,
            last_at: at,
        })
    }

    fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = (self.sum + other.sum).clamp(f64::MIN, f64::MAX);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        if other.last_at >= self.last_at {
            (self.last, self.last_at) = (other.last, other.last_at);
        }
    }
}

fn hour(at: UnixMillis) -> UnixMillis {
    UnixMillis(at.0.div_euclid(HOUR).saturating_mul(HOUR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Fields;

    fn record(at: i64, body: &Body) -> Record {
        Record::decode(&Record::encode(UnixMillis(at), body).unwrap()).unwrap()
    }

    fn event(at: i64, outcome: &str, count: u64) -> Total {
        let event = Event {
            app: "EMS".into(),
            kind: "start".into(),
            environment: String::new(),
            outcome: outcome.into(),
            count,
            attributes: vec![("text".into(), super::super::Value::Text("gone".into()))],
        };
        Total::of(&record(at, &Body::Event(event))).unwrap()
    }

    fn reading(at: i64, fields: &str) -> Option<Total> {
        let reading = Fields::read(None, fields.as_bytes()).parse().reading;
        let sent = Sent { key: ApiKeyDigest::of("a key"), license: None, reading };
        Total::of(&record(at, &Body::Measurement(Measurement::Sent(Box::new(sent)))))
    }

    fn number(at: i64, value: &str) -> Option<Total> {
        reading(
            at,
            &format!(
                r#"{{"data_type": "numeric-single-value", "numeric_data_single_value": "{value}", "product_id": "1",
                "user_identifier": "u", "license_key": "k", "activation_identifier": "a", "product_version": "1",
                "data_group": "g"}}"#
            ),
        )
    }

    #[test]
    fn alike_reports_of_one_hour_add_up() {
        let mut total = event(5, "success", 3);
        let same = event(HOUR - 1, "success", 4);
        assert_eq!(total.key(), same.key());
        total.add(&same);
        let Total::Events(events) = &total else { panic!("{total:?}") };
        assert_eq!((events.events, events.count, total.hour(), total.reports()), (2, 7, UnixMillis(0), 2));
        assert_ne!(total.key(), event(HOUR, "success", 1).key());
        assert_ne!(total.key(), event(5, "failure", 1).key());
        total.add(&number(5, "1").unwrap());
        assert_eq!(total.reports(), 2, "what is not alike is not added");
    }

    #[test]
    fn numbers_keep_count_sum_extremes_and_the_last() {
        let mut total = number(5, "2").unwrap();
        for (at, value) in [(9, "-1.5"), (7, "10")] {
            total.add(&number(at, value).unwrap());
        }
        let Total::Readings(readings) = total else { panic!("{total:?}") };
        assert_eq!((readings.count, readings.sum, readings.min, readings.max), (3, 10.5, -1.5, 10.0));
        assert_eq!((readings.last, readings.last_at), (-1.5, UnixMillis(9)));
    }

    #[test]
    fn what_is_wrong_or_no_number_stays_a_record() {
        assert_eq!(number(5, "NaN"), None);
        assert_eq!(reading(5, r#"{"data_type": "text", "text_data": "words"}"#), None);
        assert_eq!(reading(5, r#"{"data_type": "numeric-single-value", "numeric_data_single_value": "5"}"#), None);
        let begun = super::super::EpochBegun { previous: 0, kept: 0, written: 0, cause: "enrolled".into() };
        assert_eq!(Total::of(&record(5, &Body::EpochBegun(begun))), None);
    }
}
