//! Totals in place of reports, while there is little room.
//!
//! Always true: the totals are on disk before anybody is answered, in a file that is replaced as a whole; they become
//! records when there is room again, or when they grow too many, and each becomes one record and no more. For that the file
//! first says that its set is being written, and behind which record; whoever finds it so looks there for what is missing.

use super::store::Error;
use sitewarden_certs::secret_file;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::codec;
use sitewarden_protocol::record::{Body, Folded, Record, Run, Total};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// The most bytes of totals in one set: some thousand, rewritten with each group of callers. More become records.
const MAX_BYTES: usize = 256 << 10;
/// What one total takes beside its texts, about.
const NUMBERS: usize = 64;

/// The set of totals that reports are folded into.
pub(super) struct Folding {
    path: PathBuf,
    set: Set,
}

/// Totals that can be added up, by what they have in common.
#[derive(Clone, Default)]
struct Set {
    number: u64,
    totals: BTreeMap<Vec<u8>, Total>,
    bytes: usize,
    /// The record behind which the set is being written, epoch and number.
    closing: Option<(u64, u64)>,
}

/// A set on disk: its number, `closing`, and its totals.
type Stored = (u64, Option<(u64, u64)>, Vec<Total>);

/// A set with new reports in it, not on disk yet.
pub(super) struct Draft(Set);

impl Folding {
    /// Opens the file; a missing one is an empty set. `written` is how far the journal was ever written for certain: a set
    /// that was being written before that is in the journal as a whole.
    pub(super) fn open(journal: &Path, written: Position) -> Result<Self, Error> {
        let path = journal.join("totals");
        let set = if path.exists() { Set::read(&path)? } else { Set { number: 1, ..Set::default() } };
        let mut folding = Self { path, set };
        if folding.closing().is_some_and(|after| after < written) {
            folding.finished()?;
        }
        Ok(folding)
    }

    /// The record behind which the set was being written when the process ended.
    pub(super) fn closing(&self) -> Option<Position> {
        self.set.closing.map(|(epoch, seq)| Position { epoch, seq })
    }

    /// Whether there is nothing to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.set.totals.is_empty()
    }

    /// The totals, for those who want to see them.
    pub(super) fn totals(&self) -> Vec<Total> {
        self.set.totals.values().cloned().collect()
    }

    /// Something to add reports to.
    pub(super) fn draft(&self) -> Draft {
        Draft(self.set.clone())
    }

    /// Keeps a draft; answers `false`, and keeps what was, if the disk has no space for it.
    pub(super) fn keep(&mut self, draft: Draft) -> Result<bool, Error> {
        let before = std::mem::replace(&mut self.set, draft.0);
        match self.save() {
            Ok(()) => Ok(true),
            Err(error) if is_full(&error) => {
                self.set = before;
                Ok(false)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Says on disk that the set is written behind `after`, and answers its records, but for those that are `there`. `None`
    /// if the disk has no space for saying so.
    pub(super) fn close(&mut self, after: Position, there: &BTreeSet<u32>) -> Result<Option<Run>, Error> {
        let closing = Set { closing: Some((after.epoch, after.seq)), ..self.set.clone() };
        if !self.keep(Draft(closing))? {
            return Ok(None);
        }
        let record = |(place, total): (u32, &Total)| {
            // It is of its hour, as what it stands for was.
            Record::encode(total.hour(), &Body::Folded(Folded { set: self.set.number, place, total: total.clone() }))
        };
        let missing = (0..).zip(self.set.totals.values()).filter(|(place, _)| !there.contains(place));
        let records: Result<Run, _> = missing.map(record).collect();
        records.map(Some).map_err(|error| Error::Damaged(error.to_string()))
    }

    /// Which of the set's records are among these.
    pub(super) fn places(&self, records: &Run) -> BTreeSet<u32> {
        let ours = |bytes| match Record::decode(bytes).ok()?.decode_body().ok()? {
            Body::Folded(folded) if folded.set == self.set.number => Some(folded.place),
            _ => None,
        };
        records.iter().filter_map(ours).collect()
    }

    /// The set is in the journal; another one begins. Replacing a file by a smaller one is a thing that a full disk may
    /// refuse; then the set stays marked as being written, and the next start finds it in the journal.
    pub(super) fn finished(&mut self) -> Result<(), Error> {
        self.set = Set { number: self.set.number + 1, ..Set::default() };
        self.save().or_else(|error| if is_full(&error) { Ok(()) } else { Err(failed(error)) })
    }

    fn save(&self) -> Result<(), secret_file::Error> {
        let set = &self.set;
        let stored: Stored = (set.number, set.closing, self.totals());
        secret_file::write(&self.path, &codec::encode(&stored))
    }
}

impl Draft {
    /// Adds an append's reports, if all of them can be summed and there is room for them in the set.
    pub(super) fn add(&mut self, records: &Run) -> bool {
        let total = |bytes| Total::of(&Record::decode(bytes).ok()?);
        let Some(totals) = records.iter().map(total).collect::<Option<Vec<_>>>() else { return false };
        let keyed: Vec<_> = totals.into_iter().map(|total| (total.key(), total)).collect();
        let set = &mut self.0;
        let new: usize = keyed.iter().filter(|(key, _)| !set.totals.contains_key(key)).map(|(key, _)| size(key)).sum();
        if set.bytes + new > MAX_BYTES {
            return false;
        }
        for (key, total) in keyed {
            set.add(key, total);
        }
        true
    }
}

impl Set {
    fn add(&mut self, key: Vec<u8>, total: Total) {
        match self.totals.get_mut(&key) {
            Some(known) => known.add(&total),
            None => {
                self.bytes += size(&key);
                self.totals.insert(key, total);
            }
        }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let bytes = secret_file::read(path).map_err(failed)?;
        let stored = codec::decode(&bytes).map_err(|error| Error::Damaged(format!("totals: {error}")))?;
        let (number, closing, totals): Stored = stored;
        let mut set = Self { number, closing, ..Self::default() };
        totals.into_iter().for_each(|total| set.add(total.key(), total));
        Ok(set)
    }
}

fn size(key: &[u8]) -> usize {
    key.len() + NUMBERS
}

fn is_full(error: &secret_file::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, secret_file::Error::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
}

fn failed(error: secret_file::Error) -> Error {
    Error::Io { what: "keeping totals", source: io::Error::other(error) }
}
