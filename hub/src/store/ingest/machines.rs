//! What records of machines and their floating users do to the activations, and what they add to the sums.
//!
//! The site has decided already; the hub follows. A record about what is not the site's is flagged where it would make an
//! activation, and says nothing otherwise: it may be of a life of the journal that the hub never got.

use super::{Arrival, OpenedRecords, evidence::Flag};
use crate::store::{
    error::Error,
    licenses::{self, LicenseSelector},
    machines::{self, Known, Told},
    usage::Ledger,
    webhooks,
    writer::Tx,
};
use serde_json::json;
use sitewarden_protocol::{
    id::ActivationId,
    license_server::activation_text,
    record::{Body, MachineActivated, SessionEnd, SessionEnded},
    time::UnixMillis,
};
use std::collections::BTreeSet;

/// A record of a machine, at its place in the batch.
#[derive(Debug)]
pub(super) struct OfMachine {
    pub(super) index: usize,
    pub(super) at: UnixMillis,
    pub(super) body: Body,
}

impl Arrival<'_> {
    /// Takes in the records of machines after the first `skip`.
    pub(super) fn follow_machines(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        let (mut ledger, mut moved) = (Ledger::default(), BTreeSet::new());
        for record in records.machines.iter().filter(|record| record.index >= skip) {
            moved.extend(self.follow(tx, record, &mut ledger)?);
        }
        ledger.write(tx)?;
        moved.into_iter().try_for_each(|license| webhooks::machines_moved(tx, self.now, license))
    }

    /// Answers the licence whose machines moved.
    fn follow(&self, tx: &Tx<'_>, record: &OfMachine, ledger: &mut Ledger) -> Result<Option<i64>, Error> {
        let (at, activation) = match &record.body {
            Body::MachineActivated(activated) => return self.open_machine(tx, activated, record.at),
            Body::MachineDeactivated(gone) => (record.at, gone.activation),
            Body::Heartbeat(heard) => (record.at, heard.activation),
            Body::SessionEnded(ended) => (record.at, ended.activation),
            _ => return Ok(None),
        };
        let Some(known) = self.machine(tx, activation)? else { return Ok(None) };
        match &record.body {
            Body::MachineDeactivated(gone) => machines::close(tx, known.number, &gone.reason, at)?,
            Body::Heartbeat(heard) => machines::note(tx, &known, heard.users, &heard.features, at, ledger)?,
            Body::SessionEnded(SessionEnded { cause: SessionEnd::Released { by }, .. }) => {
                machines::end_session(tx, known.number, Some(by))?;
            }
            _ => machines::end_session(tx, known.number, None)?,
        }
        Ok(Some(known.place.license))
    }

    fn open_machine(&self, tx: &Tx<'_>, activated: &MachineActivated, at: UnixMillis) -> Result<Option<i64>, Error> {
        let license = match licenses::find(tx, LicenseSelector::Uuid(activated.license)) {
            Ok(license) if license.site == Some(self.sender.site) => license,
            Ok(_) | Err(Error::NotFound { .. }) => {
                return self.strange(tx, activated, "the site has no such license").map(|()| None);
            }
            Err(error) => return Err(error),
        };
        if machines::known(tx, activated.activation)?.is_some_and(|known| known.place.license != license.id) {
            return self.strange(tx, activated, "the activation is another license's").map(|()| None);
        }
        let MachineActivated { activation, hardware, machine, app_version, .. } = activated;
        let told = Told { id: *activation, hardware, machine, app_version };
        machines::open(tx, &license, Some(self.sender.row), told, at, self.now)?;
        Ok(Some(license.id))
    }

    /// An activation of the sender's site that was not given back.
    fn machine(&self, tx: &Tx<'_>, id: ActivationId) -> Result<Option<Known>, Error> {
        let known = machines::known(tx, id)?;
        Ok(known.filter(|known| known.place.site == Some(self.sender.site) && !known.is_over))
    }

    fn strange(&self, tx: &Tx<'_>, activated: &MachineActivated, why: &str) -> Result<(), Error> {
        let activation = activation_text(activated.activation);
        let details = json!({ "license": activated.license, "activation": activation, "why": why });
        self.flag(tx, &Flag { kind: "activation", license: None, details })
    }
}
