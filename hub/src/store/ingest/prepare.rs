//! What is done with a batch before the writer sees it: verified, opened, decoded, summed.

use super::machines::OfMachine;
use super::overages::Passed;
use super::signs::Sign;
use sitewarden_protocol::{
    batch::{self, Header, Signed},
    codec,
    license::seats::Machines,
    record::{
        Activation, Body, EpochBegun, Folded, Measurement, MonitorChange, ReadingTotal, Record, Run, Total,
        Transmission, kind,
    },
    sealing::OpeningKey,
    signing::PublicKey,
    time::UnixMillis,
};
use std::collections::HashMap;

/// Stands for "no name" where a name's place in [`OpenedRecords::names`] is expected. A batch has fewer records.
const NO_NAME: u16 = u16::MAX;

/// Sums that one batch may make with event kinds of their own. An app that invents a kind for each event gets the rest
/// summed without it.
const MAX_EVENT_SUMS: usize = 512;

const HOUR: i64 = 3_600_000;

/// A batch that its agent signed, taken apart as far as possible without the database.
#[derive(Debug)]
pub struct VerifiedBatch {
    /// What it is signed with.
    pub(super) key: PublicKey,
    pub(super) header: Header,
    pub(super) signed: Signed,
    /// Its records; or why it cannot be read although the agent signed it.
    pub(super) records: Result<OpenedRecords, String>,
}

/// A batch's records, and what is to be written of them.
#[derive(Debug, Default)]
pub struct OpenedRecords {
    pub(super) run: Run,
    decoded: Vec<Decoded>,
    names: Vec<String>,
    sums: Vec<Sum>,
    pub(super) activations: Vec<Activated>,
    pub(super) monitors: Vec<Moved>,
    pub(super) machines: Vec<OfMachine>,
    pub(super) measurements: Vec<Measured>,
    /// Totals of measurements, each behind its record's place in the batch.
    pub(super) folded: Vec<(usize, ReadingTotal)>,
    /// Each behind its record's place in the batch and its time.
    pub(super) transmissions: Vec<(usize, UnixMillis, Transmission)>,
    pub(super) overages: Vec<Passed>,
    /// What the vendor has to look at, behind its record's place in the batch.
    pub(super) signs: Vec<(usize, Sign)>,
    /// Records whose kind is known and whose body is not of that kind.
    pub(super) malformed: Vec<usize>,
    /// Records that say that the end of an earlier epoch was lost at the agent.
    pub(super) cut: Vec<(usize, EpochBegun)>,
}

/// One record, with its texts and bytes still where they came.
#[derive(Debug, Clone, Copy)]
struct Decoded {
    at: UnixMillis,
    count: u64,
    /// How many reports it stands for: 1, or more for a total of events.
    reports: u64,
    body: (usize, usize),
    kind: u16,
    /// What it is summed as: a total of events as events.
    summed: u16,
    app: u16,
    event: u16,
}

/// What is written of one record.
pub(super) struct RowOf<'a> {
    pub(super) at: UnixMillis,
    pub(super) kind: u16,
    pub(super) app: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// Records of one hour, app and kind, summed.
#[derive(Debug, Clone, Copy)]
struct Sum {
    hour: i64,
    kind: u16,
    app: u16,
    event: u16,
    records: i64,
    total: u64,
}

/// What is written of one sum.
pub(super) struct SumRow<'a> {
    pub(super) hour: i64,
    pub(super) kind: u16,
    pub(super) app: &'a str,
    pub(super) event: &'a str,
    pub(super) records: i64,
    pub(super) total: u64,
}

/// A licence that was activated.
#[derive(Debug)]
pub(super) struct Activated {
    /// Its record's place in the batch.
    pub(super) index: usize,
    pub(super) at: UnixMillis,
    pub(super) what: Activation,
}

/// A monitor that was reserved or released.
#[derive(Debug)]
pub(super) struct Moved {
    /// Its record's place in the batch.
    pub(super) index: usize,
    pub(super) at: UnixMillis,
    /// Or released.
    pub(super) reserved: bool,
    pub(super) what: MonitorChange,
}

/// What a program sent of itself.
#[derive(Debug)]
pub(super) struct Measured {
    /// Its record's place in the batch.
    pub(super) index: usize,
    pub(super) at: UnixMillis,
    pub(super) what: Measurement,
}

impl VerifiedBatch {
    /// Verifies a batch with its agent's key, or one that it had before, opens it if it is sealed to one of `opening`, and takes it apart. Takes long
    /// enough (a millisecond or two) to be kept
    /// from the threads that move bytes.
    ///
    /// # Errors
    /// If it is not the agent's. A batch that is the agent's and cannot be read is no error: it is to be stored as such.
    pub fn prepare(signed: Signed, keys: &[PublicKey], opening: &[OpeningKey]) -> Result<Self, batch::Error> {
        let (key, header) = verify(&signed, keys)?;
        // SQLite's integers end here.
        if i64::try_from(header.last).is_err() || i64::try_from(header.epoch).is_err() {
            return Err(batch::Error::Inconsistent("its numbers cannot be"));
        }
        let records = match signed.open_with(&header, opening) {
            Ok(run) => OpenedRecords::decode(run).map_err(|error| format!("a record is unreadable: {error}")),
            Err(error) => Err(error.to_string()),
        };
        Ok(Self { key, header, signed, records })
    }

    /// What the agent said of the batch.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many records it has; `None` if it cannot be read.
    pub fn count(&self) -> Option<usize> {
        self.records.as_ref().ok().map(OpenedRecords::len)
    }
}

/// Which of the keys signed it, and its header.
fn verify(signed: &Signed, keys: &[PublicKey]) -> Result<(PublicKey, Header), batch::Error> {
    let mut refused = None;
    for key in keys {
        match signed.verify(key) {
            Ok(header) => return Ok((*key, header)),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or(batch::Error::Inconsistent("its agent has no key")))
}

impl OpenedRecords {
    pub(super) fn decode(run: Run) -> Result<Self, codec::Error> {
        let (mut at, mut interned) = (0, HashMap::new());
        let decoded = Vec::with_capacity(usize::try_from(run.count()).unwrap_or(0));
        let mut records = Self { decoded, ..Self::default() };
        for (index, bytes) in run.iter().enumerate() {
            let record = Record::decode(bytes)?;
            // Behind the two bytes of its length; the body is the record's last part.
            at += 2 + bytes.len();
            let body = (at - record.body.len(), at);
            let (kind, summed) = (record.kind, record.kind);
            let mut decoded =
                Decoded { at: record.at, kind, summed, body, app: NO_NAME, event: NO_NAME, count: 1, reports: 1 };
            let mut name = |text: String| intern(&mut records.names, &mut interned, text);
            match record.decode_body() {
                Ok(Body::Event(event)) => {
                    decoded.count = event.count.max(1);
                    decoded.app = name(event.app);
                    decoded.event = name(event.kind);
                }
                Ok(Body::Folded(Folded { total: Total::Events(total), .. })) => {
                    decoded.summed = kind::EVENT;
                    (decoded.reports, decoded.count) = (total.events.max(1), total.count.max(1));
                    decoded.app = name(total.app);
                    decoded.event = name(total.kind);
                }
                Ok(Body::Folded(Folded { total: Total::Readings(total), .. })) => {
                    records.folded.push((index, *total));
                }
                Ok(Body::MonitorReserved(what)) => {
                    decoded.app = name(what.app.clone());
                    records.monitors.push(Moved { index, at: record.at, reserved: true, what });
                }
                Ok(Body::MonitorReleased(what)) => {
                    decoded.app = name(what.app.clone());
                    records.monitors.push(Moved { index, at: record.at, reserved: false, what });
                }
                Ok(Body::Denial(denial)) => decoded.app = name(denial.app),
                Ok(Body::Denials(denials)) => {
                    decoded.count = denials.count.max(1);
                    decoded.app = name(denials.app);
                }
                Ok(Body::Overage(told)) => {
                    decoded.app = name(told.app.clone());
                    records.overages.push(Passed::quota(index, record.at, told));
                }
                Ok(Body::Excess(told)) => {
                    decoded.app = name(told.app.clone());
                    records.overages.push(Passed::permitted(index, record.at, told));
                }
                Ok(other) => records.set_apart(index, record.at, other),
                Err(_) => records.malformed.push(index),
            }
            records.decoded.push(decoded);
        }
        records.run = run;
        records.sums = sum(&records.decoded);
        Ok(records)
    }

    /// What says more than that it happened.
    fn set_apart(&mut self, index: usize, at: UnixMillis, body: Body) {
        match body {
            Body::LicenseActivated(what) => self.activations.push(Activated { index, at, what }),
            body if Machines::concerns(&body) => self.machines.push(OfMachine { index, at, body }),
            Body::Measurement(what) => self.measurements.push(Measured { index, at, what }),
            Body::Transmission(what) => self.transmissions.push((index, at, what)),
            Body::EpochBegun(begun) if begun.written > begun.kept => self.cut.push((index, begun)),
            other => self.signs.extend(Sign::of(other).map(|sign| (index, sign))),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.decoded.len()
    }

    /// Rows that they make, about.
    pub(super) fn rows_written(&self) -> usize {
        let beside = self.monitors.len() + self.measurements.len() + self.transmissions.len() + self.overages.len();
        self.len() + beside + self.folded.len() + self.machines.len()
    }

    /// The records after the first `skip`.
    pub(super) fn rows(&self, skip: usize) -> impl Iterator<Item = RowOf<'_>> {
        self.decoded.iter().skip(skip).map(|decoded| RowOf {
            at: decoded.at,
            kind: decoded.kind,
            app: self.name(decoded.app),
            body: self.run.as_bytes().get(decoded.body.0..decoded.body.1).unwrap_or_default(),
        })
    }

    /// Calls `each` with the sums of the records after the first `skip`.
    pub(super) fn sums<E>(&self, skip: usize, mut each: impl FnMut(SumRow<'_>) -> Result<(), E>) -> Result<(), E> {
        // Few batches overlap what is here; only for those is it summed again.
        let again = (skip > 0).then(|| sum(self.decoded.get(skip..).unwrap_or_default()));
        again.as_ref().unwrap_or(&self.sums).iter().try_for_each(|sum| {
            each(SumRow {
                hour: sum.hour,
                kind: sum.kind,
                app: self.name(sum.app).unwrap_or_default(),
                event: self.name(sum.event).unwrap_or_default(),
                records: sum.records,
                total: sum.total,
            })
        })
    }

    fn name(&self, place: u16) -> Option<&str> {
        self.names.get(usize::from(place)).map(String::as_str)
    }
}

/// A name's place, the same for the same name. A batch has at most 4,096 records of at most two names each.
fn intern(names: &mut Vec<String>, places: &mut HashMap<String, u16>, text: String) -> u16 {
    if let Some(place) = places.get(&text) {
        return *place;
    }
    let place = u16::try_from(names.len()).unwrap_or(NO_NAME);
    names.push(text.clone());
    places.insert(text, place);
    place
}

fn sum(records: &[Decoded]) -> Vec<Sum> {
    let mut sums: Vec<Sum> = Vec::new();
    let mut places = HashMap::new();
    // Most records are of the same sum as the one before them.
    let mut last = None;
    for record in records {
        let mut key = (record.at.0.div_euclid(HOUR), record.summed, record.app, record.event);
        if last.is_none_or(|(known, _)| known != key) {
            if sums.len() >= MAX_EVENT_SUMS && !places.contains_key(&key) {
                key.3 = NO_NAME;
            }
            let place = *places.entry(key).or_insert(sums.len());
            if place == sums.len() {
                let (hour, kind, app, event) = key;
                sums.push(Sum { hour, kind, app, event, records: 0, total: 0 });
            }
            last = Some((key, place));
        }
        if let Some(sum) = last.and_then(|(_, place)| sums.get_mut(place)) {
            sum.records = sum.records.saturating_add(i64::try_from(record.reports).unwrap_or(i64::MAX));
            sum.total = sum.total.saturating_add(record.count);
        }
    }
    sums
}
