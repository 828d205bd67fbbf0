//! Sessions with agents, over QUIC and over HTTPS.
//!
//! Always true: whoever is in a session has shown a certificate of this hub's authority, for the key that the store has
//! for that agent now; every connection, frame, buffer and wait has a bound; what is refused is counted under a fixed
//! reason and logged in one line.

mod carrier;
mod doors;
mod ending;
mod entrance;
mod file;
mod frames;
mod https;
mod pipeline;
mod quic;
mod registry;
mod session;
mod signer;

pub(crate) use doors::Doors;
pub(crate) use ending::Ending;
pub(crate) use file::carried;
pub(crate) use https::{Https, Refused};
pub use quic::Error;
pub(crate) use quic::{Endpoint, Listener, SyncConfig, server_config};
pub(crate) use registry::Registry;
pub(crate) use session::Peer;
pub(crate) use signer::{Addressee, Signer, Voice};

use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::renewal::Renewals;
use crate::store::{self, AgentStatus, SnapshotParts, Standing, Store};
use frames::Budget;
use sitewarden_certs::peer::KeyId;
use sitewarden_protocol::chain::Cursor;
use sitewarden_protocol::clearance::Clearance;
use sitewarden_protocol::id::{AgentId, SiteId};
use sitewarden_protocol::message::{Activate, ActivationOutcome, Hello, LiveStatus};
use sitewarden_protocol::sync::hub::Closing;
use std::{
    error::Error as StdError,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long a look-up may take; the agent is told to try again after it.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a typed key may take. Well below the 10 s that an agent waits: somebody stands there, and is to hear that the
/// site has to decide by itself.
const ACTIVATION_TIMEOUT: Duration = Duration::from_secs(4);

/// Between two lines about handshakes that strangers fail.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What sessions stand on.
#[derive(Debug)]
pub(crate) struct Backing {
    store: Store,
    signer: Arc<Signer>,
    ingest: Arc<Ingest>,
    renewals: Arc<Renewals>,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    budget: Budget,
    handshakes_logged: Throttle,
}

/// Lets one line a while into the log; the metrics count every one.
#[derive(Debug, Default)]
struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    fn may_log(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

impl Backing {
    pub(crate) fn new(
        store: Store,
        signer: Arc<Signer>,
        ingest: Ingest,
        renewals: Arc<Renewals>,
        metrics: Arc<Metrics>,
        registry: Arc<Registry>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            signer,
            ingest: Arc::new(ingest),
            renewals,
            metrics,
            registry,
            budget: Budget::new(),
            handshakes_logged: Throttle::default(),
        })
    }

    /// How an agent stands; revoked or unknown is an ending.
    async fn standing(&self, agent: AgentId) -> Result<Standing, Ending> {
        match within(self.store.agent_standing(agent)).await? {
            Some(standing) if standing.status == AgentStatus::Active => Ok(standing),
            Some(_) => Err(Ending::Closed(Closing::Revoked)),
            None => Err(Ending::Unknown),
        }
    }

    async fn cursors(&self, agent: AgentId, epochs: &[u64]) -> Result<Vec<Cursor>, Ending> {
        within(self.store.cursors(agent, epochs)).await
    }

    /// What an administrator said to an agent whose newest epoch this is, and what it has not carried out yet.
    async fn clearance(&self, agent: AgentId, newest: u64) -> Result<Option<Clearance>, Ending> {
        within(self.store.clearance(agent, newest)).await
    }

    async fn snapshot_parts(&self, site: SiteId) -> Result<SnapshotParts, Ending> {
        within(self.store.snapshot_of(site)).await
    }

    /// Keeps with what an agent came: agents that rely on an old key are known by it.
    async fn saw(&self, hello: &Hello, issuer: Option<KeyId>) -> Result<(), Ending> {
        within(self.store.saw_agent_with(hello.agent, issuer, hello.newest_version)).await
    }

    /// Keeps what an agent says when it comes, and answers which red flags that raised.
    async fn greet(&self, hello: &Hello, address: IpAddr) -> Result<Vec<&'static str>, Ending> {
        within(self.store.greet_agent(crate::wall_clock(), hello, address)).await
    }

    /// Activates the licence with a key that was typed at the agent's site. What goes wrong here costs the agent an
    /// answer, not its session.
    async fn activate(&self, agent: AgentId, ask: Activate) -> ActivationOutcome {
        let activating = self.store.activate_at_site(crate::wall_clock(), agent, ask);
        match before(ACTIVATION_TIMEOUT, activating).await {
            Ok(Ok(license)) => ActivationOutcome::Activated(license.uuid),
            Ok(Err(refused)) => ActivationOutcome::Refused(refused),
            Err(_) => ActivationOutcome::Unavailable,
        }
    }

    /// `boot` is of the machine's start; `None` if the word comes from a file.
    async fn report(&self, agent: AgentId, boot: Option<[u8; 16]>, live: LiveStatus) -> Result<(), Ending> {
        let now = crate::wall_clock();
        match boot {
            Some(boot) => within(self.store.report_status(agent, now, boot, live)).await,
            None => within(self.store.report_carried(agent, now, live)).await,
        }
    }
}

/// The whole chain of a failure goes to the log here; the session only learns that it was the hub's.
async fn within<T>(operation: impl Future<Output = Result<T, store::Error>>) -> Result<T, Ending> {
    before(STORE_TIMEOUT, operation).await
}

async fn before<T>(limit: Duration, operation: impl Future<Output = Result<T, store::Error>>) -> Result<T, Ending> {
    let failed = |error: &(dyn StdError + 'static)| {
        tracing::error!(error, "a session could not use the store");
        Ending::Hub
    };
    match timeout(limit, operation).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(&error)),
        Err(late) => Err(failed(&late)),
    }
}
