//! An export on its way through the agent's socket: the parts' bytes, one after the other, with a word at each part's end and
//! one at the whole's.
//!
//! ```text
//! | tag (1) | length (4, little-endian) | payload |     tag 0: bytes, 1: a part is whole, 2: the end, 3: a failure
//! ```
//! 1 and 2 are JSON, 3 is a text. A stream without 2 or 3 was cut.

use serde::{Deserialize, Serialize};
use sitewarden_protocol::frame;

const BYTES: u8 = 0;
const PART: u8 = 1;
const DONE: u8 = 2;
const FAILED: u8 = 3;
const HEAD: usize = 5;
/// The most bytes of one payload: a frame, and what stands before the first.
const MAX_PAYLOAD: usize = frame::HEADER + frame::MAX_BODY + 64;

/// A piece of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Of the part that is being written.
    Bytes(Vec<u8>),
    /// It is whole; what follows is of the next.
    Part(PartDone),
    /// All parts are whole.
    Done(Exported),
    /// No more comes.
    Failed(String),
}

/// A part that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDone {
    /// The bundle, hexadecimal.
    pub bundle: String,
    /// Which, from 1.
    pub part: u32,
    /// Records in it.
    pub records: u64,
    /// The last record in it, epoch and number; zeros if there is none.
    pub through: (u64, u64),
    /// No other part follows.
    pub last: bool,
}

/// A whole export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The bundle, hexadecimal.
    pub bundle: String,
    /// How many parts it has.
    pub parts: u32,
    /// Records in all of them.
    pub records: u64,
    /// Where it begins, as epoch and number of the record before.
    pub after: String,
    /// The last record in it.
    pub through: String,
    /// Whether only the hub can open it.
    pub sealed: bool,
    /// Nothing will come back: what was written counts as delivered.
    pub one_way: bool,
}

impl Chunk {
    /// As it is sent.
    pub fn encode(&self) -> Vec<u8> {
        let json = |value: Result<Vec<u8>, serde_json::Error>| value.unwrap_or_default();
        let (tag, payload) = match self {
            Self::Bytes(bytes) => (BYTES, bytes.clone()),
            Self::Part(part) => (PART, json(serde_json::to_vec(part))),
            Self::Done(done) => (DONE, json(serde_json::to_vec(done))),
            Self::Failed(reason) => (FAILED, reason.as_bytes().to_vec()),
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        [&[tag][..], &length.to_le_bytes(), &payload].concat()
    }
}

/// Reads an export from the socket.
#[derive(Debug, Default)]
pub struct Chunks(Vec<u8>);

impl Chunks {
    /// What came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next piece; `None` if more has to come for it.
    ///
    /// # Errors
    /// In words, if this is no export.
    pub fn take(&mut self) -> Result<Option<Chunk>, String> {
        let Some(&[tag, a, b, c, d]) = self.0.get(..HEAD) else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > MAX_PAYLOAD {
            return Err("the agent's answer is no export".to_owned());
        }
        let Some(payload) = self.0.get(HEAD..HEAD + length) else { return Ok(None) };
        let json = |error: serde_json::Error| format!("the agent's answer is no export: {error}");
        let chunk = match tag {
            BYTES => Chunk::Bytes(payload.to_vec()),
            PART => Chunk::Part(serde_json::from_slice(payload).map_err(json)?),
            DONE => Chunk::Done(serde_json::from_slice(payload).map_err(json)?),
            FAILED => Chunk::Failed(String::from_utf8_lossy(payload).into_owned()),
            _ => return Err("the agent's answer is no export".to_owned()),
        };
        self.0.drain(..HEAD + length);
        Ok(Some(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_read_back_byte_by_byte() {
        let part = PartDone { bundle: "04".into(), part: 1, records: 7, through: (1, 7), last: false };
        let sent = [Chunk::Bytes(b"one".into()), Chunk::Part(part), Chunk::Failed("disk".into())];
        let (mut chunks, mut read) = (Chunks::default(), vec![]);
        for byte in sent.iter().flat_map(Chunk::encode) {
            chunks.feed(&[byte]);
            read.extend(chunks.take().unwrap());
        }
        assert_eq!(read, sent);
    }

    #[test]
    fn an_endless_length_is_refused() {
        let mut chunks = Chunks::default();
        chunks.feed(&[0, 255, 255, 255, 255]);
        assert!(chunks.take().is_err());
    }
}
