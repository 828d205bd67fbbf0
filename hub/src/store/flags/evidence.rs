//! The two halves of a fork: what an agent signed twice under the same numbers.

use super::find;
use crate::store::{
    Store, agents, counted,
    error::{Error, found},
    ingest::stored_records,
    whole,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sitewarden_protocol::{
    batch,
    id::AgentId,
    signing::{PublicKey, Signature},
};

/// The most stored batches that are shown beside a forked one: it cannot reach over more if they were full.
const MAX_STORED: i64 = 8;

/// A batch whose records are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHalf {
    /// The signed header.
    pub header: Vec<u8>,
    /// The agent's signature over it.
    pub signature: Signature,
    /// The records that it stands for, as they came.
    pub records: Vec<Vec<u8>>,
}

/// What proves a fork.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkEvidence {
    /// Whose.
    pub agent: AgentId,
    /// What both halves are signed with.
    pub signing_key: PublicKey,
    /// What is stored around the numbers of the other half, oldest first.
    pub stored: Vec<StoredHalf>,
    /// The batch that tells another history, whole.
    pub fork: batch::Signed,
}

impl Store {
    /// What proves the fork that a flag is about.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the flag, or if it is about something else than a fork.
    pub async fn fork_evidence(&self, flag: i64) -> Result<ForkEvidence, Error> {
        self.read(move |connection| {
            let flag = find(connection, flag)?;
            let epoch = flag.details["epoch"].as_u64().filter(|_| flag.kind == "fork");
            let (id, epoch) = found(flag.agent.zip(epoch), "fork under this flag")?;
            let (agent, signing_key) = connection
                .prepare_cached("SELECT id, signing_key FROM agents WHERE uuid = ?")?
                .query_row([id.as_bytes()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?)))?;
            let (fork, first, last) = found(forked(connection, agent, epoch)?, "fork under this flag")?;
            let mut keys = vec![PublicKey::from_bytes(signing_key).map_err(|_| Error::Damaged { what: "agent" })?];
            keys.extend(agents::earlier_keys(connection, agent)?);
            // The one that the agent had then.
            let signer = keys.iter().find(|key| fork.verify(key).is_ok()).or(keys.first()).copied();
            Ok(ForkEvidence {
                agent: id,
                signing_key: found(signer, "key of this agent")?,
                stored: stored(connection, agent, epoch, (first, last))?,
                fork,
            })
        })
        .await
    }
}

/// The first forked batch that was kept of an epoch, and its numbers.
fn forked(connection: &Connection, agent: i64, epoch: u64) -> Result<Option<(batch::Signed, i64, i64)>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT header, signature, payload, first, last FROM batches
         WHERE agent = ? AND epoch = ? AND state = 'fork' ORDER BY id LIMIT 1",
    )?;
    let row = query.query_row(params![agent, whole(epoch)], |row| {
        let signed = batch::Signed { header: row.get(0)?, signature: signature(row)?, payload: row.get(2)? };
        Ok((signed, row.get(3)?, row.get(4)?))
    });
    Ok(row.optional()?)
}

/// The stored batches that reach into these numbers, or end right before them.
fn stored(
    connection: &Connection,
    agent: i64,
    epoch: u64,
    (first, last): (i64, i64),
) -> Result<Vec<StoredHalf>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT header, signature, first, last FROM batches
         WHERE agent = ? AND epoch = ? AND state = 'stored' AND last >= ? AND first <= ? ORDER BY last LIMIT ?",
    )?;
    let mut rows = query.query(params![agent, whole(epoch), first - 1, last, MAX_STORED])?;
    let mut halves = Vec::new();
    while let Some(row) = rows.next()? {
        let numbers = (counted(row, 2)?, counted(row, 3)?);
        halves.push(StoredHalf {
            header: row.get(0)?,
            signature: signature(row)?,
            records: stored_records(connection, agent, epoch, numbers)?,
        });
    }
    Ok(halves)
}

fn signature(row: &Row<'_>) -> rusqlite::Result<Signature> {
    row.get(1).map(Signature)
}
