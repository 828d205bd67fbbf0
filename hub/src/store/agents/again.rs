//! Another key for an agent that is known: whose key was stolen or lost, or whose machine is gone.
//!
//! Always true: the agent keeps its id, its history and what is known of its monitors and machines; what its new key signs
//! counts from a fresh epoch on, and what its earlier keys signed counts no more from the same moment on. The keys
//! themselves are kept, because what they signed is evidence.

use super::clear::fresh_epoch;
use super::read::agent;
use super::revoke::AGENT_REVOKED;
use crate::store::{
    Act, audit,
    error::{Error, found},
    sites,
    writer::Tx,
};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;
use sitewarden_protocol::{id::AgentId, signing::PublicKey, time::UnixMillis};

/// Earlier keys of one agent that are looked at, the last ones.
const MAX_EARLIER: i64 = 16;

/// What an agent comes with that is enrolled again.
pub(in crate::store) struct NewKeys<'a> {
    pub(in crate::store) signing_key: PublicKey,
    pub(in crate::store) tls_key: [u8; 32],
    pub(in crate::store) certificate: &'a [u8],
    pub(in crate::store) program: &'a str,
    pub(in crate::store) fingerprint: String,
}

/// The keys that an agent had before its present one, the last first.
pub(in crate::store) fn earlier_keys(connection: &Connection, agent: i64) -> Result<Vec<PublicKey>, Error> {
    let mut query =
        connection.prepare_cached("SELECT signing_key FROM agent_keys WHERE agent = ? ORDER BY until DESC LIMIT ?")?;
    let keys = query.query_map(params![agent, MAX_EARLIER], |row| row.get::<_, [u8; 32]>(0))?;
    keys.map(|key| PublicKey::from_bytes(key?).map_err(|_| Error::Damaged { what: "agent" })).collect()
}

/// Whether any agent has, or had, this key.
pub(in crate::store) fn has_had(tx: &Tx<'_>, key: &PublicKey) -> Result<bool, Error> {
    let mut query = tx.prepare_cached(
        "SELECT 1 FROM agents WHERE signing_key = ?1 UNION ALL SELECT 1 FROM agent_keys WHERE signing_key = ?1",
    )?;
    Ok(query.query_row([key.as_bytes()], |_| Ok(())).optional()?.is_some())
}

/// The agent's row, if it has this key since it was enrolled again.
pub(in crate::store) fn has_again(tx: &Tx<'_>, agent: AgentId, key: &PublicKey) -> Result<Option<i64>, Error> {
    let mut query =
        tx.prepare_cached("SELECT id FROM agents WHERE uuid = ? AND signing_key = ? AND key_epoch IS NOT NULL")?;
    Ok(query.query_row(params![agent.as_bytes(), key.as_bytes()], |row| row.get(0)).optional()?)
}

/// Gives an agent these keys in place of its own. Whoever still has those is cut off at once.
pub(in crate::store) fn enrol_again(tx: &Tx<'_>, now: UnixMillis, id: AgentId, new: &NewKeys<'_>) -> Result<(), Error> {
    let before = found(agent(tx, id)?, "agent")?;
    let epoch = fresh_epoch(tx, id)?;
    tx.prepare_cached(
        "INSERT INTO agent_keys (signing_key, agent, until) SELECT signing_key, id, ? FROM agents WHERE uuid = ?",
    )?
    .execute(params![now.0, id.as_bytes()])?;
    tx.prepare_cached(
        "UPDATE agents SET status = 'active', revoked_at = NULL, revoke_reason = NULL, revoked_from_epoch = NULL,
            revoked_from_seq = NULL, signing_key = ?2, tls_key = ?3, certificate = ?4, program = ?5, fingerprint = ?6,
            key_epoch = ?7, cleared_epoch = ?7, cleared_at = ?8, enrolled_again_at = ?8,
            revision = revision + 1
         WHERE uuid = ?1",
    )?
    .execute(params![
        id.as_bytes(),
        new.signing_key.as_bytes(),
        new.tls_key,
        new.certificate,
        new.program,
        new.fingerprint,
        epoch,
        now.0,
    ])?;
    // Its journal knows of them still; their users come back with their next heartbeat.
    tx.prepare_cached(
        "UPDATE activations SET deactivated_at = NULL, reason = NULL
         WHERE agent = (SELECT id FROM agents WHERE uuid = ?1) AND deactivated_at IS NOT NULL AND reason = ?2",
    )?
    .execute(params![id.as_bytes(), AGENT_REVOKED])?;
    let after = found(agent(tx, id)?, "agent")?;
    let (old, new) = (json!(before), json!({ "agent": after, "epoch": epoch }));
    audit::write(tx, &Act::agent(id, now), "agent.enrol_again", &format!("agent {id}"), Some(&old), Some(&new))?;
    // The agent's sessions look again at their standing when its site changes.
    sites::bump(tx, after.site)
}
