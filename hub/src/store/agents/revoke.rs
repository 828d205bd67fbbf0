//! Withdrawing the trust in an agent: whose key was stolen, or who is not to come any more.

use super::{Agent, AgentStatus, read::agent};
use crate::store::{
    Act, Store, audit, counted,
    error::Error,
    error::found,
    flags::{self, NewFlag},
    sites, whole,
    writer::Tx,
};
use rusqlite::params;
use serde_json::json;
use sitewarden_protocol::{chain::Position, id::AgentId};

/// Why the activations of a revoked agent are over.
pub(super) const AGENT_REVOKED: &str = "its agent was revoked";
/// The most characters of a reason.
const MAX_REASON: usize = 1_000;

/// How far the trust is withdrawn, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocation {
    /// For those who read it later.
    pub reason: Option<String>,
    /// The first record that is not believed. What the agent signed before it is still taken in, however late it comes;
    /// `None` takes nothing more.
    pub from: Option<Position>,
}

impl Store {
    /// Withdraws the trust in an agent: its session ends, and what it signed from the given record on is set aside from now
    /// on. What of that is stored already stays, with a red flag that says how much. A repeat changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Changed`]; [`Error::Invalid`] for a reason that says nothing or too much.
    pub async fn revoke_agent(&self, act: &Act, id: AgentId, revocation: Revocation) -> Result<Agent, Error> {
        let (act, Revocation { reason, from }) = (act.clone(), revocation);
        let reason = reason.map(|reason| checked(&reason)).transpose()?;
        self.write(move |tx| {
            let before = found(agent(tx, id)?, "agent")?;
            act.check_seen(before.revision)?;
            if before.status == AgentStatus::Revoked {
                return Ok(before);
            }
            tx.prepare_cached(
                "UPDATE agents SET status = 'revoked', revoked_at = ?, revoke_reason = ?, revoked_from_epoch = ?,
                    revoked_from_seq = ?, revision = revision + 1 WHERE uuid = ?",
            )?
            .execute(params![
                act.at.0,
                reason,
                from.map(|from| whole(from.epoch)),
                from.map(|from| whole(from.seq)),
                id.as_bytes()
            ])?;
            if let Some(from) = from {
                flag_stored(tx, &act, &before, from)?;
            }
            // Their activations are in its journal: whoever comes after it knows of none of them.
            tx.prepare_cached(
                "UPDATE activations SET users = 0, deactivated_at = ?1, reason = ?3
                 WHERE agent = (SELECT id FROM agents WHERE uuid = ?2) AND deactivated_at IS NULL",
            )?
            .execute(params![act.at.0, id.as_bytes(), AGENT_REVOKED])?;
            let after = found(agent(tx, id)?, "agent")?;
            let (old, new) = (json!(before), json!(after));
            audit::write(tx, &act, "agent.revoke", &format!("agent {id}"), Some(&old), Some(&new))?;
            // The agent's session looks again at its standing when its site changes.
            sites::bump(tx, after.site)?;
            Ok(after)
        })
        .await
    }
}

/// Says how much of what is not believed any more was stored before.
fn flag_stored(tx: &Tx<'_>, act: &Act, agent: &Agent, from: Position) -> Result<(), Error> {
    let row: i64 = tx
        .prepare_cached("SELECT id FROM agents WHERE uuid = ?")?
        .query_row([agent.id.as_bytes()], |row| row.get(0))?;
    let stored: u64 = tx
        .prepare_cached("SELECT count(*) FROM records WHERE agent = ?1 AND (epoch > ?2 OR (epoch = ?2 AND seq >= ?3))")?
        .query_row(params![row, whole(from.epoch), whole(from.seq)], |row| counted(row, 0))?;
    if stored == 0 {
        return Ok(());
    }
    let details = json!({ "from": from.to_string(), "stored_before": stored });
    let flag =
        NewFlag { kind: "revoked", site: agent.site, agent: row, license: None, details: &details, observation: None };
    flags::raise(tx, act.at, &flag).map(drop)
}

fn checked(reason: &str) -> Result<String, Error> {
    let reason = reason.trim();
    let fits = !reason.is_empty() && reason.chars().count() <= MAX_REASON && !reason.chars().any(char::is_control);
    let invalid = Error::Invalid { what: "reason", allowed: "1 to 1000 characters, without control characters" };
    if fits { Ok(reason.to_owned()) } else { Err(invalid) }
}
