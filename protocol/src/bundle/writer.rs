//! Writing one part of a bundle, piece by piece.

use super::{END, End, LAYOUT, MAGIC, MAX_MESSAGE, MESSAGE, Manifest, SEALED};
use crate::codec;
use crate::frame;
use crate::sealing::{self, BadKey};
use crate::signing::{PrivateKey, Purpose, Signature};
use crate::snapshot::SealingKey;
use std::sync::Arc;

/// Why a piece cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The receiver's key is none.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// The message is longer than [`MAX_MESSAGE`].
    #[error("a message of {0} bytes does not fit into a bundle; {MAX_MESSAGE} do")]
    TooLong(usize),
}

/// Writes one part. What it returns is to be written to the file in this order.
pub struct Writer {
    key: Arc<PrivateKey>,
    seal_to: Option<SealingKey>,
    digest: [u8; 32],
    index: u64,
    messages: u64,
    written: u64,
}

impl Writer {
    /// Begins a part, sealed to `seal_to` if it is given; and its first bytes.
    pub fn begin(mut manifest: Manifest, key: Arc<PrivateKey>, seal_to: Option<SealingKey>) -> (Self, Vec<u8>) {
        manifest.sealed_to = seal_to.map(|key| key.id);
        let manifest = codec::encode(&manifest);
        let signature = key.sign(Purpose::Bundle, &manifest);
        let digest = *blake3::hash(&manifest).as_bytes();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&LAYOUT.to_le_bytes());
        bytes.extend_from_slice(&frame::encode(&codec::encode(&(manifest, signature))));
        let written = bytes.len() as u64;
        (Self { key, seal_to, digest, index: 0, messages: 0, written }, bytes)
    }

    /// The next message. `random` is secret, from a good source, and used for nothing else.
    ///
    /// # Errors
    /// See [`Failed`]; then nothing has changed.
    pub fn message(&mut self, body: &[u8], random: [u8; 32]) -> Result<Vec<u8>, Failed> {
        if body.len() > MAX_MESSAGE {
            return Err(Failed::TooLong(body.len()));
        }
        let bytes = match &self.seal_to {
            Some(key) => {
                let place = sealing::PieceOf { part: self.digest, index: self.index };
                let sealed = sealing::seal_piece(key, &place, body, random)?;
                self.piece(SEALED, &sealed)
            }
            None => self.piece(MESSAGE, body),
        };
        self.messages += 1;
        Ok(bytes)
    }

    /// The end. `end.messages` is filled in here.
    pub fn end(mut self, end: End) -> Vec<u8> {
        let end = End { messages: self.messages, ..end };
        self.piece(END, &codec::encode(&end))
    }

    /// Bytes so far.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Messages so far.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    fn piece(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let Signature(signature) =
            self.key.sign(Purpose::BundlePiece, &signed(&self.digest, self.index, kind, payload));
        let frame = frame::encode(&[&signature[..], &[kind], payload].concat());
        self.index += 1;
        self.written += frame.len() as u64;
        frame
    }
}

/// What a piece's signature is over.
pub(super) fn signed(digest: &[u8; 32], index: u64, kind: u8, payload: &[u8]) -> Vec<u8> {
    [&digest[..], &index.to_le_bytes(), &[kind], blake3::hash(payload).as_bytes()].concat()
}
