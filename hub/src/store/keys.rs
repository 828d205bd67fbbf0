//! What a change of the hub's keys means for sites and agents: snapshots name them, and some agents may still rely on the
//! one that is to go. The keys themselves are in files, not here.

use super::{Act, Scope, Store, audit, error::Error, sites};
use rusqlite::params;
use serde_json::json;
use sitewarden_certs::peer::KeyId;
use sitewarden_protocol::{id::AgentId, message::RENEWAL_SINCE, snapshot::SealingKey, time::UnixMillis};

/// A change of a key, as the audit log has it.
#[derive(Debug, Clone)]
pub struct KeyChange {
    /// Such as `signing_key.make`.
    pub action: &'static str,
    /// The key's number.
    pub number: u32,
    /// Its public half, or the fingerprint of its certificate.
    pub name: String,
}

/// Who would be cut off if the oldest key went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reliance {
    /// Agents in good standing that have not been seen with what follows.
    pub agents: u64,
    /// Enrolment tokens that are still good and name it.
    pub tokens: u64,
}

impl Reliance {
    /// Whether there is nobody.
    pub const fn is_none(self) -> bool {
        self.agents == 0 && self.tokens == 0
    }
}

impl Store {
    /// Has all sites told of a new sealing key, which must be on disk already, and notes who made it.
    ///
    /// # Errors
    /// What the database says. The sites then hear of it when their snapshots are signed anew, half a day later at most.
    pub async fn new_sealing_key(&self, act: &Act, key: SealingKey) -> Result<(), Error> {
        let name = key.public.iter().map(|byte| format!("{byte:02x}")).collect();
        self.key_changed(act, KeyChange { action: "sealing_key.make", number: key.id, name }).await
    }

    /// Has all sites told of a change of the hub's keys, which must be on disk already, and notes who made it.
    ///
    /// # Errors
    /// As [`Store::new_sealing_key`].
    pub async fn key_changed(&self, act: &Act, change: KeyChange) -> Result<(), Error> {
        let act = act.clone();
        self.write(move |tx| {
            let after = json!({ "public": change.name });
            audit::write(tx, &act, change.action, &change.number.to_string(), None, Some(&after))?;
            sites::bump_all(tx, Scope::default())
        })
        .await
    }

    /// Keeps which authority signed the certificate that an agent came with, and the newest protocol that it speaks.
    ///
    /// # Errors
    /// What the database says.
    pub async fn saw_agent_with(&self, id: AgentId, issuer: Option<KeyId>, protocol: u16) -> Result<(), Error> {
        self.write(move |tx| {
            tx.prepare_cached("UPDATE agents SET issuer = ?2, protocol = ?3 WHERE uuid = ?1")?.execute(params![
                id.as_bytes(),
                issuer,
                protocol
            ])?;
            Ok(())
        })
        .await
    }

    /// Who relies on an authority: agents that were last seen with a certificate of its key, or never, and tokens.
    ///
    /// # Errors
    /// What the database says.
    pub async fn reliance_on_authority(&self, now: UnixMillis, issuer: Option<KeyId>) -> Result<Reliance, Error> {
        self.read(move |connection| {
            let agents = connection
                .prepare_cached(
                    "SELECT count(*) FROM agents WHERE status = 'active' AND (issuer IS NULL OR issuer = ?)",
                )?
                .query_row([issuer], |row| super::counted(row, 0))?;
            let tokens = connection
                .prepare_cached("SELECT count(*) FROM enrolments WHERE used_at IS NULL AND expires_at > ?")?
                .query_row([now.0], |row| super::counted(row, 0))?;
            Ok(Reliance { agents, tokens })
        })
        .await
    }

    /// Who cannot follow the hub to its next signing key: agents that were last seen with a protocol of before that.
    ///
    /// # Errors
    /// What the database says.
    pub async fn reliance_on_signing_key(&self) -> Result<Reliance, Error> {
        self.read(move |connection| {
            let agents = connection
                .prepare_cached("SELECT count(*) FROM agents WHERE status = 'active' AND protocol < ?")?
                .query_row([RENEWAL_SINCE], |row| super::counted(row, 0))?;
            Ok(Reliance { agents, tokens: 0 })
        })
        .await
    }
}
