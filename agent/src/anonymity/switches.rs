//! What a site may switch while its agent runs.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether telemetry is recorded, made anonymous, and sealed on its way. All of it is on until somebody switches them off: so
/// stands the documented configuration, and what has left by mistake cannot be taken back, while what was kept by mistake
/// comes with the next record.
#[derive(Debug)]
pub struct Switches {
    record: AtomicBool,
    anonymize: AtomicBool,
    seal: AtomicBool,
}

impl Default for Switches {
    fn default() -> Self {
        Self { record: AtomicBool::new(true), anonymize: AtomicBool::new(true), seal: AtomicBool::new(true) }
    }
}

impl Switches {
    /// Whether what apps report and how the machine is are recorded at all (`enabled`).
    pub fn records(&self) -> bool {
        self.record.load(Ordering::Relaxed)
    }

    /// The same from the next record on.
    pub fn set_record(&self, on: bool) {
        self.record.store(on, Ordering::Relaxed);
    }

    /// Whether names become pseudonyms and free text loses addresses (`anonymization_enabled`).
    pub fn anonymizes(&self) -> bool {
        self.anonymize.load(Ordering::Relaxed)
    }

    /// The same from the next record on.
    pub fn set_anonymize(&self, on: bool) {
        self.anonymize.store(on, Ordering::Relaxed);
    }

    /// Whether batches are sealed to the hub's key, where the hub has one (`encryption_enabled`).
    pub fn seals(&self) -> bool {
        self.seal.load(Ordering::Relaxed)
    }

    /// The same from the next batch on.
    pub fn set_seal(&self, on: bool) {
        self.seal.store(on, Ordering::Relaxed);
    }
}
