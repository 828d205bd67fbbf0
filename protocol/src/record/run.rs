//! Many records in a row.

use super::MAX_BYTES;

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
