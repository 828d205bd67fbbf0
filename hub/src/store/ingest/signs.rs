//! What sites tell of themselves that the vendor has to look at: clocks that went back, machines that changed, emergency
//! overrides, reports that were dropped. The data is taken in all the same.

use super::{Arrival, OpenedRecords, evidence::Flag};
use crate::store::{agents::fingerprint, error::Error, whole, writer::Tx};
use rusqlite::params;
use serde_json::json;
use sitewarden_protocol::fingerprint::compare;
use sitewarden_protocol::record::{Body, Dropped, FingerprintChange, Override, kind};
use sitewarden_protocol::trusted_time::{Cause, Change};

/// One of them.
#[derive(Debug)]
pub(super) enum Sign {
    Clock(Change),
    Fingerprint(FingerprintChange),
    Override(Override),
    Dropped(Dropped),
}

impl Sign {
    /// The sign in a record, if it is one.
    pub(super) fn of(body: Body) -> Option<Self> {
        match body {
            // Nobody knows what was before 1970: the time that was kept was damaged, or taken away.
            Body::Clock(change) if change.cause == Cause::SteppedBack || change.before.0 == 0 => {
                Some(Self::Clock(change))
            }
            Body::Fingerprint(change) => Some(Self::Fingerprint(change)),
            Body::Override(begun) => Some(Self::Override(begun)),
            Body::Dropped(dropped) => Some(Self::Dropped(dropped)),
            _ => None,
        }
    }
}

impl Arrival<'_> {
    /// Raises a flag for each sign among the records after the first `skip`.
    pub(super) fn flag_signs(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        let new = records.signs.iter().filter(|(index, _)| *index >= skip);
        new.map(|(_, sign)| sign).try_for_each(|sign| match sign {
            Sign::Clock(change) => {
                let details = json!({ "wall": change.wall, "licence_time": change.after });
                self.flag(tx, &Flag { kind: "clock", license: None, details })
            }
            Sign::Fingerprint(change) => self.flag_machine(tx, change),
            Sign::Dropped(dropped) => self.count_dropped(tx, dropped),
            Sign::Override(begun) => {
                let Override { days, until, reason, by } = begun;
                let details = json!({ "days": days, "until": until, "reason": reason, "by": by });
                self.flag(tx, &Flag { kind: "override", license: None, details })
            }
        })
    }

    /// What a site had no room for is no sign of tampering, but somebody has to give it room.
    fn count_dropped(&self, tx: &Tx<'_>, dropped: &Dropped) -> Result<(), Error> {
        let Dropped { since, until, counts } = dropped;
        let named = counts.iter().map(|(number, count)| (kind::name(*number).to_owned(), (*count).into()));
        let named: serde_json::Map<_, serde_json::Value> = named.collect();
        let total = counts.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        tx.prepare_cached(
            "UPDATE agents SET records_dropped = CASE WHEN records_dropped > 9223372036854775807 - ?2
                THEN 9223372036854775807 ELSE records_dropped + ?2 END WHERE id = ?1",
        )?
        .execute(params![self.sender.row, whole(total)])?;
        let details = json!({ "since": since, "until": until, "dropped": named });
        self.flag(tx, &Flag { kind: "dropped", license: None, details })
    }

    /// Compared with what is known here: whoever holds the agent's folder could say that all is well.
    fn flag_machine(&self, tx: &Tx<'_>, change: &FingerprintChange) -> Result<(), Error> {
        let found = compare(&fingerprint::known(tx, self.sender.row)?, &change.parts);
        let same_machine = found.is_same_machine();
        let details = json!({
            "same_machine": same_machine, "matched": found.matched, "of": found.of, "changed": found.changed,
        });
        if !same_machine || found.is_drift() {
            self.flag(tx, &Flag { kind: "fingerprint", license: None, details })?;
        }
        if same_machine { fingerprint::learn(tx, self.sender.row, &change.parts) } else { Ok(()) }
    }
}
