//! What records of measurements and transmissions become beside the records themselves.

use super::{Arrival, OpenedRecords};
use crate::store::{
    Purpose, api_keys,
    error::Error,
    telemetry::{self, Judge, KeySent, Origin, Sums},
    writer::Tx,
};
use sitewarden_protocol::{api_key::ApiKeyDigest, record::Measurement, time::UnixMillis};
use std::collections::HashMap;

impl Arrival<'_> {
    /// Takes in the measurements among the records after the first `skip`.
    pub(super) fn measure(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        let mut new = records.measurements.iter().filter(|measured| measured.index >= skip).peekable();
        let mut folded = records.folded.iter().filter(|(index, _)| *index >= skip).peekable();
        if new.peek().is_none() && folded.peek().is_none() {
            return Ok(());
        }
        let customer = tx
            .prepare_cached("SELECT p.customer FROM sites s JOIN plants p ON p.id = s.plant WHERE s.id = ?")?
            .query_row([self.sender.site.as_bytes()], |row| row.get(0))?;
        let (mut judge, mut sums, mut keys) = (Judge::new(tx), Sums::default(), HashMap::new());
        for measured in new {
            let place = (self.batch.header.epoch, self.seq(measured.index));
            let sent = match &measured.what {
                Measurement::Sent(sent) => sent,
                Measurement::Rest(rest) => {
                    telemetry::append_rest(tx, self.sender.row, place, rest)?;
                    continue;
                }
            };
            let api_key = self.known_key(tx, customer, &sent.key, &mut keys)?;
            let origin = self.origin(customer, api_key, place, measured.at);
            let mut reading = sent.reading.clone();
            let judged = judge.judge(&origin, &mut reading, sent.license.map_or(KeySent::Nothing, KeySent::Digest))?;
            telemetry::insert(tx, &origin, &reading, &judged, &mut sums)?;
            if !reading.problems.is_empty() {
                judge.watch_burst(&origin)?;
            }
        }
        for (index, total) in folded {
            let place = (self.batch.header.epoch, self.seq(*index));
            let api_key = self.known_key(tx, customer, &total.key, &mut keys)?;
            let origin = self.origin(customer, api_key, place, total.hour);
            let judged = judge.judge_total(&origin, total)?;
            sums.add_total(&origin, total, &judged);
        }
        sums.store(tx)
    }

    /// Lists the transmissions among the records after the first `skip`.
    pub(super) fn list_transmissions(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        let new = records.transmissions.iter().filter(|(index, ..)| *index >= skip);
        new.map(|(index, at, what)| (self.seq(*index), at, what)).try_for_each(|(seq, at, what)| {
            telemetry::insert_transmission(tx, (self.sender.row, self.batch.header.epoch, seq), *at, what)
        })
    }

    /// The number of the record at a place in the batch.
    fn seq(&self, index: usize) -> u64 {
        self.batch.header.first.saturating_add(u64::try_from(index).unwrap_or(u64::MAX))
    }

    /// The number of an API key, looked up once in a transaction.
    fn known_key(
        &self,
        tx: &Tx<'_>,
        customer: i64,
        digest: &ApiKeyDigest,
        known: &mut HashMap<ApiKeyDigest, Option<i64>>,
    ) -> Result<Option<i64>, Error> {
        Ok(match known.get(digest) {
            Some(known) => *known,
            None => *known.entry(*digest).or_insert(self.api_key(tx, customer, digest)?),
        })
    }

    fn api_key(&self, tx: &Tx<'_>, customer: i64, digest: &ApiKeyDigest) -> Result<Option<i64>, Error> {
        let found = api_keys::of_digest(tx, digest, Purpose::Telemetry)?.map(|(_, key)| key);
        // One of another customer cannot have come with the site's snapshot.
        Ok(found.filter(|key| key.customer == Some(customer)).map(|key| key.id))
    }

    fn origin(&self, customer: i64, api_key: Option<i64>, place: (u64, u64), at: UnixMillis) -> Origin {
        Origin {
            customer,
            site: Some(self.sender.site),
            api_key,
            agent: Some(self.sender.row),
            place: Some(place),
            at,
            received_at: self.now,
        }
    }
}
