//! The outer frame of every message: checked in full before any decoder sees a byte of what is inside.
//!
//! ```text
//! 0      4         6          8        12          20
//! | SWDN | version | reserved | length | checksum  | body …
//! ```
//! Integers are little-endian. `version` is the frame layout's own (1), `reserved` is zero, `length` is the body's in
//! bytes, and `checksum` is the first eight bytes of the body's BLAKE3 hash: it finds damage, it proves nothing.

/// The most bytes a frame's body may have (1 MiB): one full batch of [`crate::batch::MAX_RAW`] always fits.
pub const MAX_BODY: usize = 1 << 20;
/// Bytes before the body.
pub const HEADER: usize = 20;

const MAGIC: [u8; 4] = *b"SWDN";
const VERSION: u16 = 1;

/// Why bytes are no frame. Each is final: after it nothing on the stream can be trusted to be a frame's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first bytes are another protocol's.
    #[error("not a Sitewarden frame")]
    Magic,
    /// A frame layout that this build does not know.
    #[error("frame layout {0} is not known here; this build reads layout {VERSION}")]
    Version(u16),
    /// Bytes that must be zero are not.
    #[error("reserved bytes are set")]
    Reserved,
    /// The body is said to be longer than [`MAX_BODY`].
    #[error("a frame of {0} bytes is over the limit of {MAX_BODY}")]
    Oversize(usize),
    /// The body's checksum is another.
    #[error("the checksum does not match")]
    Checksum,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
}

/// Puts a body into a frame. The caller keeps bodies within [`MAX_BODY`]; a longer one would be refused by every reader.
pub fn encode(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&checksum(body));
    bytes.extend_from_slice(body);
    bytes
}

/// A checked header: how many body bytes to read, and what they must hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    length: usize,
    checksum: [u8; 8],
}

impl Header {
    /// Reads a header, so that a reader takes no memory for a body before its length is known to be allowed.
    ///
    /// # Errors
    /// Any of [`Error`] but `Checksum`.
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Self, Error> {
        let [m0, m1, m2, m3, v0, v1, r0, r1, l0, l1, l2, l3, checksum @ ..] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(Error::Magic);
        }
        match u16::from_le_bytes([v0, v1]) {
            VERSION => {}
            other => return Err(Error::Version(other)),
        }
        if [r0, r1] != [0; 2] {
            return Err(Error::Reserved);
        }
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if length > MAX_BODY {
            return Err(Error::Oversize(length));
        }
        Ok(Self { length, checksum })
    }

    /// The body's length in bytes, at most [`MAX_BODY`].
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Checks the body that was read.
    ///
    /// # Errors
    /// [`Error::Truncated`] if it is short, [`Error::Checksum`] if it is not what was framed.
    pub fn check(&self, body: &[u8]) -> Result<(), Error> {
        if body.len() != self.length {
            return Err(Error::Truncated);
        }
        if checksum(body) == self.checksum { Ok(()) } else { Err(Error::Checksum) }
    }
}

fn checksum(body: &[u8]) -> [u8; 8] {
    let mut short = [0; 8];
    short.copy_from_slice(&blake3::hash(body).as_bytes()[..8]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<&[u8], Error> {
        let (head, body) = bytes.split_first_chunk::<HEADER>().ok_or(Error::Truncated)?;
        Header::parse(head)?.check(body)?;
        Ok(body)
    }

    #[test]
    fn a_frame_is_read_back() {
        assert_eq!(parse(&encode(b"body")), Ok(b"body".as_slice()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let frame = encode(b"some body");
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&bad).is_err(), "bit {bit}");
        }
        for length in 0..frame.len() {
            assert!(parse(&frame[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn an_oversize_length_is_refused_from_the_header_alone() {
        let mut head = [0; HEADER];
        head.copy_from_slice(&encode(b"")[..HEADER]);
        head[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(Header::parse(&head), Err(Error::Oversize(_))));
    }
}
