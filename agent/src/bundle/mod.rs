//! Bundles: what goes to the hub and comes back from it in files, where there is no line.
//!
//! Always true: the agent's own process reads the journal and signs; the command line carries the bytes between its socket
//! and the files, so that the agent needs no right on anybody's USB stick. An export holds what the hub has not confirmed,
//! and changes nothing here; importing the same twice, or an old one, changes nothing either. One export at a time, and
//! one batch of it in memory.

mod export;
mod import;
mod mark;
pub mod offline;
mod stream;
mod time;

pub use export::{ExportRequest, MIN_SPLIT, Start};
pub use import::{MAX_FILE, Outcome};
pub use mark::Mark;
pub use stream::{Chunk, Chunks, Exported, PartDone};

use crate::anonymity::Switches;
use crate::clock::Clock;
use crate::enforcement::Enforcement;
use crate::folder::Folder;
use crate::identity::Names;
use crate::journal::Journal;
use crate::sync::Line;
use sitewarden_protocol::bundle::Party;
use sitewarden_protocol::signing::{PrivateKey, PublicKey};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What bundles are made of; clones are the same.
#[derive(Clone)]
pub struct Bundles(Arc<Inner>);

struct Inner {
    parts: Parts,
    running: Arc<Semaphore>,
}

/// What an agent that serves has for its bundles.
pub struct Parts {
    /// The data folder.
    pub folder: Folder,
    /// Who this agent is.
    pub names: Arc<Names>,
    /// Signs batches and bundles, and opens what is sealed to this agent.
    pub signing_key: Arc<PrivateKey>,
    /// What time it is for licences.
    pub clock: Clock,
    /// What is to be exported.
    pub journal: Journal,
    /// What the hub said last.
    pub enforcement: Enforcement,
    /// Takes what the hub says in a bundle.
    pub line: Line,
    /// Whether batches are sealed by themselves too.
    pub switches: Arc<Switches>,
    /// Nothing ever comes back from the hub.
    pub one_way: bool,
}

/// A bundle cannot be made or taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One at a time.
    #[error("an export runs already; wait for its end")]
    Busy,
    /// There would be more parts than anybody carries.
    #[error("the parts are too small: {0} were not enough; give a larger --split")]
    TooManyParts(u32),
    /// The journal cannot be read.
    #[error("the journal cannot be read: {0}")]
    Journal(String),
    /// A file of the state folder cannot be used.
    #[error(transparent)]
    File(#[from] sitewarden_certs::secret_file::Error),
    /// A piece cannot be written.
    #[error(transparent)]
    Write(#[from] sitewarden_protocol::bundle::Failed),
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] sitewarden_protocol::bundle::Error),
    /// It is of no use here.
    #[error("{0}")]
    NotForHere(String),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
    /// Whoever asked for it has gone.
    #[error("nobody takes the export any more")]
    Abandoned,
}

impl Bundles {
    /// Bundles of an agent that serves.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, running: Arc::new(Semaphore::new(1)) }))
    }

    fn parts(&self) -> &Parts {
        &self.0.parts
    }
}

impl Parts {
    fn party(&self) -> Party {
        Party::Agent { agent: self.names.agent, key: self.signing_key.public() }
    }

    /// Keys whose word counts: those of the snapshot in force, and of the enrolment.
    fn trusted(&self) -> Vec<PublicKey> {
        let mut trusted = self.enforcement.state().snapshot.trust.signing_keys.clone();
        trusted
            .extend(self.names.signing_keys.iter().filter(|key| !trusted.contains(key)).copied().collect::<Vec<_>>());
        trusted
    }
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
