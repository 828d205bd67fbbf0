//! An administrator's word that an agent whose history forked may go on.

use super::{Agent, AgentStatus, read::agent};
use crate::store::{Act, Store, audit, counted, error::Error, error::found, flags, sites, whole, writer::Tx};
use rusqlite::{OptionalExtension, params};
use serde_json::json;
use sitewarden_protocol::{
    chain::{Chain, Cursor, Position},
    clearance::{Clearance, MAX_KNOWN},
    id::AgentId,
    time::UnixMillis,
};

/// An epoch that neither the hub has heard of, nor anybody was told to begin.
pub(super) fn fresh_epoch(tx: &Tx<'_>, id: AgentId) -> Result<i64, Error> {
    let mut query = tx.prepare_cached(
        "SELECT 1 + max(coalesce(a.cleared_epoch, 0), a.said_epoch,
            coalesce((SELECT max(epoch) FROM agent_epochs WHERE agent = a.id), 0),
            coalesce((SELECT max(epoch) FROM batches WHERE agent = a.id), 0))
         FROM agents a WHERE a.uuid = ?",
    )?;
    Ok(query.query_row([id.as_bytes()], |row| row.get(0))?)
}

impl Store {
    /// Lets an agent go on in a fresh epoch, and puts its open flags of a roll-back, copy or fork aside with this note. The
    /// agent's sessions are told.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Changed`]; [`Error::Conflict`] for one that was revoked; [`Error::Invalid`] for a note that says nothing
    /// or too much.
    pub async fn clear_agent(&self, act: &Act, id: AgentId, note: &str) -> Result<Agent, Error> {
        let (act, note) = (act.clone(), flags::checked_note(note)?);
        self.write(move |tx| {
            let before = found(agent(tx, id)?, "agent")?;
            act.check_seen(before.revision)?;
            if before.status == AgentStatus::Revoked {
                return Err(Error::Conflict { what: "revocation of this agent" });
            }
            let epoch = fresh_epoch(tx, id)?;
            tx.prepare_cached(
                "UPDATE agents SET cleared_epoch = ?, cleared_at = ?, revision = revision + 1 WHERE uuid = ?",
            )?
            .execute(params![epoch, act.at.0, id.as_bytes()])?;
            tx.prepare_cached(
                "UPDATE red_flags SET resolved_at = ?1, resolved_by = ?2, note = ?3
                 WHERE resolved_at IS NULL AND kind IN ('rollback', 'clone', 'fork')
                    AND agent = (SELECT id FROM agents WHERE uuid = ?4)",
            )?
            .execute(params![act.at.0, act.by, note, id.as_bytes()])?;
            let after = json!({ "epoch": epoch, "note": note });
            audit::write(tx, &act, "agent.clear", &format!("agent {id}"), None, Some(&after))?;
            sites::bump(tx, before.site)?;
            found(agent(tx, id)?, "agent")
        })
        .await
    }

    /// What the administrator last said to an agent whose newest epoch is `newest`; `None` if it is not about that any more.
    ///
    /// # Errors
    /// What the database says.
    pub async fn clearance(&self, id: AgentId, newest: u64) -> Result<Option<Clearance>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT id, cleared_epoch, cleared_at FROM agents WHERE uuid = ? AND cleared_epoch > ?",
            )?;
            let row = query.query_row(params![id.as_bytes(), whole(newest)], |row| {
                Ok((row.get::<_, i64>(0)?, counted(row, 1)?, UnixMillis(row.get(2)?)))
            });
            let Some((agent, epoch, at)) = row.optional()? else { return Ok(None) };
            let mut query = connection.prepare_cached(
                "SELECT epoch, last, head FROM batches WHERE agent = ? AND state = 'stored'
                 ORDER BY epoch DESC, last DESC LIMIT ?",
            )?;
            let known = query.query_map(params![agent, MAX_KNOWN as i64], |row| {
                let position = Position { epoch: counted(row, 0)?, seq: counted(row, 1)? };
                Ok(Cursor { position, chain: Chain::from_bytes(row.get(2)?) })
            })?;
            Ok(Some(Clearance { agent: id, epoch, known: known.collect::<Result<_, _>>()?, at }))
        })
        .await
    }
}
