//! Bundles: what agents without a line send in files, and what goes back to them.
//!
//! Always true: a file's messages take the way of a line's, through the same session, the same verification and the same
//! writer, and what that session would send is the reply. So a file that comes twice, late, out of order, cut or altered is
//! what repeated, late and lost messages are on a line: harmless. Nothing of a file is believed that its agent's key has not
//! signed, and no more of it is in memory than a line would hold.

mod export;
mod file;
mod import;
mod reply;
#[cfg(test)]
pub(crate) mod testing;
mod upload;

pub(crate) use upload::Upload;

use crate::http::Enrolment;
use crate::keys::{Authorities, Keys, SealingKeys};
use crate::store::{self, Store};
use crate::sync::{Backing, Ending, Signer};
use sitewarden_protocol::id::{AgentId, SiteId};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Imports at the same time: each takes a core to verify and its turn at the writer.
const IMPORTS: usize = 2;
/// How long the sender of a file may take for its next bytes; people pull sticks.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the session behind a file may take to end when all was handed to it.
const SESSION_TIMEOUT: Duration = Duration::from_secs(120);

/// What bundles are taken in and made with.
#[derive(Clone)]
pub(crate) struct Bundles(Arc<Parts>);

/// Its parts.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) backing: Arc<Backing>,
    pub(crate) signer: Arc<Signer>,
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) enrolment: Arc<Enrolment>,
    pub(crate) sealing: Arc<SealingKeys>,
    pub(crate) imports: Semaphore,
}

impl Parts {
    pub(crate) fn new(
        keys: &Keys,
        store: &Store,
        backing: Arc<Backing>,
        signer: Arc<Signer>,
        enrolment: Arc<Enrolment>,
    ) -> Self {
        let (authorities, sealing) = (Arc::clone(&keys.authorities), Arc::clone(&keys.sealing));
        let imports = Semaphore::new(IMPORTS);
        Self { store: store.clone(), backing, signer, authorities, enrolment, sealing, imports }
    }
}

/// Why a file is not taken, or none can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Two are taken in already.
    #[error("two bundles are being imported already; wait for their end")]
    Busy,
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] sitewarden_protocol::bundle::Error),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] sitewarden_protocol::bundle::Failed),
    /// It is for others.
    #[error("{0}")]
    NotForHere(String),
    /// It ends before anything could be used.
    #[error("the file is cut before its first message; carry it again")]
    Empty,
    /// Its sender is not known.
    #[error("this hub knows no agent {0}; the bundle is for another hub, or the agent was removed")]
    UnknownAgent(AgentId),
    /// Its sender signs with another key.
    #[error("agent {0} signs with another key; the bundle was made by a copy, or before it was enrolled again")]
    OtherKey(AgentId),
    /// A site has none, or several.
    #[error("site {site} has {count} active agents; name one with --agent")]
    Agents {
        /// The site.
        site: SiteId,
        /// How many.
        count: usize,
    },
    /// What was handed in broke off.
    #[error("the file did not come: {0}")]
    Upload(String),
    /// The session behind the file ended before it was through.
    #[error("the bundle was taken up to here, and no further: {0}")]
    Session(Ending),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The system's randomness failed.
    #[error("no random numbers could be had")]
    Random(#[from] getrandom::Error),
    /// No certificate for the hub's own signing key.
    #[error("no certificate could be made")]
    Authority(#[from] sitewarden_certs::authority::Error),
    /// The hub's own fault.
    #[error("the hub could not do that; its log says why")]
    Internal,
}

impl Bundles {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// A place for one import.
    pub(crate) fn admit(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.0.imports.try_acquire().map_err(|_| Error::Busy)
    }
}

impl std::fmt::Debug for Bundles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bundles")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
