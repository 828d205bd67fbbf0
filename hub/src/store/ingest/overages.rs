//! What records of overages do to the list of those that last: the last word of the site's agent counts.

use super::{Arrival, OpenedRecords};
use crate::store::{error::Error, writer::Tx};
use rusqlite::params;
use sitewarden_protocol::{
    record::{Excess, Overage},
    time::UnixMillis,
};

/// Which bound was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Bound {
    /// The quota.
    Quota,
    /// What is permitted, the overage included.
    Permitted,
}

impl Bound {
    /// As it is stored.
    pub(in crate::store) const fn name(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Permitted => "permitted",
        }
    }
}

/// A bound that was passed, or is not any more.
#[derive(Debug)]
pub(super) struct Passed {
    /// Its record's place in the batch.
    index: usize,
    at: UnixMillis,
    app: String,
    bound: Bound,
    over: bool,
}

impl Passed {
    pub(super) fn quota(index: usize, at: UnixMillis, told: Overage) -> Self {
        Self { index, at, bound: Bound::Quota, over: told.in_use > told.quota, app: told.app }
    }

    pub(super) fn permitted(index: usize, at: UnixMillis, told: Excess) -> Self {
        Self { index, at, bound: Bound::Permitted, over: told.in_use > told.permitted, app: told.app }
    }
}

impl Arrival<'_> {
    /// Takes in the overages among the records after the first `skip`.
    pub(super) fn note_overages(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        let site = self.sender.site.as_bytes();
        for passed in records.overages.iter().filter(|passed| passed.index >= skip) {
            let (app, bound) = (&passed.app, passed.bound.name());
            if passed.over {
                tx.prepare_cached("INSERT OR REPLACE INTO overages (site, app, bound, since) VALUES (?, ?, ?, ?)")?
                    .execute(params![site, app, bound, passed.at.0])?;
            } else {
                tx.prepare_cached("DELETE FROM overages WHERE site = ? AND app = ? AND bound = ?")?
                    .execute(params![site, app, bound])?;
            }
        }
        Ok(())
    }
}
