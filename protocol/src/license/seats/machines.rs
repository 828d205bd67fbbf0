//! The machines of a site, as their records tell.
//!
//! Always true: the same records in the same order come to the same machines, at the agent, in a replay and at the hub.

use crate::fingerprint::Parts;
use crate::id::{ActivationId, LicenseId};
use crate::record::{Body, Heartbeat, MachineActivated, SessionEnd, SessionEnded};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A machine that is activated under a licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Which licence.
    pub license: LicenseId,
    /// Its parts, as the app names them.
    #[serde(with = "hex_parts")]
    pub hardware: Parts,
    /// Its name.
    pub name: String,
    /// The app's version.
    pub app_version: String,
    /// When it was activated first.
    pub activated_at: UnixMillis,
    /// Users that it was granted last.
    pub users: u32,
    /// When it was heard of last.
    pub heard: UnixMillis,
    /// Who released its users, until it was told.
    pub released_by: Option<String>,
}

/// All machines of a site, by activation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Machines(BTreeMap<ActivationId, Machine>);

impl Machines {
    /// The machine of an activation.
    pub fn get(&self, activation: ActivationId) -> Option<&Machine> {
        self.0.get(&activation)
    }

    /// All of them, in the order of their activation.
    pub fn iter(&self) -> impl Iterator<Item = (ActivationId, &Machine)> {
        self.0.iter().map(|(id, machine)| (*id, machine))
    }

    /// Those of a licence.
    pub fn of(&self, license: LicenseId) -> impl Iterator<Item = (ActivationId, &Machine)> {
        self.iter().filter(move |(_, machine)| machine.license == license)
    }

    /// Whether a record has an effect here; most have none.
    pub const fn concerns(body: &Body) -> bool {
        matches!(
            body,
            Body::MachineActivated(_) | Body::MachineDeactivated(_) | Body::Heartbeat(_) | Body::SessionEnded(_)
        )
    }

    /// What a record says. One about a machine that is not known has no effect.
    pub fn apply(&mut self, body: &Body, at: UnixMillis) {
        match body {
            Body::MachineActivated(activated) => self.activate(activated, at),
            Body::MachineDeactivated(gone) => drop(self.0.remove(&gone.activation)),
            Body::Heartbeat(Heartbeat { activation, users, .. }) => {
                if let Some(machine) = self.0.get_mut(activation) {
                    (machine.users, machine.heard, machine.released_by) = (*users, at, None);
                }
            }
            Body::SessionEnded(SessionEnded { activation, cause, .. }) => {
                if let Some(machine) = self.0.get_mut(activation) {
                    machine.users = 0;
                    if let SessionEnd::Released { by } = cause {
                        machine.released_by = Some(by.clone());
                    }
                }
            }
            _ => {}
        }
    }

    /// A machine that is activated again keeps its users and its first moment.
    fn activate(&mut self, activated: &MachineActivated, at: UnixMillis) {
        let machine = self.0.entry(activated.activation).or_insert_with(|| Machine {
            license: activated.license,
            hardware: Parts::new(),
            name: String::new(),
            app_version: String::new(),
            activated_at: at,
            users: 0,
            heard: at,
            released_by: None,
        });
        machine.hardware.clone_from(&activated.hardware);
        machine.name.clone_from(&activated.machine);
        machine.app_version.clone_from(&activated.app_version);
    }
}

impl FromIterator<(ActivationId, Machine)> for Machines {
    fn from_iter<I: IntoIterator<Item = (ActivationId, Machine)>>(machines: I) -> Self {
        Self(machines.into_iter().collect())
    }
}

/// Digests as hexadecimal digits: the checkpoint is read by people too.
mod hex_parts {
    use crate::fingerprint::Parts;
    use blake3::Hash;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(parts: &Parts, serializer: S) -> Result<S::Ok, S::Error> {
        let hex = |(kind, digest): &(String, [u8; 32])| (kind.clone(), Hash::from_bytes(*digest).to_hex().to_string());
        parts.iter().map(hex).collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Parts, D::Error> {
        let texts = Vec::<(String, String)>::deserialize(deserializer)?;
        let part =
            |(kind, text): (String, String)| Ok((kind, *Hash::from_hex(text).map_err(D::Error::custom)?.as_bytes()));
        texts.into_iter().map(part).collect()
    }
}
