//! What is kept to show later what an agent signed, and the red flags that lead there.

use super::{Arrival, OpenedRecords};
use crate::store::{
    counted,
    error::Error,
    flags::{self, NewFlag},
    whole,
    writer::Tx,
};
use rusqlite::{OptionalExtension, params};
use serde_json::{Value, json};
use sitewarden_protocol::{
    chain::{Chain, Cursor},
    codec,
    record::Record,
    time::UnixMillis,
};

/// The most forked batches kept of one epoch. A few prove the fork; a machine that goes on forking must not fill the
/// disk.
const MAX_FORKS: i64 = 64;

/// The most batches of an agent that are kept and not believed, for one reason: 128 MiB at the worst.
const MAX_UNBELIEVED: i64 = 256;
/// Why they are kept.
pub(super) const REVOKED: &str = "its sender was revoked";
/// The same, of what an earlier key of the agent signed.
pub(super) const EARLIER_KEY: &str = "it is signed with a key of before its sender was enrolled again";

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its records are stored; header and signature prove where they come from.
    Stored,
    /// It cannot be read; kept whole.
    SetAside,
    /// It tells another history; kept whole.
    Fork,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::SetAside => "set_aside",
            Self::Fork => "fork",
        }
    }
}

/// A sign of tampering.
pub(super) struct Flag {
    pub(super) kind: &'static str,
    pub(super) license: Option<i64>,
    pub(super) details: Value,
}

impl Arrival<'_> {
    /// Keeps what was signed. Answers whether it was not here already.
    pub(super) fn keep(&self, tx: &Tx<'_>, state: State, reason: Option<&str>) -> Result<bool, Error> {
        let (header, signed) = (&self.batch.header, &self.batch.signed);
        let payload = (state != State::Stored).then_some(&signed.payload);
        let kept = tx
            .prepare_cached(
                "INSERT INTO batches (agent, epoch, first, last, prev, head, lost, state, header, signature, payload,
                    reason, received_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (agent, epoch, first, last, head) WHERE state = 'fork' DO NOTHING",
            )?
            .execute(params![
                self.sender.row,
                whole(header.epoch),
                whole(header.first),
                whole(header.last),
                header.prev.as_bytes(),
                header.head.as_bytes(),
                whole(header.lost),
                state.name(),
                signed.header,
                signed.signature.0,
                payload,
                reason,
                self.now.0,
            ])?;
        Ok(kept > 0)
    }

    /// Whether what is stored at the end of this batch is another history. Where a stored batch ended elsewhere its records
    /// are read again, at most one batch's; where there are none, as in what was set aside, a repeat is taken for the
    /// repeat that it claims to be.
    pub(super) fn contradicts(&self, tx: &Tx<'_>) -> Result<bool, Error> {
        let header = &self.batch.header;
        let stored = chain_at(tx, self.sender.row, header.epoch, header.last)?;
        Ok(stored.is_some_and(|chain| chain != header.head))
    }

    /// Keeps a batch that is not believed for this reason, once. Whoever has a stolen key must not fill the disk with it.
    pub(super) fn keep_unbelieved(&self, tx: &Tx<'_>, why: &'static str) -> Result<(), Error> {
        let header = &self.batch.header;
        let (kept, same): (i64, i64) = tx
            .prepare_cached(
                "SELECT count(*), coalesce(sum(epoch = ?2 AND first = ?3 AND last = ?4 AND head = ?5), 0) FROM batches
                 WHERE agent = ?1 AND state = 'set_aside' AND reason = ?6",
            )?
            .query_row(
                params![
                    self.sender.row,
                    whole(header.epoch),
                    whole(header.first),
                    whole(header.last),
                    header.head.as_bytes(),
                    why,
                ],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
        if kept < MAX_UNBELIEVED && same == 0 {
            self.keep(tx, State::SetAside, Some(why))?;
        }
        Ok(())
    }

    /// Keeps the other half of a fork, once, with a red flag.
    pub(super) fn keep_fork(&self, tx: &Tx<'_>, have: &Cursor) -> Result<(), Error> {
        let header = &self.batch.header;
        let kept: i64 = tx
            .prepare_cached("SELECT count(*) FROM batches WHERE agent = ? AND epoch = ? AND state = 'fork'")?
            .query_row(params![self.sender.row, whole(header.epoch)], |row| row.get(0))?;
        if kept >= MAX_FORKS || !self.keep(tx, State::Fork, None)? {
            return Ok(());
        }
        let details = json!({
            "epoch": header.epoch, "first": header.first, "last": header.last,
            "here_through": have.position.seq, "here_chain": have.chain.to_string(), "their_head": header.head.to_string(),
        });
        // One flag for the epoch: a machine that goes on forking says something else each time it comes.
        let (site, agent, observation) = (self.sender.site, self.sender.row, format!("epoch {}", header.epoch));
        let (details, observation) = (&details, Some(observation.as_str()));
        flags::raise(tx, self.now, &NewFlag { kind: "fork", site, agent, license: None, details, observation })
            .map(drop)
    }

    /// Keeps a batch that cannot be read, with a red flag.
    pub(super) fn set_aside(&self, tx: &Tx<'_>, reason: &str) -> Result<(), Error> {
        self.keep(tx, State::SetAside, Some(reason))?;
        let header = &self.batch.header;
        let details = json!({ "epoch": header.epoch, "first": header.first, "last": header.last, "reason": reason });
        self.flag(tx, &Flag { kind: "set_aside", license: None, details })
    }

    /// Records that are stored as they came, and are not what their kind says: one flag for the batch.
    pub(super) fn flag_malformed(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        let mut malformed = records.malformed.iter().filter(|index| **index >= skip);
        let Some(first) = malformed.next() else { return Ok(()) };
        let header = &self.batch.header;
        let first = header.first.saturating_add(u64::try_from(*first).unwrap_or(u64::MAX));
        let details = json!({ "epoch": header.epoch, "first": first, "records": malformed.count() + 1 });
        self.flag(tx, &Flag { kind: "malformed", license: None, details })
    }

    /// The end of an earlier epoch was lost at the agent; what of it had arrived here is no loss.
    pub(super) fn flag_cut(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        if records.cut.is_empty() {
            return Ok(());
        }
        let cleared: Option<u64> = tx
            .prepare_cached("SELECT cleared_epoch FROM agents WHERE id = ?")?
            .query_row([self.sender.row], |row| row.get::<_, Option<i64>>(0))?
            .and_then(|epoch| u64::try_from(epoch).ok());
        for (_, begun) in records.cut.iter().filter(|(index, _)| *index >= skip) {
            let through: Option<i64> = tx
                .prepare_cached("SELECT through FROM agent_epochs WHERE agent = ? AND epoch = ?")?
                .query_row(params![self.sender.row, whole(begun.previous)], |row| row.get(0))
                .optional()?;
            let through = through.and_then(|through| u64::try_from(through).ok()).unwrap_or(0);
            // Of an epoch that forked, what is here is another history.
            let forked = cleared.is_some_and(|epoch| begun.previous < epoch && self.batch.header.epoch >= epoch);
            let arrived = if forked { begun.kept } else { through.max(begun.kept) };
            let lost = begun.written.saturating_sub(arrived);
            if lost == 0 {
                continue;
            }
            tx.prepare_cached("UPDATE agent_epochs SET lost = lost + ? WHERE agent = ? AND epoch = ?")?
                .execute(params![whole(lost), self.sender.row, whole(begun.previous)])?;
            let details = json!({
                "epoch": begun.previous, "first": arrived + 1, "last": begun.written, "lost": lost, "cause": begun.cause,
            });
            self.flag(tx, &Flag { kind: "gap", license: None, details })?;
        }
        Ok(())
    }

    pub(super) fn flag(&self, tx: &Tx<'_>, flag: &Flag) -> Result<(), Error> {
        let (kind, site, agent, license) = (flag.kind, self.sender.site, self.sender.row, flag.license);
        let flag = NewFlag { kind, site, agent, license, details: &flag.details, observation: None };
        flags::raise(tx, self.now, &flag).map(drop)
    }
}

/// The chain after a stored record; `None` if the batch that brought it is not stored whole.
fn chain_at(tx: &Tx<'_>, agent: i64, epoch: u64, seq: u64) -> Result<Option<Chain>, Error> {
    let mut query = tx.prepare_cached(
        "SELECT first, last, prev, head FROM batches
         WHERE agent = ?1 AND epoch = ?2 AND last >= ?3 AND first <= ?3 AND state = 'stored' ORDER BY last LIMIT 1",
    )?;
    let row = query.query_row(params![agent, whole(epoch), whole(seq)], |row| {
        let chains = (Chain::from_bytes(row.get(2)?), Chain::from_bytes(row.get(3)?));
        Ok((counted(row, 0)?, counted(row, 1)?, chains))
    });
    let Some((first, last, (prev, head))) = row.optional()? else { return Ok(None) };
    if last == seq {
        return Ok(Some(head));
    }
    let records = stored_records(tx, agent, epoch, (first, seq))?;
    let whole = u64::try_from(records.len()).is_ok_and(|count| count == seq - first + 1);
    Ok(whole.then(|| prev.then_all(records.iter().map(Vec::as_slice))))
}

/// Records as they came, between two numbers, both included: what was taken apart is put together again.
pub(in crate::store) fn stored_records(
    connection: &rusqlite::Connection,
    agent: i64,
    epoch: u64,
    (first, last): (u64, u64),
) -> Result<Vec<Vec<u8>>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT at, kind, body FROM records WHERE agent = ? AND epoch = ? AND seq BETWEEN ? AND ? ORDER BY seq",
    )?;
    let rows = query.query_map(params![agent, whole(epoch), whole(first), whole(last)], |row| {
        let record = Record { at: UnixMillis(row.get(0)?), kind: row.get(1)?, body: row.get(2)? };
        Ok(codec::encode(&record))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
