//! One file that is read, piece by piece, while it comes.

use super::{Error, Upload};
use sitewarden_protocol::{
    bundle::{End, Head, Item, Opened, Piece, Reader},
    sealing::OpeningKey,
    signing::PublicKey,
};

/// A file whose head was read.
pub(super) struct Incoming<'a> {
    upload: &'a mut Upload,
    reader: Reader,
    hasher: blake3::Hasher,
    pub(super) head: Head,
    /// What the end says, once it was reached.
    pub(super) end: Option<End>,
}

impl<'a> Incoming<'a> {
    /// Reads the head, and believes nothing of it.
    pub(super) async fn open(upload: &'a mut Upload) -> Result<Self, Error> {
        let (mut reader, mut hasher) = (Reader::default(), blake3::Hasher::new());
        loop {
            if let Some(item) = reader.take()? {
                let Item::Head(head) = item else { return Err(Error::Empty) };
                return Ok(Self { upload, reader, hasher, head: *head, end: None });
            }
            let bytes = upload.chunk().await?.ok_or(Error::Empty)?;
            hasher.update(&bytes);
            reader.feed(&bytes);
        }
    }

    /// The next message that `key` signed; `None` at the end, or where the file is cut.
    pub(super) async fn message(&mut self, key: &PublicKey, keys: &[OpeningKey]) -> Result<Option<Vec<u8>>, Error> {
        while let Some(piece) = self.piece().await? {
            match self.head.open(piece, key, keys)? {
                Opened::Message(body) => return Ok(Some(body)),
                Opened::End(end) => self.end = Some(end),
            }
        }
        Ok(None)
    }

    /// BLAKE3 of what was read of the file.
    pub(super) fn digest(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    async fn piece(&mut self) -> Result<Option<Piece>, Error> {
        loop {
            match self.reader.take()? {
                Some(Item::Piece(piece)) => return Ok(Some(piece)),
                Some(Item::Head(_)) => return Err(Error::Internal),
                None => {}
            }
            let Some(bytes) = self.upload.chunk().await? else { return Ok(None) };
            self.hasher.update(&bytes);
            self.reader.feed(&bytes);
        }
    }
}
