//! What would be sent now: sums of what apps reported, and the records themselves.
//!
//! Read from the journal's unacknowledged records on a thread that may block, one reader at a time, at most
//! [`MAX_SCANNED`] records.

use super::Telemetry;
use crate::journal::Journal;
use serde_json::{Value as Json, json};
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::record::{Body, Event, Record, Total, Value, kind};
use std::collections::BTreeSet;

/// Records that one preview reads: some seconds of a slow disk.
pub const MAX_SCANNED: u64 = 500_000;
/// Distinct bouncers that are told apart.
const MAX_BOUNCERS: usize = 100_000;
/// Attributes by which a bouncer says which one it is.
const BOUNCER_NAMES: [&str; 4] = ["bouncer", "bouncer_id", "id", "name"];

/// Sums over what apps reported and has not been sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// `policy_decision` events.
    pub policy_decisions: u64,
    /// Those of them with the outcome `success`.
    pub successful_decisions: u64,
    /// Bouncers that were seen.
    pub bouncers: u64,
    /// All events.
    pub events: u64,
    /// Those of the environment `sandbox`.
    pub sandbox: u64,
    /// Those of the environment `production`.
    pub production: u64,
    /// Records that are telemetry: events, measurements and samples of the machine.
    pub telemetry: u64,
    /// Whether everything was looked at; `false` if there is more than [`MAX_SCANNED`].
    pub whole: bool,
}

/// The journal cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the journal cannot be read: {0}")]
pub struct Unreadable(String);

/// Sums up what has not been sent.
///
/// # Errors
/// [`Unreadable`].
pub async fn sums(telemetry: &Telemetry) -> Result<Sums, Unreadable> {
    scanning(telemetry, |journal, acknowledged| {
        let (mut sums, mut bouncers) = (Sums::default(), BTreeSet::new());
        let mut scanned = 0;
        sums.whole = each(journal, acknowledged, |_, record| {
            scanned += 1;
            sums.add(record, &mut bouncers);
            scanned < MAX_SCANNED
        })?;
        journal.folded().iter().for_each(|total| sums.add_total(total));
        sums.bouncers = bouncers.len() as u64;
        Ok(sums)
    })
    .await
}

/// The records that would leave, oldest first, as JSON.
///
/// # Errors
/// [`Unreadable`].
pub async fn records(telemetry: &Telemetry, skip: u64, limit: u64) -> Result<Vec<Json>, Unreadable> {
    scanning(telemetry, move |journal, acknowledged| {
        let (mut seen, mut records) = (0, Vec::new());
        each(journal, acknowledged, |position, record| {
            seen += 1;
            if seen > skip {
                records.push(shown(position, record));
            }
            (records.len() as u64) < limit && seen < MAX_SCANNED
        })?;
        Ok(records)
    })
    .await
}

async fn scanning<T: Send + 'static>(
    telemetry: &Telemetry,
    scan: impl FnOnce(&Journal, Position) -> Result<T, Unreadable> + Send + 'static,
) -> Result<T, Unreadable> {
    // The semaphore is never closed.
    let turn = telemetry.scanning().acquire_owned().await.map_err(|error| Unreadable(error.to_string()))?;
    let (journal, acknowledged) = (telemetry.journal().clone(), telemetry.line().known().acknowledged);
    let scanned = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        scan(&journal, acknowledged)
    });
    scanned.await.unwrap_or_else(|error| Err(Unreadable(error.to_string())))
}

/// Shows every record after `after` to `look`, until it says no; `false` if it did.
fn each(
    journal: &Journal,
    after: Position,
    mut look: impl FnMut(Position, &Record) -> bool,
) -> Result<bool, Unreadable> {
    let mut after = after;
    while let Some(draft) = journal.read_after(after).map_err(|error| Unreadable(error.to_string()))? {
        after = draft.after.position;
        for bytes in draft.records.iter() {
            after.seq += 1;
            let Ok(record) = Record::decode(bytes) else { continue };
            if !look(after, &record) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

impl Sums {
    fn add(&mut self, record: &Record, bouncers: &mut BTreeSet<(String, String)>) {
        if matches!(record.kind, kind::EVENT | kind::HOST | kind::HOST_HOURLY | kind::MEASUREMENT) {
            self.telemetry += 1;
        }
        let event = match record.decode_body() {
            Ok(Body::Event(event)) => event,
            Ok(Body::Folded(folded)) => return self.add_total(&folded.total),
            _ => return,
        };
        self.count(&event.kind, &event.environment, &event.outcome, event.count);
        if event.kind == "bouncer_seen" && bouncers.len() < MAX_BOUNCERS {
            bouncers.insert((event.app.clone(), bouncer(&event)));
        }
    }

    /// Which bouncers they were of is not in a total of events.
    fn add_total(&mut self, total: &Total) {
        self.telemetry = self.telemetry.saturating_add(total.reports());
        if let Total::Events(total) = total {
            self.count(&total.kind, &total.environment, &total.outcome, total.count);
        }
    }

    fn count(&mut self, kind: &str, environment: &str, outcome: &str, count: u64) {
        self.events = self.events.saturating_add(count);
        match environment {
            "sandbox" => self.sandbox = self.sandbox.saturating_add(count),
            "production" => self.production = self.production.saturating_add(count),
            _ => {}
        }
        if kind == "policy_decision" {
            self.policy_decisions = self.policy_decisions.saturating_add(count);
            if outcome == "success" {
                self.successful_decisions = self.successful_decisions.saturating_add(count);
            }
        }
    }
}

/// Which bouncer it is; all that do not say are one.
fn bouncer(event: &Event) -> String {
    let named = |name: &&str| event.attributes.iter().find(|(attribute, _)| attribute == name);
    BOUNCER_NAMES.iter().find_map(named).map_or_else(String::new, |(_, value)| match value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
    })
}

fn shown(position: Position, record: &Record) -> Json {
    json!({
        "epoch": position.epoch,
        "seq": position.seq,
        "at": record.at.to_string(),
        "kind": kind::name(record.kind),
        "body": record.decode_body().map_or(Json::Null, |body| body.shown()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sitewarden_protocol::codec;
    use sitewarden_protocol::record::kind;
    use sitewarden_protocol::time::UnixMillis;

    fn event(kind: &str, environment: &str, outcome: &str, count: u64, bouncer: Option<&str>) -> Record {
        let attributes = bouncer.map(|name| ("bouncer".to_owned(), Value::Text(name.to_owned()))).into_iter().collect();
        let event = Event {
            app: "EMS".into(),
            kind: kind.into(),
            environment: environment.into(),
            outcome: outcome.into(),
            count,
            attributes,
        };
        Record { at: UnixMillis(1), kind: kind::EVENT, body: codec::encode(&event) }
    }

    #[test]
    fn sums_are_of_what_was_reported() {
        let (mut sums, mut bouncers) = (Sums::default(), BTreeSet::new());
        for record in [
            event("policy_decision", "production", "success", 5_000, None),
            event("policy_decision", "sandbox", "denied", 250, None),
            event("login", "sandbox", "success", 7, None),
            event("login", "", "", 1, None),
            event("bouncer_seen", "production", "", 1, Some("b1")),
            event("bouncer_seen", "production", "", 1, Some("b1")),
            event("bouncer_seen", "production", "", 1, Some("b2")),
        ] {
            sums.add(&record, &mut bouncers);
        }
        assert_eq!((sums.policy_decisions, sums.successful_decisions, bouncers.len()), (5_250, 5_000, 2));
        assert_eq!((sums.events, sums.sandbox, sums.production, sums.telemetry), (5_261, 257, 5_003, 7));
    }
}
