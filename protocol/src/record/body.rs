//! What records say: one body for each kind.
//!
//! Kinds are on disks and in signed batches: a number is never given to another kind, and a body never changes its
//! layout. What has to say more gets a new kind at the end of the table.

use super::measurement::Measurement;
use super::totals::{Dropped, Folded};
use crate::codec::{self, Decode, Encode};
use crate::id::{ActivationId, LicenseId};
use crate::time::UnixMillis;
use crate::trusted_time;

macro_rules! bodies {
    ($($(#[$doc:meta])* $number:literal $constant:ident $name:literal => $variant:ident($body:ty),)+) => {
        /// What happened, decoded.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Body {
            $($(#[$doc])* $variant($body),)+
            /// A kind that this version does not know.
            Unknown,
        }

        /// The numbers of the kinds.
        pub mod kind {
            $($(#[$doc])* pub const $constant: u16 = $number;)+

            /// Every kind that this version knows.
            pub const ALL: &[u16] = &[$($constant),+];

            /// A kind's name in lists, exports and roll-ups; `unknown` for one of a newer version.
            pub const fn name(kind: u16) -> &'static str {
                match kind {
                    $($constant => $name,)+
                    _ => "unknown",
                }
            }

            /// The kind with this name.
            pub fn by_name(text: &str) -> Option<u16> {
                ALL.iter().copied().find(|kind| name(*kind) == text)
            }
        }

        impl Body {
            /// The number of this kind; `None` for a body that was not understood.
            pub const fn kind(&self) -> Option<u16> {
                match self {
                    $(Self::$variant(_) => Some(kind::$constant),)+
                    Self::Unknown => None,
                }
            }

            pub(super) fn encode(&self) -> Vec<u8> {
                match self {
                    $(Self::$variant(body) => codec::encode(body),)+
                    Self::Unknown => Vec::new(),
                }
            }

            pub(super) fn decode(kind: u16, bytes: &[u8]) -> Result<Self, codec::Error> {
                Ok(match kind {
                    $(kind::$constant => Self::$variant(codec::decode(bytes)?),)+
                    _ => Self::Unknown,
                })
            }
        }
    };
}

bodies! {
    /// An app reported something.
    1 EVENT "event" => Event(Event),
    /// The agent looked at its machine.
    2 HOST "host" => Host(HostSample),
    /// A unit of quota was taken.
    3 MONITOR_RESERVED "monitor_reserved" => MonitorReserved(MonitorChange),
    /// A unit of quota was given back.
    4 MONITOR_RELEASED "monitor_released" => MonitorReleased(MonitorChange),
    /// A licence was activated at this site.
    5 LICENSE_ACTIVATED "license_activated" => LicenseActivated(Activation),
    /// Something was not allowed, once.
    6 DENIAL "denial" => Denial(Denial),
    /// A new life of the journal began.
    7 EPOCH_BEGUN "epoch_begun" => EpochBegun(EpochBegun),
    /// The same was asked for and not allowed, again and again.
    8 DENIALS "denials" => Denials(Denials),
    /// Licence time and the wall clock parted or met.
    9 CLOCK "clock" => Clock(trusted_time::Change),
    /// The machine's parts are not what they were.
    10 FINGERPRINT "fingerprint" => Fingerprint(FingerprintChange),
    /// The site runs without the vendor for some days.
    11 OVERRIDE "override" => Override(Override),
    /// More monitors run than a licence's quota, or no longer.
    12 OVERAGE "overage" => Overage(Overage),
    /// A machine was activated under a licence.
    13 MACHINE_ACTIVATED "machine_activated" => MachineActivated(MachineActivated),
    /// A machine gave its activation back.
    14 MACHINE_DEACTIVATED "machine_deactivated" => MachineDeactivated(MachineDeactivated),
    /// A machine said how many users it has.
    15 HEARTBEAT "heartbeat" => Heartbeat(Heartbeat),
    /// A machine's users no longer count.
    16 SESSION_ENDED "session_ended" => SessionEnded(SessionEnded),
    /// A program sent a measurement of itself.
    17 MEASUREMENT "measurement" => Measurement(Measurement),
    /// What was queued was sent, or could not be.
    18 TRANSMISSION "transmission" => Transmission(Transmission),
    /// How the machine and the agent were in one hour.
    19 HOST_HOURLY "host_hourly" => HostHourly(HostHour),
    /// More monitors run than a licence permits, its overage included, or no longer.
    20 EXCESS "excess" => Excess(Excess),
    /// What apps reported in an hour, summed because there was no room for each report.
    21 FOLDED "folded" => Folded(Folded),
    /// Reports were refused because quota or disk was full.
    22 DROPPED "dropped" => Dropped(Dropped),
}

/// What an app reported.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Event {
    /// The app's code, such as `EMS`.
    pub app: String,
    /// What kind of event, in the app's own words.
    pub kind: String,
    /// Such as `production` or `sandbox`; empty if the app did not say.
    pub environment: String,
    /// Such as `success`; empty if the app did not say.
    pub outcome: String,
    /// How many times it happened, at least 1.
    pub count: u64,
    /// Details, in the order given.
    pub attributes: Vec<(String, Value)>,
}

/// A detail of an event.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

/// The agent's machine, at one moment.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct HostSample {
    /// Use of all processors together since the sample before, 0 to 1000 (per mille).
    pub cpu_permille: u16,
    /// Memory in use, bytes.
    pub memory_used: u64,
    /// Memory there is, bytes.
    pub memory_total: u64,
    /// Space left on the disk of the agent's folder, bytes.
    pub disk_free: u64,
    /// Size of that disk, bytes.
    pub disk_total: u64,
    /// Since the machine started, seconds.
    pub uptime: u64,
    /// The agent's own resident memory, bytes.
    pub agent_memory: u64,
}

/// The agent's machine and the agent itself over one hour of licence time, or the part of it that was looked at: an agent
/// that is stopped or started within an hour makes two of them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct HostHour {
    /// When the hour began.
    pub hour: UnixMillis,
    /// How often the machine was looked at, at least 1.
    pub samples: u32,
    /// Use of all processors together, the average, 0 to 1000 (per mille).
    pub cpu_average_permille: u16,
    /// The highest use between two looks, 0 to 1000 (per mille).
    pub cpu_max_permille: u16,
    /// Memory in use, the average, bytes.
    pub memory_average: u64,
    /// The most memory in use, bytes.
    pub memory_max: u64,
    /// Memory there is, bytes.
    pub memory_total: u64,
    /// The least space left on the disk of the agent's folder, bytes.
    pub disk_free_min: u64,
    /// Size of that disk, bytes.
    pub disk_total: u64,
    /// From the machine's start to the last look, seconds.
    pub uptime: u64,
    /// From the agent's start to the last look, seconds.
    pub agent_uptime: u64,
    /// The agent's own resident memory at the most, bytes.
    pub agent_memory_max: u64,
    /// The most records that waited for the hub's receipt.
    pub backlog_max: u64,
    /// The most bytes that the journal took on disk.
    pub journal_bytes_max: u64,
    /// How far the wall clock was from licence time at the last look, milliseconds; below 0 if it was behind.
    pub wall_offset: i64,
}

/// A monitor that was reserved or released.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MonitorChange {
    /// The app it belongs to.
    pub app: String,
    /// The monitor's identifier, the app's own.
    pub monitor: String,
}

/// A licence that was activated.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Activation {
    /// Which.
    pub license: LicenseId,
    /// The licence whose place it took, which is deactivated by the same act.
    pub replaces: Option<LicenseId>,
    /// Who typed the key: a user of the site, or `operator` at the machine itself.
    pub by: String,
}

/// Something that was asked for and not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Denial {
    /// The app it was asked for.
    pub app: String,
    /// What was asked, such as `reserve`.
    pub action: String,
    /// Why not, in words.
    pub cause: String,
}

/// Why the journal began a new life.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EpochBegun {
    /// The epoch before, or 0 for the first one of an enrolment.
    pub previous: u64,
    /// The last record of that epoch that the journal still had.
    pub kept: u64,
    /// The last record of that epoch that is known to have been written: those after `kept` are lost at the agent. The
    /// hub may have received some of them before.
    pub written: u64,
    /// Why, in words.
    pub cause: String,
}

/// The same was asked for and not allowed, summed up.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Denials {
    /// The app it was asked for.
    pub app: String,
    /// What was asked, such as `verify`.
    pub action: String,
    /// Who asked.
    pub user: String,
    /// Why not, in words.
    pub cause: String,
    /// How many times, at least 1.
    pub count: u64,
    /// The first of them; the record's own time is the last.
    pub since: UnixMillis,
}

/// The machine's parts are not what they were.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FingerprintChange {
    /// Whether enough of them are for it to be the same machine.
    pub same_machine: bool,
    /// How many kinds of parts are what they were.
    pub matched: u8,
    /// Of how many.
    pub of: u8,
    /// The kinds that are not.
    pub changed: Vec<String>,
    /// All parts as they are now: kind and digest.
    pub parts: Vec<(String, [u8; 32])>,
}

/// The site runs without the vendor for some days.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Override {
    /// How many days were asked for, 1 or more.
    pub days: u16,
    /// When it ends.
    pub until: UnixMillis,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who did it.
    pub by: String,
}

/// More monitors run than a licence's quota, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Overage {
    /// The app.
    pub app: String,
    /// The licence in force.
    pub license: LicenseId,
    /// Monitors in use. Over the quota: an overage began. Otherwise it ended.
    pub in_use: u32,
    /// The quota, without what may be gone over it.
    pub quota: u32,
}

/// More monitors run than a licence permits, its overage included, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Excess {
    /// The app.
    pub app: String,
    /// The licence in force.
    pub license: LicenseId,
    /// Monitors in use. More than are permitted: from here the days of grace count. Otherwise it ended.
    pub in_use: u32,
    /// How many are permitted, the overage included.
    pub permitted: u32,
}

/// A machine was activated under a licence.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MachineActivated {
    /// Which licence.
    pub license: LicenseId,
    /// The activation's name.
    pub activation: ActivationId,
    /// The machine's parts as the app names them: kind and digest.
    pub hardware: Vec<(String, [u8; 32])>,
    /// The machine's name.
    pub machine: String,
    /// The app's version.
    pub app_version: String,
}

/// A machine gave its activation back.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MachineDeactivated {
    /// Which licence.
    pub license: LicenseId,
    /// Which activation.
    pub activation: ActivationId,
    /// Why, in the caller's words.
    pub reason: String,
}

/// A machine said how many users it has.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Heartbeat {
    /// Under which licence.
    pub license: LicenseId,
    /// Of which activation.
    pub activation: ActivationId,
    /// Users at this moment.
    pub users: u32,
    /// How often each feature was used since the heartbeat before.
    pub features: Vec<(String, u64)>,
}

/// A machine's users no longer count.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SessionEnded {
    /// Under which licence.
    pub license: LicenseId,
    /// Of which activation.
    pub activation: ActivationId,
    /// How many users there were.
    pub users: u32,
    /// Why.
    pub cause: SessionEnd,
}

/// Why a machine's users no longer count.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SessionEnd {
    /// Its heartbeat stopped.
    Lapsed,
    /// Somebody released it.
    Released {
        /// Who.
        by: String,
    },
}

/// What was queued was sent, or could not be.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Transmission {
    /// The agent's own number for it.
    pub number: u64,
    /// When it was due or asked for.
    pub due: UnixMillis,
    /// Whether somebody asked for it, rather than the schedule.
    pub manual: bool,
    /// When it began.
    pub started: UnixMillis,
    /// Records that the hub confirmed.
    pub records: u64,
    /// Tries before this one.
    pub retries: u32,
    /// Why it failed; `None` if it did not.
    pub error: Option<String>,
}
