//! Machines that call the hub themselves, with a licence's key.

use super::row::{self, Told};
use crate::store::{
    Act, LicenseRow, LicenseSelector, Store, error::Error, licenses, usage::Ledger, webhooks, writer::Tx,
};
use rusqlite::{Connection, OptionalExtension, params};
use sitewarden_protocol::{
    fingerprint::Parts,
    id::ActivationId,
    license::{
        ActivationError, Circumstances, License, Status, Use,
        seats::{self, AllowedMachine, LAPSE, Machines, Refusal, Scene},
    },
    license_server::{Refused, answer},
    time::UnixMillis,
};
use std::collections::BTreeSet;

/// Sessions ended in one transaction: others wait for it.
const AT_ONCE: usize = 500;

/// When something is asked, and since when the hub could have heard a heartbeat.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The hub's time.
    pub now: UnixMillis,
    /// Before it, silence says nothing: the hub did not serve.
    pub listening_since: UnixMillis,
}

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

/// A machine does not get what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineRefusal {
    /// No licence has the key.
    UnknownKey,
    /// The licence does not come into force.
    NotActivated(ActivationError, Status),
    /// The rules do not allow it.
    Refused(Refusal),
}

impl From<Refusal> for MachineRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<MachineRefusal> for Refused {
    fn from(refusal: MachineRefusal) -> Self {
        match refusal {
            MachineRefusal::UnknownKey => Self::unknown_key(),
            MachineRefusal::NotActivated(refused, status) => Self::not_activated(&refused, Some(status)),
            MachineRefusal::Refused(refusal) => refusal.into(),
        }
    }
}

/// A machine that wants to go on, looked at.
#[derive(Debug, Clone)]
pub struct Examined {
    /// What its licence switches on.
    pub features: Vec<String>,
    /// How many users it permits.
    pub max_users: Option<u32>,
    /// What the machine claims, if that is other than it has.
    pub claim: Result<Option<(ActivationId, u32)>, Refusal>,
}

/// A licence, and all that a decision on its machines depends on.
struct Room {
    row: LicenseRow,
    license: License,
    machines: Machines,
    circumstances: Circumstances,
    used: Use,
    listening_since: UnixMillis,
}

impl Room {
    fn scene(&self) -> Scene<'_> {
        let Self { circumstances, used, ref machines, listening_since, .. } = *self;
        Scene { circumstances, used, machines, listening_since }
    }
}

impl Store {
    /// Activates a machine under the licence with this key, and the licence itself if it was not in force yet. The same
    /// hardware has the same activation; what has not changed is not written.
    ///
    /// # Errors
    /// What the database says. What the rules forbid is the inner [`MachineRefusal`].
    pub async fn activate_machine(
        &self,
        moment: Moment,
        key: &str,
        machine: NewMachine,
        random: [u8; 10],
    ) -> Result<Result<(ActivationId, License), MachineRefusal>, Error> {
        let (lookup, key) = (self.0.secrets.lookup(key), zeroize::Zeroizing::new(key.to_owned()));
        self.write(move |tx| {
            let Some(row) = by_lookup(tx, lookup)? else { return Ok(Err(MachineRefusal::UnknownKey)) };
            let row = match in_force(tx, moment.now, row, &key, &machine.name)? {
                Ok(row) => row,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let room = room(tx, moment, row)?;
            let activation = match seats::may_activate(&room.license, &machine.hardware, &room.scene()) {
                Ok(AllowedMachine::Known(known)) => known,
                Ok(AllowedMachine::New) => ActivationId::new(moment.now, random),
                Err(refusal) => return Ok(Err(refusal.into())),
            };
            let NewMachine { hardware, name, app_version } = &machine;
            let known = room.machines.get(activation);
            if !known.is_some_and(|known| {
                known.hardware == *hardware && known.name == *name && known.app_version == *app_version
            }) {
                let agent = row::known(tx, activation)?.and_then(|known| known.agent);
                let told = Told { id: activation, hardware, machine: name, app_version };
                row::open(tx, &room.row, agent, told, moment.now, moment.now)?;
                webhooks::machines_moved(tx, moment.now, room.row.id)?;
            }
            Ok(Ok((activation, room.license)))
        })
        .await
    }

    /// Looks at a machine that wants to go on. `None`: no licence has the key.
    ///
    /// # Errors
    /// What the database says; the inner [`Refused`] for a request without an activation.
    pub async fn examine_machine(
        &self,
        moment: Moment,
        key: &str,
        activation: Result<ActivationId, Refused>,
        hardware: Parts,
        users: Option<u32>,
    ) -> Result<Option<Result<Examined, Refused>>, Error> {
        let lookup = self.0.secrets.lookup(key);
        self.read(move |connection| {
            let Some(row) = by_lookup(connection, lookup)? else { return Ok(None) };
            let room = room(connection, moment, row)?;
            let claim = answer::examined(&room.license, &room.scene(), activation, &hardware, users);
            let License { features, limits, .. } = room.license;
            Ok(Some(claim.map(|claim| Examined { features, max_users: limits.users, claim })))
        })
        .await
    }

    /// Whether a licence has this key, and this activation if one is given: what costs nothing to ask, before what does.
    ///
    /// # Errors
    /// What the database says. [`MachineRefusal`] for what is not known here.
    pub async fn knows_machine(
        &self,
        key: &str,
        activation: Option<ActivationId>,
    ) -> Result<Result<(), MachineRefusal>, Error> {
        let lookup = self.0.secrets.lookup(key);
        self.read(move |connection| {
            let Some(license) = by_lookup(connection, lookup)? else { return Ok(Err(MachineRefusal::UnknownKey)) };
            let Some(id) = activation else { return Ok(Ok(())) };
            let known = row::known(connection, id)?;
            let is_here = known.is_some_and(|known| known.place.license == license.id && !known.is_over);
            Ok(if is_here { Ok(()) } else { Err(Refusal::UnknownActivation.into()) })
        })
        .await
    }

    /// Takes a machine's word on how many users it has, if there is room for them; in a heartbeat, with how often each
    /// feature was used since the one before.
    ///
    /// # Errors
    /// What the database says. What the rules forbid is the inner [`MachineRefusal`]; the machine keeps what it had.
    pub async fn claim_users(
        &self,
        moment: Moment,
        key: &str,
        activation: ActivationId,
        users: u32,
        features: Option<Vec<(String, u64)>>,
    ) -> Result<Result<(), MachineRefusal>, Error> {
        let lookup = self.0.secrets.lookup(key);
        self.write(move |tx| {
            let Some(row) = by_lookup(tx, lookup)? else { return Ok(Err(MachineRefusal::UnknownKey)) };
            let room = room(tx, moment, row)?;
            let claimed = seats::claim(&room.license, activation, users, features.is_some(), &room.scene());
            if let (Some(users), Some(known)) = (claimed.noted, row::known(tx, activation)?) {
                let features = features.filter(|_| claimed.outcome.is_ok()).unwrap_or_default();
                let mut ledger = Ledger::default();
                row::note(tx, &known, users, &features, moment.now, &mut ledger)?;
                ledger.write(tx)?;
                webhooks::machines_moved(tx, moment.now, room.row.id)?;
            }
            Ok(claimed.outcome.map_err(MachineRefusal::from))
        })
        .await
    }

    /// Ends the activation of a machine.
    ///
    /// # Errors
    /// What the database says. The inner [`MachineRefusal`] for what is not known here.
    pub async fn deactivate_machine(
        &self,
        now: UnixMillis,
        key: &str,
        activation: ActivationId,
        reason: String,
    ) -> Result<Result<(), MachineRefusal>, Error> {
        let lookup = self.0.secrets.lookup(key);
        self.write(move |tx| {
            let Some(license) = by_lookup(tx, lookup)? else { return Ok(Err(MachineRefusal::UnknownKey)) };
            let known = row::known(tx, activation)?;
            match known.filter(|known| known.place.license == license.id && !known.is_over) {
                Some(known) => {
                    row::close(tx, known.number, &reason, now)?;
                    webhooks::machines_moved(tx, now, license.id).map(Ok)
                }
                None => Ok(Err(Refusal::UnknownActivation.into())),
            }
        })
        .await
    }

    /// Ends the sessions of machines that call the hub and have not for too long; answers how many. Decisions count without
    /// them from that moment on; this is for the counts.
    ///
    /// # Errors
    /// What the database says; what was ended before stays so.
    pub async fn lapse_sessions(&self, moment: Moment) -> Result<usize, Error> {
        if moment.now.since(moment.listening_since) < LAPSE {
            return Ok(0);
        }
        let (mut ended, before) = (0, moment.now.before(LAPSE));
        while self.read(move |connection| Ok(!silent(connection, before, 1)?.is_empty())).await? {
            ended += self
                .write(move |tx| {
                    let silent = silent(tx, before, AT_ONCE)?;
                    silent.iter().try_for_each(|(number, _)| row::end_session(tx, *number, None))?;
                    let licenses: BTreeSet<_> = silent.iter().map(|(_, license)| *license).collect();
                    licenses.into_iter().try_for_each(|license| webhooks::machines_moved(tx, moment.now, license))?;
                    Ok(silent.len())
                })
                .await?;
        }
        Ok(ended)
    }
}

/// Number and licence of each.
fn silent(connection: &Connection, before: UnixMillis, limit: usize) -> Result<Vec<(i64, i64)>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT number, license FROM activations WHERE users > 0 AND agent IS NULL AND heard <= ? ORDER BY heard LIMIT ?",
    )?;
    let limit = i64::try_from(limit).unwrap_or(1);
    let rows = query.query_map(params![before.0, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn by_lookup(connection: &Connection, lookup: [u8; 32]) -> Result<Option<LicenseRow>, Error> {
    let mut query = connection.prepare_cached("SELECT id FROM licenses WHERE key_lookup = ?")?;
    let id = query.query_row([lookup], |row| row.get(0)).optional()?;
    id.map(|id| licenses::find(connection, LicenseSelector::Number(id))).transpose()
}

/// The licence, brought into force if it awaits its first machine.
fn in_force(
    tx: &Tx<'_>,
    now: UnixMillis,
    row: LicenseRow,
    key: &str,
    machine: &str,
) -> Result<Result<LicenseRow, MachineRefusal>, Error> {
    if row.status != Status::Inactive {
        return Ok(Ok(row));
    }
    let act = Act { by: format!("machine {machine}"), ..Act::hub(now) };
    let activated = licenses::activate_direct(tx, &act, &row, key)?;
    Ok(activated.map_err(|refused| MachineRefusal::NotActivated(refused, row.status)))
}

fn room(connection: &Connection, moment: Moment, row: LicenseRow) -> Result<Room, Error> {
    let Moment { now, listening_since } = moment;
    let machines = row::of_license(connection, &row, now)?;
    let (circumstances, used) = licenses::circumstances(connection, &row, now)?;
    let license = License::from(row.clone());
    Ok(Room { row, license, machines, circumstances, used, listening_since })
}
