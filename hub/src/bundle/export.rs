//! Making a file for a site that has sent none: what a session would say to its agent right after the hello.

use super::import::listen;
use super::reply::Reply;
use super::{Bundles, Error, Parts, SESSION_TIMEOUT};
use crate::store::{Act, AgentStatus, BundleRow, Direction, Scope, Standing};
use crate::sync::{Peer, carried};
use sitewarden_protocol::{
    bundle::Content,
    chain::{Chain, Cursor, Position},
    frame,
    id::{AgentId, SiteId},
    message::{EpochExtent, Hello, MAX_EPOCHS, NEWEST_VERSION, OLDEST_VERSION, ToHub},
    snapshot::Version,
};
use std::sync::Arc;
use tokio::{io::AsyncWriteExt, time::timeout};

/// What the pipe to the session holds: one hello.
const PIPE: usize = 64 << 10;
/// Agents of one site that are looked at.
const MAX_AGENTS: usize = 100;

impl Bundles {
    /// A file for a site's agent: its receipts, the newest snapshot, and whatever else it would hear.
    pub(crate) async fn export(&self, act: &Act, site: SiteId, agent: Option<AgentId>) -> Result<Vec<u8>, Error> {
        let agent = match agent {
            Some(agent) => agent,
            None => self.0.agent_of(site).await?,
        };
        let standing = self.0.store.agent_standing(agent).await?.ok_or(Error::UnknownAgent(agent))?;
        if standing.site != site {
            return Err(Error::NotForHere(format!("agent {agent} is of another site")));
        }
        let mut reply = self.0.greeting(agent, &standing).await?;
        if standing.status == AgentStatus::Revoked {
            reply.part();
        }
        self.0.sent(act, agent, &reply).await
    }
}

impl Parts {
    async fn agent_of(&self, site: SiteId) -> Result<AgentId, Error> {
        let agents = self.store.list_agents(Scope::default(), Some(site), None, MAX_AGENTS).await?;
        let active: Vec<_> = agents.iter().filter(|agent| agent.status == AgentStatus::Active).collect();
        match active.as_slice() {
            [one] => Ok(one.id),
            others => Err(Error::Agents { site, count: others.len() }),
        }
    }

    /// What a session says to an agent that has no snapshot and asks about all its epochs.
    async fn greeting(&self, agent: AgentId, standing: &Standing) -> Result<Reply, Error> {
        let known = self.store.show_agent(agent).await?.epochs;
        let extent = |epoch| EpochExtent {
            oldest: 1,
            head: Cursor { position: Position { epoch, seq: u64::MAX >> 1 }, chain: Chain::start(agent, epoch) },
        };
        let mut epochs: Vec<_> = known.iter().take(MAX_EPOCHS).map(|epoch| extent(epoch.epoch)).collect();
        epochs.reverse();
        let hello = Hello {
            oldest_version: OLDEST_VERSION,
            // Bundles came with the version that this is, so that whoever can read them reads this.
            newest_version: NEWEST_VERSION,
            agent,
            program: String::new(),
            boot_id: [0; 16],
            epochs,
            snapshot: Version::default(),
        };
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let session = tokio::spawn(carried(theirs, Peer::of_file(agent, standing), Arc::clone(&self.backing)));
        let (hears, mut says) = tokio::io::split(ours);
        let heard = tokio::spawn(listen(hears));
        // A session that is gone already says nothing, which is seen below.
        let _ = says.write_all(&frame::encode(&ToHub::Hello(hello).to_body())).await;
        let _ = says.shutdown().await;
        let ended = timeout(SESSION_TIMEOUT, session).await;
        drop(ended.map_err(|_| Error::Internal)?.map_err(|_| Error::Internal)?);
        let heard = timeout(SESSION_TIMEOUT, heard).await;
        Ok(heard.map_err(|_| Error::Internal)?.map_err(|_| Error::Internal)?.reply)
    }

    /// Puts a reply into a file, and notes it.
    pub(super) async fn sent(&self, act: &Act, agent: AgentId, reply: &Reply) -> Result<Vec<u8>, Error> {
        let standing = self.store.agent_standing(agent).await?.ok_or(Error::UnknownAgent(agent))?;
        let (bundle, file) = self.word(agent, &standing, reply)?;
        let row = BundleRow {
            bundle,
            part: 1,
            direction: Direction::Out,
            agent: Some(agent),
            content: Content::Word.name().to_owned(),
            digest: *blake3::hash(&file).as_bytes(),
            outcome: reply.summary(),
        };
        self.store.note_bundle(act, row).await?;
        Ok(file)
    }
}
