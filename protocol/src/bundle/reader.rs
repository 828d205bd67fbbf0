//! Reading one part of a bundle, piece by piece, from bytes that anybody may have made.

use super::writer::signed;
use super::{END, End, LAYOUT, MAGIC, MESSAGE, Manifest, PIECE_HEAD, PREFIX, SEALED};
use crate::codec;
use crate::frame::{self, HEADER};
use crate::sealing::{NotSealedHere, OpeningKey, PieceOf};
use crate::signing::{PublicKey, Purpose, Signature};

/// Why a file cannot be read on. What was read before is good.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is something else.
    #[error("this is no Sitewarden bundle")]
    NotABundle,
    /// A layout that this build does not know.
    #[error("the bundle has layout {0}, and this version reads layout {LAYOUT}; install a newer version")]
    Layout(u16),
    /// Bytes were changed, or are missing in the middle.
    #[error("the file is damaged: {0}")]
    Frame(#[from] frame::Error),
    /// The head cannot be read.
    #[error("the bundle's head cannot be read: {0}")]
    Head(codec::Error),
    /// Something was changed on purpose, or comes from another part.
    #[error("the bundle was altered: its sender did not sign {0}")]
    Signature(&'static str),
    /// A piece is none.
    #[error("a piece of the bundle cannot be read")]
    Piece,
    /// A piece of a later version.
    #[error("the bundle has a piece of kind {0}, which this version does not know; install a newer version")]
    Kind(u8),
    /// It was sealed to a key that is not at hand.
    #[error("the bundle is sealed to key {0}, which is not here")]
    NoSuchKey(u32),
    /// It cannot be opened.
    #[error("the bundle is sealed to somebody else")]
    Sealed(#[from] NotSealedHere),
    /// Bytes come after the end.
    #[error("something follows the bundle's end")]
    Trailing,
}

/// Takes a file apart. Fed with bytes; holds no more than one frame and what was fed last.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    taken: usize,
    stage: Stage,
    index: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Prefix,
    Head,
    Pieces,
    Ended,
}

/// What is found in a file.
#[derive(Debug)]
pub enum Item {
    /// First, and once.
    Head(Box<Head>),
    /// What follows.
    Piece(Piece),
}

/// A head, not believed yet.
#[derive(Debug, Clone)]
pub struct Head {
    /// What it says.
    pub manifest: Manifest,
    bytes: Vec<u8>,
    signature: Signature,
    digest: [u8; 32],
}

/// A piece, not believed yet.
#[derive(Debug, Clone)]
pub struct Piece {
    index: u64,
    kind: u8,
    payload: Vec<u8>,
    signature: Signature,
}

/// What a piece holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// A message's body.
    Message(Vec<u8>),
    /// The part is whole.
    End(End),
}

impl Reader {
    /// More bytes of the file. Call [`Reader::take`] until it answers `None` before the next ones.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// What comes next; `None` if more bytes are needed for it.
    ///
    /// # Errors
    /// See [`Error`]. Each is final.
    pub fn take(&mut self) -> Result<Option<Item>, Error> {
        if self.stage == Stage::Prefix && !self.prefix()? {
            return Ok(None);
        }
        if self.stage == Stage::Ended {
            return if self.rest().is_empty() { Ok(None) } else { Err(Error::Trailing) };
        }
        let Some(body) = self.frame()? else { return Ok(None) };
        if self.stage == Stage::Head {
            self.stage = Stage::Pieces;
            return Ok(Some(Item::Head(Box::new(Head::read(&body)?))));
        }
        let piece = Piece::read(self.index, body)?;
        self.index += 1;
        if piece.kind == END {
            self.stage = Stage::Ended;
        }
        Ok(Some(Item::Piece(piece)))
    }

    /// Whether the end was reached. If not when there are no more bytes, the file is cut.
    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }

    fn prefix(&mut self) -> Result<bool, Error> {
        let begun = self.rest().len().min(MAGIC.len());
        if self.rest().get(..begun) != MAGIC.get(..begun) {
            return Err(Error::NotABundle);
        }
        let Some((_, [low, high])) = self.rest().get(..PREFIX).and_then(|prefix| prefix.split_last_chunk::<2>()) else {
            return Ok(false);
        };
        let layout = u16::from_le_bytes([*low, *high]);
        if layout != LAYOUT {
            return Err(Error::Layout(layout));
        }
        self.taken += PREFIX;
        self.stage = Stage::Head;
        Ok(true)
    }

    fn frame(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let Some((head, rest)) = self.rest().split_first_chunk::<HEADER>() else { return Ok(None) };
        let header = frame::Header::parse(head)?;
        let Some(body) = rest.get(..header.length()) else { return Ok(None) };
        header.check(body)?;
        let body = body.to_vec();
        self.taken += HEADER + body.len();
        Ok(Some(body))
    }
}

impl Head {
    fn read(body: &[u8]) -> Result<Self, Error> {
        let (bytes, signature): (Vec<u8>, Signature) = codec::decode(body).map_err(Error::Head)?;
        let manifest = codec::decode(&bytes).map_err(Error::Head)?;
        let digest = *blake3::hash(&bytes).as_bytes();
        Ok(Self { manifest, bytes, signature, digest })
    }

    /// Whether `key` signed it.
    ///
    /// # Errors
    /// [`Error::Signature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), Error> {
        key.verify(Purpose::Bundle, &self.bytes, &self.signature).map_err(|_| Error::Signature("its head"))
    }

    /// Opens a piece of this part, if `key` signed it for its place.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::NoSuchKey`], [`Error::Sealed`], [`Error::Piece`] or [`Error::Kind`].
    pub fn open(&self, piece: Piece, key: &PublicKey, keys: &[OpeningKey]) -> Result<Opened, Error> {
        self.check(&piece, key)?;
        match piece.kind {
            MESSAGE => Ok(Opened::Message(piece.payload)),
            SEALED => {
                let number = self.manifest.sealed_to.ok_or(Error::Piece)?;
                let opening = keys.iter().find(|key| key.id() == number).ok_or(Error::NoSuchKey(number))?;
                let place = PieceOf { part: self.digest, index: piece.index };
                Ok(Opened::Message(opening.open_piece(&place, &piece.payload)?))
            }
            END => Ok(Opened::End(codec::decode(&piece.payload).map_err(|_| Error::Piece)?)),
            kind => Err(Error::Kind(kind)),
        }
    }

    /// Checks that `key` signed a piece for its place in this part, also for one who cannot open it.
    ///
    /// # Errors
    /// [`Error::Signature`].
    pub fn check(&self, piece: &Piece, key: &PublicKey) -> Result<(), Error> {
        let signed = signed(&self.digest, piece.index, piece.kind, &piece.payload);
        key.verify(Purpose::BundlePiece, &signed, &piece.signature).map_err(|_| Error::Signature("a piece of it"))
    }
}

impl Piece {
    fn read(index: u64, mut body: Vec<u8>) -> Result<Self, Error> {
        let (signature, rest) = body.split_first_chunk::<64>().ok_or(Error::Piece)?;
        let (signature, kind) = (Signature(*signature), *rest.first().ok_or(Error::Piece)?);
        body.drain(..PIECE_HEAD);
        Ok(Self { index, kind, payload: body, signature })
    }

    /// Whether only the receiver can open it.
    pub const fn is_sealed(&self) -> bool {
        self.kind == SEALED
    }

    /// Whether it is the end.
    pub const fn is_end(&self) -> bool {
        self.kind == END
    }
}
