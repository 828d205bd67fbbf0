//! Who may run what on this site, decided from memory.
//!
//! Always true: handlers read one immutable [`State`] behind an atomic pointer; one task changes it. A change is a
//! record in the journal first: only when the record is on disk is the new state published and the caller answered.
//! After a restart the state is the last checkpoint plus the records since, so what was answered yes is never
//! forgotten, and quota and telemetry share their disk syncs.

mod checkpoint;
mod denials;
mod seats;
mod site;
mod writer;

pub use denials::{Asked, Denials, Ground};
pub use seats::{Claim, NewMachine, SeatError};
pub use site::{Denied, ReserveError, Reserved, ReservedSome, State};
pub use writer::{ActivateError, InstallError, OverrideError};

use crate::anonymity::Anonymity;
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::folder::Folder;
use crate::journal::{AppendError, Journal};
use arc_swap::ArcSwap;
use checkpoint::Checkpoint;
use site::Site;
use sitewarden_certs::secret_file;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::codec;
use sitewarden_protocol::license::License;
use sitewarden_protocol::record::Record;
use sitewarden_protocol::signing::PublicKey;
use sitewarden_protocol::snapshot::{self, Snapshot};
use sitewarden_protocol::time::UnixMillis;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use writer::{Command, Writer};

/// Changes that may wait for the one task that makes them. More wait in their callers.
const QUEUE: usize = 1_024;

/// A handle on the enforcement of this site; clones are the same.
#[derive(Clone)]
pub struct Enforcement {
    state: Arc<ArcSwap<State>>,
    commands: mpsc::Sender<Command>,
}

/// Enforcement cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file of the state folder cannot be read.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// The snapshot is damaged or not the hub's.
    #[error("state/snapshot.bin: {0}")]
    Snapshot(#[from] snapshot::Error),
    /// The checkpoint cannot be read.
    #[error("state/checkpoint.json: {0}")]
    Checkpoint(#[from] checkpoint::Error),
    /// The journal cannot be read.
    #[error("the journal: {0}")]
    Journal(#[from] crate::journal::StoreError),
}

/// The writer is gone: the agent is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent is stopping")]
pub struct Stopping;

/// The last acknowledged position that the agent remembers, from the checkpoint.
///
/// # Errors
/// If there is a checkpoint and it cannot be read.
pub fn remembered_acknowledgement(folder: &Folder) -> Result<Position, StartError> {
    Ok(Checkpoint::load(&folder.state(checkpoint::FILE))?.map(|checkpoint| checkpoint.acknowledged).unwrap_or_default())
}

/// The snapshot that was in force when the agent ended.
///
/// # Errors
/// If it cannot be read, or is not signed by a trusted key.
pub fn stored_snapshot(folder: &Folder, trusted: &[PublicKey]) -> Result<Snapshot, StartError> {
    let stored = secret_file::read(&folder.state("snapshot.bin"))?;
    let stored: snapshot::Signed = codec::decode(&stored).map_err(snapshot::Error::from)?;
    Ok(stored.verify(trusted)?)
}

impl Enforcement {
    /// Restores the state from checkpoint and journal, and starts the task that changes it. The second value ends when
    /// the last handle is gone and everything is written.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(
        folder: &Folder,
        (journal, anonymity): (Journal, Arc<Anonymity>),
        clock: Clock,
        snapshot: Snapshot,
        credentials: Arc<Credentials>,
    ) -> Result<(Self, tokio::task::JoinHandle<()>), StartError> {
        let checkpoint = Checkpoint::load(&folder.state(checkpoint::FILE))?.unwrap_or_default();
        let mut site = Site::restore(snapshot, checkpoint.derived);
        replay(&journal, checkpoint.through, &mut site)?;
        site.listen(clock.now());
        let state = Arc::new(ArcSwap::from_pointee(site.state()));
        let (commands, waiting) = mpsc::channel(QUEUE);
        let known = (checkpoint.through, checkpoint.acknowledged);
        let writer =
            Writer::new(folder.clone(), (journal, anonymity), clock, site, credentials, Arc::clone(&state), known);
        let task = tokio::spawn(writer.run(waiting));
        Ok((Self { state, commands }, task))
    }

    /// What is in force now.
    pub fn state(&self) -> arc_swap::Guard<Arc<State>> {
        self.state.load()
    }

    /// Reserves a monitor for an app; a monitor that is reserved already is reserved again.
    ///
    /// # Errors
    /// See [`ReserveError`].
    pub async fn reserve(&self, app: String, monitor: String) -> Result<Reserved, ReserveError> {
        self.ask(|answer| Command::Reserve { app, monitor, answer }).await.unwrap_or(Err(AppendError::Failed.into()))
    }

    /// Reserves several monitors for an app in one step: all or nothing, or as many as fit, in the order given.
    ///
    /// # Errors
    /// See [`ReserveError`]; a denial only where it is all or nothing.
    pub async fn reserve_some(
        &self,
        app: String,
        monitors: Vec<String>,
        all_or_nothing: bool,
    ) -> Result<ReservedSome, ReserveError> {
        let asked = self.ask(|answer| Command::ReserveSome { app, monitors, all_or_nothing, answer });
        asked.await.unwrap_or(Err(AppendError::Failed.into()))
    }

    /// Gives a monitor back; `false` if it was not reserved.
    ///
    /// # Errors
    /// If the journal does not take the record.
    pub async fn release(&self, app: String, monitor: String) -> Result<bool, AppendError> {
        self.ask(|answer| Command::Release { app, monitor, answer }).await.unwrap_or(Err(AppendError::Failed))
    }

    /// An app's monitors, sorted.
    ///
    /// # Errors
    /// [`Stopping`].
    pub async fn monitors(&self, app: String) -> Result<Vec<String>, Stopping> {
        self.ask(|answer| Command::List { app, answer }).await
    }

    /// Activates the licence with this key. `replace` gives up the licence that is in force for the same app.
    ///
    /// # Errors
    /// See [`ActivateError`].
    pub async fn activate(&self, key: String, replace: bool, by: String) -> Result<License, ActivateError> {
        self.ask(|answer| Command::Activate { key, replace, by, answer })
            .await
            .unwrap_or(Err(AppendError::Failed.into()))
    }

    /// Takes a snapshot if it is the hub's and newer; `false` if it is one that is in force already.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub async fn install(&self, signed: snapshot::Signed) -> Result<bool, InstallError> {
        self.ask(|answer| Command::Install { signed: Box::new(signed), answer })
            .await
            .unwrap_or(Err(InstallError::Stopping))
    }

    /// Begins an emergency override of `days`; answers when it ends.
    ///
    /// # Errors
    /// See [`OverrideError`].
    pub async fn begin_override(&self, days: u16, reason: String, by: String) -> Result<UnixMillis, OverrideError> {
        let asked = self.ask(|answer| Command::Override { days, reason, by, answer });
        asked.await.unwrap_or(Err(AppendError::Failed.into()))
    }

    /// Remembers what the hub has, with the next checkpoint.
    pub async fn acknowledged(&self, through: Position) {
        // When the agent is stopping there is nothing left to remember it; the hub will say it again.
        drop(self.commands.send(Command::Acknowledged { through }).await);
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Stopping> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| Stopping)?;
        answered.await.map_err(|_| Stopping)
    }
}

/// Applies the records since the checkpoint.
fn replay(journal: &Journal, through: Position, site: &mut Site) -> Result<(), StartError> {
    let mut after = through;
    while let Some(draft) = journal.read_after(after)? {
        after = draft.after.position;
        for bytes in draft.records.iter() {
            after.seq += 1;
            if let Ok(record) = Record::decode(bytes)
                && !journal.is_carried(after)
            {
                site.apply(&record);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
