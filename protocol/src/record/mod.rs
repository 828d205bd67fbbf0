//! A record: one thing that happened at a site.
//!
//! Always true: a record is encoded once, when it is appended to the journal, and those bytes are what is stored,
//! hashed, sent and stored again. The envelope (time, kind, body) never changes its layout; a kind that a reader does
//! not know is kept as it is, neither guessed at nor dropped.

mod body;
mod measurement;
mod run;
mod shown;
mod totals;

pub use body::{
    Activation, Body, Denial, Denials, EpochBegun, Event, Excess, FingerprintChange, Heartbeat, HostHour, HostSample,
    MachineActivated, MachineDeactivated, MonitorChange, Overage, Override, SessionEnd, SessionEnded, Transmission,
    Value, kind,
};
pub use measurement::{Measured, Measurement, Part, Rest, Sent};
pub use run::{NotARun, Run};
pub use totals::{Dropped, EventTotal, Folded, ReadingTotal, Total};

use crate::codec::{self, Decode, Encode};
use crate::time::UnixMillis;

/// The most bytes one encoded record may have. A journal page holds at least one, and stays within 4 KiB.
pub const MAX_BYTES: usize = 3_584;

/// One thing that happened, with its body still encoded.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// When, by the site's licence time, which never goes back.
    pub at: UnixMillis,
    /// What kind of body this is: one of [`kind`], or one from a newer version.
    pub kind: u16,
    /// The encoded body.
    pub body: Vec<u8>,
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
        Body::decode(self.kind, &self.body)
    }
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
        for number in kind::ALL {
            assert_eq!(kind::by_name(kind::name(*number)), Some(*number));
        }
        assert_eq!(kind::by_name("unknown"), None);
    }

    #[test]
    fn a_record_over_the_limit_is_refused() {
        let body = Body::EpochBegun(EpochBegun { previous: 1, kept: 0, written: 0, cause: "x".repeat(MAX_BYTES) });
        assert!(Record::encode(UnixMillis(0), &body).is_err());
    }
}
