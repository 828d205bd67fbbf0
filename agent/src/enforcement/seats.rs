//! Machines and their floating users, as handlers ask for them. Questions are answered from memory; what changes
//! something goes to the one writer.

use super::writer::{Command, SeatCommand};
use super::{Enforcement, State};
use crate::journal::AppendError;
use sitewarden_protocol::fingerprint::Parts;
use sitewarden_protocol::id::{ActivationId, SiteId};
use sitewarden_protocol::license::License;
use sitewarden_protocol::license::seats::{Machines, Refusal, Scene};
use sitewarden_protocol::time::UnixMillis;
use tokio::sync::oneshot;

/// A machine that asks for an activation.
#[derive(Debug, Clone)]
pub struct NewMachine {
    /// Its parts, at least one.
    pub hardware: Parts,
    /// Its name.
    pub name: String,
    /// The app's version.
    pub app_version: String,
}

/// A machine says how many users it has.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Its activation.
    pub activation: ActivationId,
    /// Its users.
    pub users: u32,
    /// How often each feature was used since the heartbeat before; `None` if this is no heartbeat.
    pub features: Option<Vec<(String, u64)>>,
}

/// A machine does not get what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeatError {
    /// No licence of this site has the key.
    #[error("The provided license key is invalid")]
    UnknownKey,
    /// The rules do not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is allowed, and could not be made durable.
    #[error(transparent)]
    Journal(#[from] AppendError),
}

impl State {
    /// The licence with this key.
    pub fn licensed(&self, key: &str) -> Option<&License> {
        find(&self.licenses, self.snapshot.site, key)
    }

    /// What decisions about the users of an app's licences depend on at `now`.
    pub fn scene(&self, app: &str, now: UnixMillis) -> Scene<'_> {
        Scene {
            circumstances: self.circumstances(now),
            used: self.used(app),
            machines: &self.machines,
            listening_since: self.listening_since,
        }
    }

    /// A licence's users at `now`.
    pub fn users(&self, license: &License, now: UnixMillis) -> u32 {
        self.scene(&license.app, now).users(license)
    }
}

impl Enforcement {
    /// Activates a machine under the licence with this key; the same hardware has the same activation.
    ///
    /// # Errors
    /// See [`SeatError`].
    pub async fn activate_machine(
        &self,
        key: String,
        machine: NewMachine,
        random: [u8; 10],
    ) -> Result<(ActivationId, License), SeatError> {
        self.seats(|answer| SeatCommand::Activate { key, machine, random, answer }).await
    }

    /// Takes a machine's word on how many users it has, if there is room for them.
    ///
    /// # Errors
    /// See [`SeatError`]; the machine keeps what it had.
    pub async fn claim(&self, key: String, claim: Claim) -> Result<(), SeatError> {
        self.seats(|answer| SeatCommand::Claim { key, claim, answer }).await
    }

    /// Ends the activation of a machine. Without a key it is the operator who forgets it.
    ///
    /// # Errors
    /// See [`SeatError`].
    pub async fn deactivate_machine(
        &self,
        key: Option<String>,
        activation: ActivationId,
        reason: String,
    ) -> Result<(), SeatError> {
        self.seats(|answer| SeatCommand::Deactivate { key, activation, reason, answer }).await
    }

    /// Takes a machine's users away, so that others may claim them; answers how many there were.
    ///
    /// # Errors
    /// See [`SeatError`].
    pub async fn release_users(&self, activation: ActivationId, by: String) -> Result<u32, SeatError> {
        self.seats(|answer| SeatCommand::Release { activation, by, answer }).await
    }

    async fn seats<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, SeatError>>) -> SeatCommand,
    ) -> Result<T, SeatError> {
        self.ask(|answer| Command::Seats(command(answer))).await.unwrap_or(Err(AppendError::Failed.into()))
    }
}

pub(super) fn find<'a>(licenses: &'a [License], site: SiteId, key: &str) -> Option<&'a License> {
    licenses.iter().find(|license| license.key.matches(site, key))
}

/// Machines behind a pointer, so that whoever reads the state shares them with who changes it.
pub(super) mod shared {
    use super::Machines;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub(in super::super) fn serialize<S: Serializer>(
        machines: &Arc<Machines>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        machines.as_ref().serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Machines>, D::Error> {
        Machines::deserialize(deserializer).map(Arc::new)
    }
}
