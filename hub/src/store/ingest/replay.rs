//! A batch that waited, tried again.

use super::evidence::{EARLIER_KEY, REVOKED};
use super::{Arrival, IngestOutcome, VerifiedBatch, cursor, ingest, sender};
use crate::store::{error::Error, whole, writer::Tx};
use rusqlite::params;
use sitewarden_protocol::time::UnixMillis;

/// What became of it.
pub(in crate::store) enum Replay {
    /// So many records are in.
    Stored(u64),
    /// It waits as before, because of this.
    Waits(String),
}

/// Tries a batch again that is `id` in the table, in `state` for this `reason`.
///
/// One that was set aside because it could not be read has its place in the stream already: the cursor is past it, and only
/// its records are missing. What an earlier key of its sender signed is taken in on the word of whoever asks for it, if it
/// joins on: the machine may be gone that could tell it again. Any other, also one of a sender that was revoked, is judged as
/// if it came now.
pub(in crate::store) fn replay(
    tx: &Tx<'_>,
    now: UnixMillis,
    batch: &VerifiedBatch,
    id: i64,
    (state, reason): (&str, Option<&str>),
) -> Result<Replay, Error> {
    if state != "set_aside" || reason == Some(REVOKED) {
        return again(tx, id, ingest(tx, now, batch)?);
    }
    let (sender, _) = sender(tx, batch.header.agent)?;
    let arrival = Arrival { sender, batch, now };
    if reason == Some(EARLIER_KEY) {
        let have = cursor(tx, arrival.sender.row, &batch.header)?;
        return again(tx, id, arrival.admit(tx, &have)?);
    }
    let records = match &batch.records {
        Ok(records) => records,
        Err(reason) => return Ok(Replay::Waits(reason.clone())),
    };
    // What of it was here before it was set aside, because it was cut elsewhere then.
    let skip = arrival.stored_of_it(tx)?;
    arrival.take_in(tx, records, skip)?;
    let stored = u64::try_from(records.len().saturating_sub(skip)).unwrap_or(u64::MAX);
    arrival.count_late(tx, stored)?;
    tx.prepare_cached("UPDATE batches SET state = 'stored', payload = NULL, reason = NULL WHERE id = ?")?
        .execute([id])?;
    Ok(Replay::Stored(stored))
}

fn again(tx: &Tx<'_>, id: i64, outcome: IngestOutcome) -> Result<Replay, Error> {
    match outcome {
        IngestOutcome::Stored { new, .. } => {
            tx.prepare_cached("DELETE FROM batches WHERE id = ?")?.execute([id])?;
            Ok(Replay::Stored(new))
        }
        IngestOutcome::Refused(refusal) => Ok(Replay::Waits(refusal.to_string())),
    }
}

impl Arrival<'_> {
    /// How many records at the batch's start are in the table.
    fn stored_of_it(&self, tx: &Tx<'_>) -> Result<usize, Error> {
        let header = &self.batch.header;
        let last: Option<i64> = tx
            .prepare_cached("SELECT max(seq) FROM records WHERE agent = ? AND epoch = ? AND seq BETWEEN ? AND ?")?
            .query_row(
                params![self.sender.row, whole(header.epoch), whole(header.first), whole(header.last)],
                |row| row.get(0),
            )?;
        let stored = last.map_or(0, |last| last - whole(header.first) + 1);
        Ok(usize::try_from(stored).unwrap_or(0))
    }

    /// Records that came in late count like others; the cursor stays.
    fn count_late(&self, tx: &Tx<'_>, stored: u64) -> Result<(), Error> {
        tx.prepare_cached("UPDATE agent_epochs SET records = records + ?3 WHERE agent = ?1 AND epoch = ?2")?
            .execute(params![self.sender.row, whole(self.batch.header.epoch), whole(stored)])?;
        tx.prepare_cached("UPDATE agents SET records_received = records_received + ?2 WHERE id = ?1")?
            .execute(params![self.sender.row, whole(stored)])?;
        Ok(())
    }
}
