//! Machines that are rolled back and copied.
//!
//! An image of the plant's disk is made once. When the agent is killed, its machine may come back as that image; or a copy
//! of the machine may be started in its place, and later the first one again. When the faults stop, the copy that does not
//! run is put away for good. What only a machine had that is no more, nobody can be asked for.

use super::invariants::Journals;
use super::journal::Journal;
use super::world::World;
use sitewarden_protocol::snapshot;

/// The disks that there are beside the plant's.
#[derive(Default)]
pub(super) struct Copies {
    image: Option<Disk>,
    other: Option<Disk>,
}

#[derive(Clone)]
struct Disk {
    journal: Journal,
    snapshot: snapshot::Version,
}

impl World {
    /// The journals that there are.
    pub(super) fn journals(&self) -> Vec<&Journal> {
        let other = self.copies.other.as_ref().map(|disk| &disk.journal);
        [&self.plant.journal].into_iter().chain(other).collect()
    }

    /// What is on the disk now; the machine goes on.
    fn disk(&self) -> Disk {
        let mut journal = self.plant.journal.clone();
        journal.killed(0);
        Disk { journal, snapshot: self.plant.snapshot }
    }

    pub(super) fn make_image(&mut self) {
        self.copies.image = Some(self.disk());
    }

    /// The agent's process has ended; perhaps another machine is started in place of this one.
    pub(super) fn change_machines(&mut self) {
        if !self.faults {
            return;
        }
        if self.random.chance(self.plan.rollback)
            && let Some(image) = self.copies.image.clone()
        {
            self.start_from(image);
            self.discard();
        } else if self.random.chance(self.plan.copy) {
            let this = self.disk();
            let other = self.copies.other.replace(this.clone()).unwrap_or(this);
            self.start_from(other);
        }
    }

    fn start_from(&mut self, disk: Disk) {
        self.ledger.forked = true;
        self.summary.forks += 1;
        self.ledger.fates.learn(&self.plant.journal.fate);
        (self.plant.journal, self.plant.snapshot) = (disk.journal, disk.snapshot);
        self.changed = true;
    }

    /// One machine is left.
    pub(super) fn put_copies_away(&mut self) {
        self.copies.image = None;
        if let Some(other) = self.copies.other.take() {
            self.ledger.fates.learn(&other.journal.fate);
            self.discard();
        }
    }

    /// The hub was restored: what a machine had that is no more is gone with what the hub had of it.
    pub(super) fn forget_what_only_the_hub_had(&mut self) {
        if self.ledger.forked {
            self.discard();
        }
    }

    fn discard(&mut self) {
        let other = self.copies.other.as_ref().map(|disk| &disk.journal);
        let journals: Vec<&Journal> = [&self.plant.journal].into_iter().chain(other).collect();
        let journals: Journals = &journals;
        self.ledger.discard(journals, &self.vendor.store);
        self.changed = true;
    }
}
