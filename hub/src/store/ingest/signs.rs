//! What sites tell of themselves that the vendor has to look at: clocks that went back, machines that changed, emergency
//! overrides. The data is taken in all the same.

use super::{Arrival, OpenedRecords, evidence::Flag};
use crate::store::{agents::fingerprint, error::Error, writer::Tx};
use serde_json::json;
use sitewarden_protocol::fingerprint::compare;
use sitewarden_protocol::record::{Body, FingerprintChange, Override};
use sitewarden_protocol::trusted_time::{Cause, Change};

/// One of them.
#[derive(Debug)]
pub(super) enum Sign {
    Clock(Change),
    Fingerprint(FingerprintChange),
    Override(Override),
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
            Sign::Override(begun) => {
                let Override { days, until, reason, by } = begun;
                let details = json!({ "days": days, "until": until, "reason": reason, "by": by });
                self.flag(tx, &Flag { kind: "override", license: None, details })
            }
        })
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
