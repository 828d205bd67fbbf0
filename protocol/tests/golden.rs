//! Bytes as they were once written to disks and lines, in `testdata/`, in the folder of the protocol version that first wrote
//! them. They are kept for ever: a later build must read them to the same values, and as long as it writes that version,
//! write the same bytes.
//!
//! A new message needs a new file: `SITEWARDEN_RECORD_GOLDEN=1` writes those that are missing and never changes one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where what it relies on is not so")]

#[path = "golden/bundles.rs"]
mod bundles;
#[path = "golden/records.rs"]
mod records;
#[path = "golden/sessions.rs"]
mod sessions;
#[path = "golden/vectors.rs"]
mod vectors;
#[path = "golden/wire.rs"]
mod wire;

use vectors::{all_names, expect, recording};

#[test]
fn every_recorded_file_is_looked_at() {
    if recording() {
        return; // The other tests are still writing them.
    }
    let mut known = records::names();
    known.extend(wire::names());
    known.extend(bundles::names());
    known.extend(sessions::names());
    known.sort();
    let mut files = all_names();
    files.sort();
    assert_eq!(files, known, "testdata and this test do not name the same vectors");
}

#[test]
fn a_changed_byte_is_seen() {
    assert!(std::panic::catch_unwind(|| expect("sample", &[1, 2, 3], &[1, 2, 4])).is_err());
    expect("sample", &[1, 2, 3], &[1, 2, 3]);
}
