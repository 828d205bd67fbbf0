//! Machines under a licence, and the floating users that each of them holds.
//!
//! Always true: what a machine was granted stays its own until it gives it back, its heartbeat stops, or somebody releases
//! it; a claim of another machine never takes it away, and claims together never pass the licence's limit.

mod machines;
#[cfg(test)]
mod tests;

pub use machines::{Machine, Machines};

use super::access::{Cause, access};
use super::ladder::{Circumstances, Condition, Use};
use super::quota::BlockedNew;
use super::{License, Rung};
use crate::fingerprint::compare;
use crate::id::ActivationId;
use crate::time::UnixMillis;
use std::time::Duration;

/// How often a machine is to send a heartbeat.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// After so long without a heartbeat a machine's users no longer count: two may be lost on the way.
pub const LAPSE: Duration = Duration::from_secs(15 * 60);
/// Machines of a licence that has no limit of its own, so that a caller cannot fill the memory.
pub const MAX_MACHINES: u32 = 1_000;
/// Users that one machine may claim at once.
pub const MAX_USERS: u32 = 1_000_000;

/// Why a machine may not have what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The licence may not be used at all.
    #[error(transparent)]
    License(#[from] Cause),
    /// What runs goes on, and nothing new may start.
    #[error(transparent)]
    BlockedNew(#[from] BlockedNew),
    /// No machine of this licence has this activation.
    #[error("this activation is not known here; activate the machine again")]
    UnknownActivation,
    /// The activation is another machine's.
    #[error(
        "the hardware is not that of the activation ({matched} of {of} parts match); activate this machine on its own"
    )]
    OtherHardware {
        /// Kinds of parts that match.
        matched: u8,
        /// Of how many.
        of: u8,
    },
    /// As many machines are activated as may be.
    #[error("the license permits {permitted} activations, and all are in use; deactivate a machine first")]
    TooManyMachines {
        /// How many may be.
        permitted: u32,
    },
    /// There would be more users than may be.
    #[error("{claimed} users and the {others} of other machines exceed the permitted {permitted}")]
    TooManyUsers {
        /// Users that this machine claims.
        claimed: u32,
        /// Users of the licence's other machines.
        others: u32,
        /// How many there may be.
        permitted: u32,
    },
    /// Somebody released this machine's users; they may be claimed again.
    #[error("the users of this machine were released by {by}; claim them again")]
    Released {
        /// Who.
        by: String,
    },
}

/// A machine may be activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedMachine {
    /// It is, under this name.
    Known(ActivationId),
    /// There is room for it.
    New,
}

/// What a decision on a licence's users depends on beside the licence.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Time, freshness, overrides.
    pub circumstances: Circumstances,
    /// Monitors that run of the licence's app.
    pub used: Use,
    /// All machines of the site.
    pub machines: &'a Machines,
    /// Since when heartbeats can be heard: before it, silence says nothing.
    pub listening_since: UnixMillis,
}

impl Scene<'_> {
    /// Users of one machine at this moment: those of a lapsed session do not count.
    pub fn live(&self, machine: &Machine) -> u32 {
        if self.is_lapsed(machine) { 0 } else { machine.users }
    }

    /// Whether nothing was heard of it for too long.
    pub fn is_lapsed(&self, machine: &Machine) -> bool {
        self.circumstances.now.since(machine.heard.max(self.listening_since)) >= LAPSE
    }

    /// Users of all of a licence's machines at this moment.
    pub fn users(&self, license: &License) -> u32 {
        sum(self.machines.of(license.id).map(|(_, machine)| self.live(machine)))
    }
}

/// Decides whether a licence may be used by machines that have what they ask for already.
///
/// # Errors
/// The [`Cause`].
pub fn may_go_on(license: &License, scene: &Scene<'_>) -> Result<(), Cause> {
    access(std::slice::from_ref(license), &license.app, &scene.circumstances, scene.used).map(drop)
}

/// Decides whether something new may begin under a licence. Monitors over their quota are no reason against users.
fn may_begin(license: &License, scene: &Scene<'_>) -> Result<(), Refusal> {
    may_go_on(license, scene)?;
    let blocking = license.steps(&scene.circumstances, scene.used).find(|step| step.rung >= Rung::BlockNew);
    match blocking.map(|step| (step.condition, step.since)) {
        Some((Condition::Expired, since)) => Err(BlockedNew::Expired(since).into()),
        Some((Condition::Stale, since)) => Err(BlockedNew::Stale(since).into()),
        Some((Condition::OverQuota, _)) | None => Ok(()),
    }
}

/// Decides whether the machine with these parts may be activated. One that is activated stays so while its licence may
/// be used.
///
/// # Errors
/// [`Refusal`].
pub fn may_activate(
    license: &License,
    hardware: &[(String, [u8; 32])],
    scene: &Scene<'_>,
) -> Result<AllowedMachine, Refusal> {
    may_go_on(license, scene)?;
    let same = scene.machines.of(license.id).filter_map(|(id, machine)| {
        let found = same_hardware(&machine.hardware, hardware).ok()?;
        Some((found, id))
    });
    if let Some((_, id)) = same.max_by_key(|(matched, _)| *matched) {
        return Ok(AllowedMachine::Known(id));
    }
    may_begin(license, scene)?;
    let permitted = license.limits.activations.unwrap_or(MAX_MACHINES).min(MAX_MACHINES);
    let machines = scene.machines.of(license.id).count();
    if u32::try_from(machines).is_ok_and(|machines| machines < permitted) {
        Ok(AllowedMachine::New)
    } else {
        Err(Refusal::TooManyMachines { permitted })
    }
}

/// The machine of an activation under a licence.
///
/// # Errors
/// [`Refusal::UnknownActivation`].
pub fn machine<'a>(
    license: &License,
    activation: ActivationId,
    machines: &'a Machines,
) -> Result<&'a Machine, Refusal> {
    let found = machines.get(activation).filter(|machine| machine.license == license.id);
    found.ok_or(Refusal::UnknownActivation)
}

/// Decides whether these parts are the machine's own; answers how many kinds match. Where two kinds or more are known, two
/// must match: a processor's id alone is that of every machine of its model.
///
/// # Errors
/// [`Refusal::OtherHardware`].
pub fn same_hardware(known: &[(String, [u8; 32])], now: &[(String, [u8; 32])]) -> Result<u8, Refusal> {
    let found = compare(known, now);
    if found.is_same_machine() && found.matched >= found.of.min(2) {
        Ok(found.matched)
    } else {
        Err(Refusal::OtherHardware { matched: found.matched, of: found.of })
    }
}

/// Decides whether a machine may have so many users. It may always have those that it has, and fewer.
///
/// # Errors
/// [`Refusal`].
pub fn may_claim(license: &License, activation: ActivationId, users: u32, scene: &Scene<'_>) -> Result<(), Refusal> {
    may_go_on(license, scene)?;
    let machine = machine(license, activation, scene.machines)?;
    if let Some(by) = machine.released_by.clone().filter(|_| users > 0) {
        return Err(Refusal::Released { by });
    }
    if users <= scene.live(machine) {
        return Ok(());
    }
    may_begin(license, scene)?;
    let Some(permitted) = license.limits.users else { return Ok(()) };
    let others = scene.machines.of(license.id).filter(|(id, _)| *id != activation);
    let others = sum(others.map(|(_, machine)| scene.live(machine)));
    if u64::from(others) + u64::from(users) > u64::from(permitted) {
        return Err(Refusal::TooManyUsers { claimed: users, others, permitted });
    }
    Ok(())
}

/// What a claim comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Whether the machine has what it asked for.
    pub outcome: Result<(), Refusal>,
    /// The users that are to be written down as the machine's, from now on; `None`: nothing is.
    pub noted: Option<u32>,
}

/// A machine says how many users it has, in a heartbeat or not.
pub fn claim(
    license: &License,
    activation: ActivationId,
    users: u32,
    is_heartbeat: bool,
    scene: &Scene<'_>,
) -> Claimed {
    let has = machine(license, activation, scene.machines).map_or(0, |machine| scene.live(machine));
    match may_claim(license, activation, users, scene) {
        Ok(()) => Claimed { outcome: Ok(()), noted: (is_heartbeat || users != has).then_some(users) },
        // Told once: once it is written down, the next claim is one like any other.
        Err(refusal @ Refusal::Released { .. }) => Claimed { outcome: Err(refusal), noted: Some(0) },
        Err(refusal) => {
            // It asks for too much, and shows all the same that it is alive: it keeps what it has.
            let goes_on = matches!(refusal, Refusal::TooManyUsers { .. } | Refusal::BlockedNew(_));
            let noted = (goes_on && is_heartbeat && has > 0).then_some(has);
            Claimed { outcome: Err(refusal), noted }
        }
    }
}

fn sum(users: impl Iterator<Item = u32>) -> u32 {
    users.fold(0, u32::saturating_add)
}
