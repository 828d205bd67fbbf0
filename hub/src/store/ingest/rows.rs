//! The rows of a batch: records, sums, cursor. The hot path of the hub: one prepared statement each, nothing looked up
//! and nothing allocated for a row.

use super::{Arrival, OpenedRecords};
use crate::store::{error::Error, whole, writer::Tx};
use rusqlite::params;

impl Arrival<'_> {
    pub(super) fn insert_records(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        let mut insert = tx.prepare_cached(
            "INSERT INTO records (agent, epoch, seq, at, received_at, kind, app, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        let header = &self.batch.header;
        let epoch = whole(header.epoch);
        let first = whole(header.first).saturating_add(i64::try_from(skip).unwrap_or(i64::MAX));
        for (seq, row) in (first..).zip(records.rows(skip)) {
            insert.execute(params![self.sender.row, epoch, seq, row.at.0, self.now.0, row.kind, row.app, row.body])?;
        }
        Ok(())
    }

    pub(super) fn add_usage(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        // A sum over SQLite's largest integer would become a floating-point number, which the table refuses: an agent
        // that counts to the end of numbers stays there.
        let mut upsert = tx.prepare_cached(
            "INSERT INTO usage_hourly (site, hour, app, kind, event, records, total) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (site, hour, app, kind, event) DO UPDATE SET
                records = CASE WHEN records > 9223372036854775807 - excluded.records THEN 9223372036854775807
                               ELSE records + excluded.records END,
                total = CASE WHEN total > 9223372036854775807 - excluded.total THEN 9223372036854775807
                             ELSE total + excluded.total END",
        )?;
        records.sums(skip, |sum| {
            let total = whole(sum.total);
            let site = self.sender.site.as_bytes();
            upsert.execute(params![site, sum.hour, sum.app, sum.kind, sum.event, sum.records, total])?;
            Ok(())
        })
    }

    pub(super) fn move_cursor(&self, tx: &Tx<'_>, stored: u64, lost: u64) -> Result<(), Error> {
        let header = &self.batch.header;
        tx.prepare_cached(
            "INSERT INTO agent_epochs (agent, epoch, through, chain, records, lost, began, moved)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
             ON CONFLICT (agent, epoch) DO UPDATE SET through = excluded.through, chain = excluded.chain,
                records = records + excluded.records, lost = lost + excluded.lost, moved = excluded.moved",
        )?
        .execute(params![
            self.sender.row,
            whole(header.epoch),
            whole(header.last),
            header.head.as_bytes(),
            whole(stored),
            whole(lost),
            self.now.0,
        ])?;
        tx.prepare_cached(
            "UPDATE agents SET records_received = records_received + ?2, last_seen = max(coalesce(last_seen, ?4), ?4),
                records_lost = CASE WHEN records_lost > 9223372036854775807 - ?3 THEN 9223372036854775807
                                    ELSE records_lost + ?3 END
             WHERE id = ?1",
        )?
        .execute(params![self.sender.row, whole(stored), whole(lost), self.now.0])?;
        Ok(())
    }
}
