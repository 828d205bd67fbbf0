//! A record: one thing that happened at a site.
//!
//! Always true: a record is encoded once, when it is appended to the journal, and those bytes are what is stored,
//! hashed, sent and stored again. The envelope (time, kind, body) never changes its layout; a kind that a reader does
//! not know is kept as it is, neither guessed at nor dropped.

use crate::codec::{self, Decode, Encode};
use crate::id::LicenseId;
use crate::time::UnixMillis;

/// The most bytes one encoded record may have. A journal page holds at least one, and stays within 4 KiB.
pub const MAX_BYTES: usize = 3_584;

/// One thing that happened, with its body still encoded.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// When, by the site's wall clock.
    pub at: UnixMillis,
    /// What kind of body this is: one of [`kind`], or one from a newer version.
    pub kind: u16,
    /// The encoded body.
    pub body: Vec<u8>,
}

/// The numbers of the kinds. They are on disks and in signed batches: a number is never given to another kind.
pub mod kind {
    /// [`super::Event`].
    pub const EVENT: u16 = 1;
    /// [`super::HostSample`].
    pub const HOST: u16 = 2;
    /// [`super::MonitorChange`]: reserved.
    pub const MONITOR_RESERVED: u16 = 3;
    /// [`super::MonitorChange`]: released.
    pub const MONITOR_RELEASED: u16 = 4;
    /// [`super::Activation`].
    pub const LICENSE_ACTIVATED: u16 = 5;
    /// [`super::Denial`].
    pub const DENIAL: u16 = 6;
    /// [`super::EpochBegun`].
    pub const EPOCH_BEGUN: u16 = 7;

    /// A kind's name in lists, exports and roll-ups; `unknown` for one of a newer version.
    pub const fn name(kind: u16) -> &'static str {
        match kind {
            EVENT => "event",
            HOST => "host",
            MONITOR_RESERVED => "monitor_reserved",
            MONITOR_RELEASED => "monitor_released",
            LICENSE_ACTIVATED => "license_activated",
            DENIAL => "denial",
            EPOCH_BEGUN => "epoch_begun",
            _ => "unknown",
        }
    }

    /// The kind with this name.
    pub fn by_name(text: &str) -> Option<u16> {
        (EVENT..=EPOCH_BEGUN).find(|kind| name(*kind) == text)
    }
}

/// What happened, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// An app reported something.
    Event(Event),
    /// The agent looked at its machine.
    Host(HostSample),
    /// A unit of quota was taken.
    MonitorReserved(MonitorChange),
    /// A unit of quota was given back.
    MonitorReleased(MonitorChange),
    /// A licence was activated at this site.
    LicenseActivated(Activation),
    /// Something was not allowed.
    Denial(Denial),
    /// A new life of the journal began.
    EpochBegun(EpochBegun),
    /// A kind that this version does not know.
    Unknown,
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

impl Body {
    /// The number of this kind; `None` for a body that was not understood.
    pub const fn kind(&self) -> Option<u16> {
        match self {
            Self::Event(_) => Some(kind::EVENT),
            Self::Host(_) => Some(kind::HOST),
            Self::MonitorReserved(_) => Some(kind::MONITOR_RESERVED),
            Self::MonitorReleased(_) => Some(kind::MONITOR_RELEASED),
            Self::LicenseActivated(_) => Some(kind::LICENSE_ACTIVATED),
            Self::Denial(_) => Some(kind::DENIAL),
            Self::EpochBegun(_) => Some(kind::EPOCH_BEGUN),
            Self::Unknown => None,
        }
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Event(body) => codec::encode(body),
            Self::Host(body) => codec::encode(body),
            Self::MonitorReserved(body) | Self::MonitorReleased(body) => codec::encode(body),
            Self::LicenseActivated(body) => codec::encode(body),
            Self::Denial(body) => codec::encode(body),
            Self::EpochBegun(body) => codec::encode(body),
            Self::Unknown => Vec::new(),
        }
    }
}

/// The record would not fit into a journal page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record has {0} bytes; at most {MAX_BYTES} are taken")]
pub struct TooLarge(pub usize);

impl Record {
    /// The record's bytes, as they will be stored, hashed and sent.
    ///
    /// # Errors
    /// [`TooLarge`] over [`MAX_BYTES`].
    pub fn encode(at: UnixMillis, body: &Body) -> Result<Vec<u8>, TooLarge> {
        let record = Self { at, kind: body.kind().unwrap_or_default(), body: body.encode() };
        let bytes = codec::encode(&record);
        if bytes.len() > MAX_BYTES { Err(TooLarge(bytes.len())) } else { Ok(bytes) }
    }

    /// Reads the envelope; the body stays encoded.
    ///
    /// # Errors
    /// If the bytes are no record.
    pub fn decode(bytes: &[u8]) -> Result<Self, codec::Error> {
        codec::decode(bytes)
    }

    /// Reads the body. A kind that is not known here is [`Body::Unknown`], not an error.
    ///
    /// # Errors
    /// If the kind is known and the body is not one.
    pub fn decode_body(&self) -> Result<Body, codec::Error> {
        Ok(match self.kind {
            kind::EVENT => Body::Event(codec::decode(&self.body)?),
            kind::HOST => Body::Host(codec::decode(&self.body)?),
            kind::MONITOR_RESERVED => Body::MonitorReserved(codec::decode(&self.body)?),
            kind::MONITOR_RELEASED => Body::MonitorReleased(codec::decode(&self.body)?),
            kind::LICENSE_ACTIVATED => Body::LicenseActivated(codec::decode(&self.body)?),
            kind::DENIAL => Body::Denial(codec::decode(&self.body)?),
            kind::EPOCH_BEGUN => Body::EpochBegun(codec::decode(&self.body)?),
            _ => Body::Unknown,
        })
    }
}

/// A run of encoded records, each behind its length (two bytes, little-endian): the layout of a journal page and of a
/// batch's payload, so that the one is copied into the other as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    bytes: Vec<u8>,
    count: u32,
}

/// The bytes are not a run of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a run of records: cut or of no length at byte {0}")]
pub struct NotARun(usize);

impl Run {
    /// Reads and checks the layout; the records themselves are not decoded.
    ///
    /// # Errors
    /// [`NotARun`] if a length is zero, over [`MAX_BYTES`], or reaches past the end.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, NotARun> {
        let (mut at, mut count) = (0, 0);
        while at < bytes.len() {
            at += 2 + length_at(&bytes, at).ok_or(NotARun(at))?;
            count += 1;
        }
        Ok(Self { bytes, count })
    }

    /// Appends one encoded record (at most [`MAX_BYTES`], which fits the two bytes of length).
    pub fn push(&mut self, record: &[u8]) {
        let length = u16::try_from(record.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&record[..usize::from(length)]);
        self.count += 1;
    }

    /// The encoded records, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let length = length_at(rest, 0)?;
            let (record, after) = rest[2..].split_at(length);
            rest = after;
            Some(record)
        })
    }

    /// How many records.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The whole run's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<R: AsRef<[u8]>> FromIterator<R> for Run {
    /// The encoded records as one run.
    fn from_iter<I: IntoIterator<Item = R>>(records: I) -> Self {
        let mut run = Self::default();
        records.into_iter().for_each(|record| run.push(record.as_ref()));
        run
    }
}

fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let head = bytes.get(at..)?.first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*head));
    (length > 0 && length <= MAX_BYTES && at + 2 + length <= bytes.len()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_a_newer_version_is_kept_as_it_came() {
        let newer = Record { at: UnixMillis(1), kind: 999, body: vec![1, 2, 3] };
        let read = Record::decode(&codec::encode(&newer)).unwrap();
        assert_eq!(read, newer);
        assert_eq!(read.decode_body().unwrap(), Body::Unknown);
    }

    #[test]
    fn every_kind_has_a_name_that_finds_it_again() {
        for number in kind::EVENT..=kind::EPOCH_BEGUN {
            assert_eq!(kind::by_name(kind::name(number)), Some(number));
        }
        assert_eq!(kind::by_name("unknown"), None);
    }

    #[test]
    fn a_record_over_the_limit_is_refused() {
        let body = Body::EpochBegun(EpochBegun { previous: 1, kept: 0, written: 0, cause: "x".repeat(MAX_BYTES) });
        assert!(Record::encode(UnixMillis(0), &body).is_err());
    }

    #[test]
    fn a_run_gives_back_what_was_pushed_and_refuses_cuts() {
        let mut run = Run::default();
        run.push(b"one");
        run.push(b"three");
        assert_eq!(run.iter().collect::<Vec<_>>(), [b"one".as_slice(), b"three"]);
        assert_eq!(Run::from_bytes(run.as_bytes().to_vec()).unwrap(), run);
        for cut in (1..run.as_bytes().len()).filter(|cut| *cut != 5) {
            assert!(Run::from_bytes(run.as_bytes()[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        assert!(Run::from_bytes(vec![0, 0]).is_err());
    }
}
