//! Torn writes and flipped bits at every tenth byte of the store's files: the journal opens whatever it finds, keeps what is
//! sound, tells what is not, and takes new records.

use super::*;
use sitewarden_protocol::record::{Body, Record};
use std::fs;
use std::path::Path;

const STEP: usize = 10;
/// Records in the journal that is damaged; few, so that its file is small enough to be damaged everywhere.
const RECORDS: u64 = 12;

#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip(usize),
    Cut(usize),
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(path, target).unwrap();
        }
    }
}

fn damage(path: &Path, damage: Damage) {
    let mut bytes = fs::read(path).unwrap();
    match damage {
        Damage::Flip(at) => bytes[at] ^= 1 << (at % 8),
        Damage::Cut(at) => bytes.truncate(at),
    }
    fs::write(path, bytes).unwrap();
}

/// Opens what was damaged, and checks what has to be true of it.
async fn survives(folder: &TempDir, what: &str) {
    let journal = open(folder, ROOM);
    let head = *journal.head().borrow();
    let (mut after, mut told) = (Position { epoch: 1, seq: 1 }, None);
    let mut sound = 0;
    while let Some(draft) = journal.read_after(after).unwrap() {
        after = draft.after.position;
        for bytes in draft.records.iter() {
            after.seq += 1;
            match Record::decode(bytes).and_then(|record| record.decode_body()) {
                Ok(Body::EpochBegun(begun)) => told = Some(begun),
                _ if after.epoch == 1 => {
                    let expected = format!("record {}", after.seq - 2);
                    assert_eq!(bytes, expected.as_bytes(), "{what}: record {after}");
                    sound += 1;
                }
                _ => {}
            }
        }
    }
    if sound < RECORDS {
        // What is missing is told, in a new epoch, and its numbers are not given out again.
        let begun = told.unwrap_or_else(|| panic!("{what}: {sound} records are left, and nobody says so"));
        assert!(head.epoch > 1 && begun.previous == 1 && begun.kept <= 1 + sound, "{what}: {begun:?}");
        assert_eq!(begun.written, 1 + RECORDS, "{what}: {begun:?}");
    }
    let at = journal.append(run(0, 1)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(at > head, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_write_and_flipped_bit_at_every_tenth_byte() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, ROOM);
    for number in 0..RECORDS {
        journal.append(run(number, 1)).await.unwrap();
    }
    close(&folder, journal);
    let id = "journal/00000001-0000000000000001";
    let used = |name: &str| {
        let bytes = fs::read(folder.path().join(name)).unwrap();
        // A database is zeroes behind what was written.
        bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    };
    let beside = fs::read_dir(folder.path().join(id)).unwrap().map(|entry| entry.unwrap());
    let beside = beside.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name());
    let mut files: Vec<String> = beside.map(|name| format!("{id}/{}", name.to_str().unwrap())).collect();
    files.extend(["journal/dropped".to_owned()]);
    let mut tried = 0;
    for file in files {
        for at in (0..used(&file)).step_by(STEP) {
            for kind in [Damage::Flip(at), Damage::Cut(at)] {
                let damaged = TempDir::new().unwrap();
                copy(folder.path(), damaged.path());
                damage(&damaged.path().join(&file), kind);
                survives(&damaged, &format!("{file} {kind:?}")).await;
                tried += 1;
            }
        }
    }
    println!("{tried} damages");
    assert!(tried > 100, "{tried}");
}
