//! A batch's way into the database.
//!
//! Always true: rows, roll-ups, evidence, what licence activations do, chain head and cursor change in one transaction;
//! whether a batch joins on is decided in it, by the rule that agents and simulation share; a record is stored once. The
//! work that needs no database is done before, in [`VerifiedBatch::prepare`], on as many cores as there are.

mod activations;
mod evidence;
mod machines;
mod measurements;
mod monitors;
mod overages;
mod prepare;
mod replay;
mod rows;
mod signs;

pub(super) use overages::Bound;
pub use prepare::{OpenedRecords, VerifiedBatch};
pub(super) use replay::{Replay, replay};

use super::{Store, counted, error::Error, error::found, whole, writer::Tx};
pub(super) use evidence::stored_records;
use evidence::{EARLIER_KEY, Flag, REVOKED, State};
use rusqlite::{OptionalExtension, params};
use sitewarden_protocol::{
    batch::Header,
    chain::{Chain, Cursor, Position},
    id::{AgentId, SiteId},
    message::Refusal,
    signing::PublicKey,
    sync::admission::{Admission, admit},
    time::UnixMillis,
};

/// Rows that a batch writes beside its records, about.
const ROWS_BESIDE: usize = 8;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngestOutcome {
    /// Everything up to here is on disk.
    Stored {
        /// What a receipt may say.
        through: Cursor,
        /// Records that were not here before.
        new: u64,
    },
    /// It was not taken; evidence of a fork is on disk.
    Refused(Refusal),
}

/// The agent, as the writer needs it.
struct Sender {
    row: i64,
    id: AgentId,
    site: SiteId,
}

/// A batch on its way, and where it arrives.
struct Arrival<'a> {
    sender: Sender,
    batch: &'a VerifiedBatch,
    now: UnixMillis,
}

impl Store {
    /// Stores a batch, if it joins on to what is here. Handed to the writer when first polled.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the agent, or what the database says; the agent may send the batch again then.
    pub async fn ingest(&self, now: UnixMillis, batch: VerifiedBatch) -> Result<IngestOutcome, Error> {
        let rows = batch.records.as_ref().map_or(0, OpenedRecords::rows_written) + ROWS_BESIDE;
        self.write_rows(rows, move |tx| ingest(tx, now, &batch)).await
    }
}

fn ingest(tx: &Tx<'_>, now: UnixMillis, batch: &VerifiedBatch) -> Result<IngestOutcome, Error> {
    let header = &batch.header;
    let (sender, believed) = sender(tx, header.agent)?;
    let have = cursor(tx, sender.row, header)?;
    let arrival = Arrival { sender, batch, now };
    match believed.doubt(batch) {
        None => arrival.admit(tx, &have),
        Some(Doubt::Unbelieved(why)) => {
            arrival.keep_unbelieved(tx, why)?;
            Ok(IngestOutcome::Refused(Refusal::Revoked))
        }
        Some(Doubt::Elsewhere) => {
            arrival.keep_fork(tx, &have)?;
            Ok(IngestOutcome::Refused(Refusal::Fork))
        }
    }
}

impl Arrival<'_> {
    /// Takes in what joins on to what is here.
    fn admit(&self, tx: &Tx<'_>, have: &Cursor) -> Result<IngestOutcome, Error> {
        let (batch, header) = (self.batch, &self.batch.header);
        let admission = match &batch.records {
            Ok(records) => admit(have, header, &records.run),
            Err(_) => admit_unopened(have, header),
        };
        match admission {
            Ok(Admission::Duplicate) if self.contradicts(tx)? => {
                self.keep_fork(tx, have)?;
                Ok(IngestOutcome::Refused(Refusal::Fork))
            }
            Ok(Admission::Duplicate) => Ok(IngestOutcome::Stored { through: *have, new: 0 }),
            Ok(Admission::Append { skip, lost }) => {
                let new = self.store(tx, skip, lost)?;
                Ok(IngestOutcome::Stored { through: header.end(), new })
            }
            Err(refusal) => {
                if refusal == Refusal::Fork {
                    self.keep_fork(tx, have)?;
                }
                Ok(IngestOutcome::Refused(refusal))
            }
        }
    }
}

/// The rule for a signed batch whose records cannot be read: it can only be looked at from outside. Where it overlaps
/// what is here it is taken for the same history, because the stream must go on; the batch itself is kept.
fn admit_unopened(have: &Cursor, header: &Header) -> Result<Admission, Refusal> {
    let through = have.position.seq;
    if header.last < through {
        return Ok(Admission::Duplicate);
    }
    if header.last == through {
        return if header.head == have.chain { Ok(Admission::Duplicate) } else { Err(Refusal::Fork) };
    }
    let missing = (header.first - 1).saturating_sub(through);
    if missing > header.lost {
        return Err(Refusal::Missing(*have));
    }
    if header.first == through + 1 && header.prev != have.chain {
        return Err(Refusal::Fork);
    }
    Ok(Admission::Append { skip: 0, lost: missing })
}

impl Arrival<'_> {
    fn store(&self, tx: &Tx<'_>, skip: usize, lost: u64) -> Result<u64, Error> {
        let header = &self.batch.header;
        if lost > 0 {
            let details = serde_json::json!({
                "epoch": header.epoch, "first": header.first - lost, "last": header.first - 1, "lost": lost,
            });
            self.flag(tx, &Flag { kind: "gap", license: None, details })?;
        }
        let stored = match &self.batch.records {
            Ok(records) => {
                self.keep(tx, State::Stored, None)?;
                self.take_in(tx, records, skip)?;
                records.len().saturating_sub(skip)
            }
            Err(reason) => {
                self.set_aside(tx, reason)?;
                0
            }
        };
        let stored = u64::try_from(stored).unwrap_or(u64::MAX);
        self.move_cursor(tx, stored, lost)?;
        Ok(stored)
    }

    /// What a batch's records after the first `skip` change.
    fn take_in(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        self.insert_records(tx, records, skip)?;
        self.add_usage(tx, records, skip)?;
        self.flag_malformed(tx, records, skip)?;
        self.flag_cut(tx, records, skip)?;
        self.move_monitors(tx, records, skip)?;
        self.note_overages(tx, records, skip)?;
        self.activate(tx, records, skip)?;
        self.follow_machines(tx, records, skip)?;
        self.flag_signs(tx, records, skip)?;
        self.measure(tx, records, skip)?;
        self.list_transmissions(tx, records, skip)?;
        Ok(())
    }
}

/// How far what an agent signed is believed.
struct Believed {
    /// Its present key.
    key: PublicKey,
    /// That counts from this epoch on.
    from_epoch: u64,
    revoked: bool,
    /// What a revoked agent signed before this record is believed; nothing, if there is none.
    before: Option<Position>,
}

/// Why a batch is not looked at like others.
enum Doubt {
    /// It is kept, for this reason, and not taken in.
    Unbelieved(&'static str),
    /// Its sender was let go on in a later epoch.
    Elsewhere,
}

impl Believed {
    fn doubt(&self, batch: &VerifiedBatch) -> Option<Doubt> {
        let last = batch.header.end().position;
        if batch.key != self.key {
            return Some(Doubt::Unbelieved(EARLIER_KEY));
        }
        if self.revoked && self.before.is_none_or(|from| last >= from) {
            return Some(Doubt::Unbelieved(REVOKED));
        }
        (last.epoch < self.from_epoch).then_some(Doubt::Elsewhere)
    }
}

fn sender(tx: &Tx<'_>, id: AgentId) -> Result<(Sender, Believed), Error> {
    let mut query = tx.prepare_cached(
        "SELECT id, site, status = 'revoked', revoked_from_epoch IS NOT NULL, coalesce(revoked_from_epoch, 0),
            coalesce(revoked_from_seq, 0), signing_key, coalesce(key_epoch, 0) FROM agents WHERE uuid = ?",
    )?;
    let row = query.query_row([id.as_bytes()], |row| {
        let from = Position { epoch: counted(row, 4)?, seq: counted(row, 5)? };
        let before = row.get::<_, bool>(3)?.then_some(from);
        let sender = Sender { row: row.get(0)?, id, site: SiteId::from_bytes(row.get(1)?) };
        Ok((sender, row.get(2)?, before, row.get::<_, [u8; 32]>(6)?, counted(row, 7)?))
    });
    let (sender, revoked, before, key, from_epoch) = found(row.optional()?, "agent")?;
    let key = PublicKey::from_bytes(key).map_err(|_| Error::Damaged { what: "agent" })?;
    Ok((sender, Believed { key, from_epoch, revoked, before }))
}

fn cursor(tx: &Tx<'_>, agent: i64, header: &Header) -> Result<Cursor, Error> {
    let mut query = tx.prepare_cached("SELECT through, chain FROM agent_epochs WHERE agent = ? AND epoch = ?")?;
    let row = query.query_row(params![agent, whole(header.epoch)], |row| {
        let position = Position { epoch: header.epoch, seq: counted(row, 0)? };
        Ok(Cursor { position, chain: Chain::from_bytes(row.get(1)?) })
    });
    Ok(row.optional()?.unwrap_or_else(|| Cursor::start(header.agent, header.epoch)))
}
