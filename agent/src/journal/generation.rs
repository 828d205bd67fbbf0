//! One generation: a folder with one database that holds a stretch of one epoch.

use super::page::Page;
use super::store::{Database, Error};
use sitewarden_protocol::chain::{Cursor, Position};
use std::fmt;
use std::path::{Path, PathBuf};

/// Records after which the next generation is begun. An open database takes memory for what was written to it, so this
/// bounds the agent's: at twice the size, a million queued records came to 67 MiB resident. It opens in 30 ms, and its
/// folder is removed in one go.
pub(super) const RECORDS: u64 = 50_000;

/// Which generation: its epoch and its first record's number, which is also its folder's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) epoch: u64,
    pub(super) first: u64,
}

impl Id {
    pub(super) fn folder(self, journal: &Path) -> PathBuf {
        journal.join(self.to_string())
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let (epoch, first) = name.split_once('-')?;
        let id = Self { epoch: epoch.parse().ok()?, first: first.parse().ok()? };
        (id.epoch > 0 && id.first > 0 && id.to_string() == name).then_some(id)
    }

    /// The position before its first record.
    pub(super) fn before(self) -> Position {
        Position { epoch: self.epoch, seq: self.first - 1 }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}-{:016}", self.epoch, self.first)
    }
}

/// An open generation.
pub(super) struct Generation {
    pub(super) id: Id,
    database: Database,
}

impl Generation {
    /// Opens the generation's database below the journal's folder, or creates it.
    pub(super) fn open(journal: &Path, id: Id) -> Result<Self, Error> {
        Ok(Self { id, database: Database::open(&id.folder(journal))? })
    }

    /// Bytes of its database's file.
    pub(super) fn size(&self) -> Result<u64, Error> {
        self.database.size()
    }

    /// Puts pages, first record number first, and makes them durable.
    pub(super) fn commit(&self, pages: &[(u64, Page)]) -> Result<(), Error> {
        for (first, page) in pages {
            self.database.insert(*first, &page.encode())?;
        }
        self.database.commit()
    }

    /// The pages from the one that holds record `seq` on.
    pub(super) fn pages_from(&self, seq: u64) -> impl Iterator<Item = Result<(u64, Page), Error>> {
        self.database.from(seq).map(|entry| entry.and_then(|(first, bytes)| Ok((first, decode(&bytes)?))))
    }

    /// Reads every page and checks that numbers and chain run on: where what is sound ends, `None` if nothing is, and
    /// what is wrong after it.
    ///
    /// # Errors
    /// If the file system fails; damage is an answer.
    pub(super) fn verify(&self) -> Result<(Option<Cursor>, Option<String>), Error> {
        let mut end: Option<Cursor> = None;
        for entry in self.pages_from(0) {
            let (first, page) = match entry {
                Ok(entry) => entry,
                Err(Error::Damaged(reason)) => return Ok((end, Some(reason))),
                Err(error) => return Err(error),
            };
            let expected = end.map_or(self.id.first, |end| end.position.seq + 1);
            if first != expected || end.is_some_and(|end| end.chain != page.prev) {
                return Ok((end, Some(format!("records from {first} on do not join on to those before"))));
            }
            end = Some(self.end_of(first, &page));
        }
        Ok((end, None))
    }

    fn end_of(&self, first: u64, page: &Page) -> Cursor {
        let seq = first + u64::from(page.records.count()) - 1;
        Cursor { position: Position { epoch: self.id.epoch, seq }, chain: page.prev.then_all(page.records.iter()) }
    }
}

fn decode(bytes: &[u8]) -> Result<Page, Error> {
    Page::decode(bytes).map_err(|_| Error::Damaged("a page is no run of records".to_owned()))
}
