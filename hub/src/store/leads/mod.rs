//! Leads: institutions that may become customers, the people there, and what was said with them.
//!
//! Always true: an institution is found by the words of its name, kind, address and tags and of its contacts' names,
//! addresses and positions, and by its tags, through indexes that change in the same transaction (`search`); at most one
//! of its contacts is the primary one; one that is a customer stays.

mod contacts;
mod convert;
mod fields;
mod institutions;
mod notes;
mod search;

pub use contacts::{Contact, ContactEdit, NewContact};
pub use institutions::{Institution, InstitutionEdit, NewInstitution};
pub use notes::{NewNote, Note, NoteEdit};
#[cfg(test)]
pub(super) use search::explained;
pub use search::{InstitutionFilter, MAX_COUNTED, MAX_WANTED_TAGS};

/// The most contacts of an institution: all of them go into the words that it is found by.
const MAX_CONTACTS: i64 = 200;

/// What the rules forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its customer refers to it.
    #[error("this institution is customer {0}, whose history it is; it cannot be deleted")]
    IsCustomer(i64),
    /// It becomes one customer.
    #[error("this institution is customer {0} already")]
    AlreadyCustomer(i64),
    /// One more would be too many.
    #[error("an institution has at most {MAX_CONTACTS} contacts")]
    TooManyContacts,
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T> {
    /// What was asked for, in order.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: u64,
}

/// Which part of a list.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// How many are left out before it.
    pub skip: usize,
    /// How many at most; [`crate::store::MAX_PAGE`] and no more.
    pub take: usize,
}

/// Why a change came to nothing.
enum Stop {
    Refused(Refusal),
    Failed(super::Error),
}

impl From<super::Error> for Stop {
    fn from(error: super::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// A refusal is an answer. Nothing was written before it.
fn settled<T>(result: Result<T, Stop>) -> Result<Result<T, Refusal>, super::Error> {
    match result {
        Ok(done) => Ok(Ok(done)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn span(span: Span) -> (i64, i64) {
    (super::page_size(span.take), i64::try_from(span.skip).unwrap_or(i64::MAX))
}
