//! Batches that could not be taken in: set aside because they cannot be read, or kept as one half of a fork. They are
//! looked at, and tried again, by an administrator.
//!
//! Always true: a batch that is tried again is judged as when it came, by the same code; its records get the numbers that
//! they had; nothing is stored twice.

use super::ingest::{self, Replay, VerifiedBatch};
use super::{Act, Store, agents, audit, counted, error::Error, error::found, page_size};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::json;
use sitewarden_protocol::{
    batch::Signed,
    id::AgentId,
    sealing::OpeningKey,
    signing::{PublicKey, Signature},
    time::UnixMillis,
};
use std::sync::Arc;

/// A batch that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitingBatch {
    /// Its number at the hub.
    pub id: i64,
    /// Whose.
    pub agent: AgentId,
    /// Of which life of the agent's journal.
    pub epoch: u64,
    /// Its first record.
    pub first: u64,
    /// Its last record.
    pub last: u64,
    /// `set_aside` or `fork`, or why else it waits.
    pub state: String,
    /// Why it was set aside.
    pub reason: Option<String>,
    /// When it came.
    pub received_at: UnixMillis,
    /// The chain before it, hexadecimal.
    pub prev: String,
    /// The chain after it, hexadecimal.
    pub head: String,
    /// Bytes of its payload.
    pub bytes: u64,
}

/// What became of a batch that was tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Replayed {
    /// Its records are in.
    Stored {
        /// How many.
        records: u64,
    },
    /// It waits as before.
    Waits {
        /// Why.
        reason: String,
    },
}

const COLUMNS: &str = "b.id, a.uuid, b.epoch, b.first, b.last, b.state, b.reason, b.received_at, b.prev, b.head, \
     coalesce(length(b.payload), 0)";

impl Store {
    /// Batches that wait, the newest first, before one of them; of one agent, if given.
    ///
    /// # Errors
    /// What the database says.
    pub async fn waiting_batches(
        &self,
        agent: Option<AgentId>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<WaitingBatch>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM batches b JOIN agents a ON a.id = b.agent
                 WHERE b.state <> 'stored' AND b.id < ?1 AND (?2 IS NULL OR a.uuid = ?2) ORDER BY b.id DESC LIMIT ?3"
            );
            let mut query = connection.prepare_cached(&sql)?;
            let agent = agent.map(|agent| *agent.as_bytes());
            let rows = query.query_map(params![before.unwrap_or(i64::MAX), agent, page_size(limit)], waiting)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// One batch that waits.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one whose records are in.
    pub async fn waiting_batch(&self, id: i64) -> Result<WaitingBatch, Error> {
        self.read(move |connection| find(connection, id)).await
    }

    /// Tries a batch again, with the keys that are there now.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the database says.
    pub async fn replay_batch(&self, act: &Act, id: i64, keys: Arc<[OpeningKey]>) -> Result<Replayed, Error> {
        let act = act.clone();
        let (signed, signers) = self.read(move |connection| whole_batch(connection, id)).await?;
        let prepared = super::blocking(move || Ok(VerifiedBatch::prepare(signed, &signers, &keys))).await?;
        let batch = match prepared {
            Ok(batch) => batch,
            // As when its agent has another key by now: it was verified when it came.
            Err(error) => return Ok(Replayed::Waits { reason: error.to_string() }),
        };
        self.write(move |tx| {
            let WaitingBatch { state, reason, .. } = find(tx, id)?;
            let replayed = match ingest::replay(tx, act.at, &batch, id, (&state, reason.as_deref()))? {
                Replay::Stored(records) => Replayed::Stored { records },
                Replay::Waits(reason) => Replayed::Waits { reason },
            };
            let after = json!(replayed);
            audit::write(tx, &act, "batch.replay", &format!("batch {id}"), None, Some(&after))?;
            Ok(replayed)
        })
        .await
    }
}

fn find(connection: &Connection, id: i64) -> Result<WaitingBatch, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM batches b JOIN agents a ON a.id = b.agent WHERE b.id = ? AND b.state <> 'stored'"
    );
    found(connection.prepare_cached(&sql)?.query_row([id], waiting).optional()?, "batch")
}

fn whole_batch(connection: &Connection, id: i64) -> Result<(Signed, Vec<PublicKey>), Error> {
    let mut query = connection.prepare_cached(
        "SELECT b.header, b.signature, b.payload, a.signing_key, a.id FROM batches b JOIN agents a ON a.id = b.agent
         WHERE b.id = ? AND b.state <> 'stored' AND b.payload IS NOT NULL",
    )?;
    let row = query.query_row([id], |row| {
        let signed = Signed { header: row.get(0)?, signature: Signature(row.get(1)?), payload: row.get(2)? };
        Ok((signed, row.get::<_, [u8; 32]>(3)?, row.get(4)?))
    });
    let (signed, key, agent) = found(row.optional()?, "batch")?;
    let mut signers = vec![PublicKey::from_bytes(key).map_err(|_| Error::Damaged { what: "agent" })?];
    signers.extend(agents::earlier_keys(connection, agent)?);
    Ok((signed, signers))
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<WaitingBatch> {
    Ok(WaitingBatch {
        id: row.get(0)?,
        agent: AgentId::from_bytes(row.get(1)?),
        epoch: counted(row, 2)?,
        first: counted(row, 3)?,
        last: counted(row, 4)?,
        state: row.get(5)?,
        reason: row.get(6)?,
        received_at: UnixMillis(row.get(7)?),
        prev: hex(&row.get::<_, Vec<u8>>(8)?),
        head: hex(&row.get::<_, Vec<u8>>(9)?),
        bytes: counted(row, 10)?,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
