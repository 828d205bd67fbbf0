//! Agents: who they are, whether they are trusted, and how they stand.

mod again;
mod clear;
pub(super) mod fingerprint;
mod greet;
mod read;
mod renew;
mod revoke;

pub(super) use again::{NewKeys, earlier_keys, enrol_again, has_again, has_had};
pub use renew::RenewedBy;
pub use revoke::Revocation;

use super::{Act, Scope, Store, audit, counted, error::Error, error::found, webhooks, whole};
use read::{agent, epochs, status_by_name};
use rusqlite::{OptionalExtension, params};
use schemars::JsonSchema;
use serde::Serialize;
use sitewarden_protocol::{
    chain::{Chain, Cursor, Position},
    codec,
    id::{AgentId, SiteId},
    message::LiveStatus,
    signing::PublicKey,
    time::UnixMillis,
};

/// The longest name of an agent, characters.
const MAX_NAME: usize = 64;

/// Whether an agent is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// It is.
    Active,
    /// Not any more.
    Revoked,
}

/// What decides whether an agent is let in, and its batches are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its site.
    pub site: SiteId,
    /// What its batches are verified with.
    pub signing_key: PublicKey,
    /// Keys that it had before it was enrolled again, the last first.
    pub earlier_keys: Vec<PublicKey>,
    /// SHA-256 of its TLS key's SubjectPublicKeyInfo.
    pub key_digest: [u8; 32],
    /// Whether it is trusted.
    pub status: AgentStatus,
}

/// An agent, and what it last said of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agent {
    /// Which.
    pub id: AgentId,
    /// Its site.
    pub site: SiteId,
    /// Whether it is trusted.
    pub status: AgentStatus,
    /// The machine's name.
    pub hostname: String,
    /// The program's version.
    pub program: String,
    /// What its batches are verified with.
    pub signing_key: PublicKey,
    /// Since when.
    pub enrolled_at: UnixMillis,
    /// Since when it has its present key, if it was enrolled again.
    pub enrolled_again_at: Option<UnixMillis>,
    /// Until when, if it is not trusted any more.
    pub revoked_at: Option<UnixMillis>,
    /// Why, if somebody said so.
    pub revoke_reason: Option<String>,
    /// The first record that is not believed any more, as `epoch:number`; `None` if all that it sends later is not.
    pub revoked_from: Option<String>,
    /// When it last said anything.
    pub last_seen: Option<UnixMillis>,
    /// From where.
    pub address: Option<String>,
    /// Records that are here.
    pub records_received: u64,
    /// Records that it declared lost.
    pub records_lost: u64,
    /// Reports that the agent refused because its quota or disk was full.
    pub records_dropped: u64,
    /// Grows with every edit; not with what it reports.
    pub revision: i64,
    /// What it last said of itself.
    #[serde(skip)]
    pub live: Option<LiveStatus>,
}

/// One life of an agent's journal, as far as it is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EpochState {
    /// Which.
    pub epoch: u64,
    /// The last record that is here, or was declared lost or set aside.
    pub through: u64,
    /// Records that are here.
    pub records: u64,
    /// Records that were declared lost.
    pub lost: u64,
    /// When its last batch arrived.
    pub moved: UnixMillis,
}

/// An agent and its epochs, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentPage {
    /// The agent.
    pub agent: Agent,
    /// Its epochs, newest first; at most [`super::MAX_PAGE`].
    pub epochs: Vec<EpochState>,
}

impl Standing {
    /// Whatever may have signed what the agent sends: its present key, then those before.
    pub fn signers(&self) -> Vec<PublicKey> {
        std::iter::once(self.signing_key).chain(self.earlier_keys.iter().copied()).collect()
    }
}

impl Store {
    /// What decides about an agent; `None` if it is not known.
    ///
    /// # Errors
    /// What the database says.
    pub async fn agent_standing(&self, id: AgentId) -> Result<Option<Standing>, Error> {
        self.read(move |connection| {
            let mut query = connection
                .prepare_cached("SELECT site, signing_key, tls_key, status, id FROM agents WHERE uuid = ?")?;
            let mut rows = query.query([id.as_bytes()])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(Some(Standing {
                site: SiteId::from_bytes(row.get(0)?),
                signing_key: PublicKey::from_bytes(row.get(1)?).map_err(|_| Error::Damaged { what: "agent" })?,
                earlier_keys: earlier_keys(connection, row.get(4)?)?,
                key_digest: row.get(2)?,
                status: status_by_name(row.get_ref(3)?)?,
            }))
        })
        .await
    }

    /// How far the hub is in each of these epochs; those that it does not know are left out.
    ///
    /// # Errors
    /// What the database says.
    pub async fn cursors(&self, id: AgentId, of: &[u64]) -> Result<Vec<Cursor>, Error> {
        let of = of.to_vec();
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT e.through, e.chain FROM agent_epochs e JOIN agents a ON a.id = e.agent
                 WHERE a.uuid = ? AND e.epoch = ?",
            )?;
            let mut cursors = Vec::new();
            for epoch in of {
                let row =
                    query.query_row(params![id.as_bytes(), whole(epoch)], |row| Ok((counted(row, 0)?, row.get(1)?)));
                if let Some((seq, chain)) = row.optional()? {
                    cursors.push(Cursor { position: Position { epoch, seq }, chain: Chain::from_bytes(chain) });
                }
            }
            Ok(cursors)
        })
        .await
    }

    /// Keeps what an agent says of itself while it is connected; `boot` is of the hello. One that is not known is ignored.
    ///
    /// # Errors
    /// What the database says.
    pub async fn report_status(
        &self,
        id: AgentId,
        now: UnixMillis,
        boot: [u8; 16],
        live: LiveStatus,
    ) -> Result<(), Error> {
        self.write(move |tx| {
            tx.prepare_cached(
                "UPDATE agents SET last_seen = max(coalesce(last_seen, ?1), ?1), live_status = ?2 WHERE uuid = ?3",
            )?
            .execute(params![now.0, codec::encode(&live), id.as_bytes()])?;
            webhooks::agent_seen(tx, now, id)?;
            webhooks::monitors_reported(tx, now, id, &live.quotas)?;
            greet::still_here(tx, id, boot, now)?;
            greet::check_side_by_side(tx, id, boot, now)?;
            greet::had(tx, id, live.snapshot)
        })
        .await
    }

    /// Calls an agent by another name than it came with, 1 to `MAX_NAME` characters.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], or [`Error::Invalid`] for the name.
    pub async fn rename_agent(&self, act: &Act, id: AgentId, name: &str) -> Result<Agent, Error> {
        let name = name.trim().to_owned();
        if !(1..=MAX_NAME).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(Error::Invalid { what: "name", allowed: "1 to 64 characters without control characters" });
        }
        let act = act.clone();
        self.write(move |tx| {
            let before = found(agent(tx, id)?, "agent")?;
            act.check_seen(before.revision)?;
            if name == before.hostname {
                return Ok(before);
            }
            tx.prepare_cached("UPDATE agents SET hostname = ?, revision = revision + 1 WHERE uuid = ?")?
                .execute(params![name, id.as_bytes()])?;
            let after = found(agent(tx, id)?, "agent")?;
            let (old, new) = (serde_json::json!(before), serde_json::json!(after));
            audit::write(tx, &act, "agent.edit", &format!("agent {id}"), Some(&old), Some(&new))?;
            Ok(after)
        })
        .await
    }

    /// Keeps what an agent said of itself in a file, if it is newer than what is known.
    ///
    /// # Errors
    /// What the database says.
    pub async fn report_carried(&self, id: AgentId, now: UnixMillis, live: LiveStatus) -> Result<(), Error> {
        self.write(move |tx| {
            let Some(known) = agent(tx, id)? else { return Ok(()) };
            if known.live.is_some_and(|known| known.at >= live.at) {
                return Ok(());
            }
            // By the site's clock, which may be ahead; it was not seen after now.
            let seen = live.at.min(now);
            tx.prepare_cached(
                "UPDATE agents SET last_seen = max(coalesce(last_seen, ?1), ?1), live_status = ?2 WHERE uuid = ?3",
            )?
            .execute(params![seen.0, codec::encode(&live), id.as_bytes()])?;
            greet::had(tx, id, live.snapshot)
        })
        .await
    }

    /// Agents in the order of their ids, after one of them; of one site, if given.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_agents(
        &self,
        scope: Scope,
        site: Option<SiteId>,
        after: Option<AgentId>,
        limit: usize,
    ) -> Result<Vec<Agent>, Error> {
        self.read(move |connection| read::list(connection, scope, site, after, limit)).await
    }

    /// One agent and its epochs.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_agent(&self, id: AgentId) -> Result<AgentPage, Error> {
        self.read(move |connection| {
            let agent = found(agent(connection, id)?, "agent")?;
            Ok(AgentPage { agent, epochs: epochs(connection, id)? })
        })
        .await
    }

    /// How many records of an agent are here.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn count_records(&self, id: AgentId) -> Result<u64, Error> {
        self.read(move |connection| Ok(found(agent(connection, id)?, "agent")?.records_received)).await
    }
}
