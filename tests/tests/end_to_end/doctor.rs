//! `doctor` on both processes: all is well, and what is wrong is said with what to do about it.

use serde_json::Value;
use sitewarden_tests::harness::{Answer, Line};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn state(answer: &Answer, what: &str) -> (String, String) {
    let told: Value = answer.json().unwrap();
    let found = told["findings"].as_array().unwrap().iter().find(|found| found["what"] == what).cloned();
    let found = found.unwrap_or_else(|| panic!("nothing of {what} in {told}"));
    (found["state"].as_str().unwrap().to_owned(), found["told"].as_str().unwrap().to_owned())
}

fn chmod(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_hubs_doctor_finds_what_is_wrong_whether_it_runs_or_not() {
    let mut line = Line::new(1).unwrap();
    let well = line.hub.command(&["doctor"]).unwrap();
    for what in ["folder", "settings", "keys", "database", "process"] {
        assert_eq!(state(&well, what).0, "well", "{what}: {}", well.output);
    }
    line.hub.stop().unwrap();
    let stopped = line.hub.command(&["doctor"]).unwrap();
    assert_eq!(state(&stopped, "process").0, "doubtful", "it does not run, and nothing is wrong");

    let key = line.hub.folder().join("keys/signing.key");
    chmod(&key, 0o644);
    let open = line.hub.try_command(&["doctor"]).unwrap();
    let (found, told) = state(&open, "keys");
    assert!(open.code == Some(1) && found == "wrong" && told.contains("chmod 600"), "{told}");
    chmod(&key, 0o600);

    // A page in the middle of the database is overwritten.
    let database = line.hub.folder().join("hub.sqlite");
    let whole = fs::read(&database).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2 / 4_096 * 4_096;
    damaged[middle..middle + 4_096].fill(0xa5);
    fs::write(&database, &damaged).unwrap();
    let broken = line.hub.try_command(&["doctor"]).unwrap();
    let (found, _) = state(&broken, "database");
    assert_eq!((broken.code, found.as_str()), (Some(1), "wrong"));
    fs::write(&database, whole).unwrap();
    assert_eq!(line.hub.try_command(&["doctor"]).unwrap().code, Some(0));

    let nowhere = line.hub.folder().with_extension("nowhere");
    fs::create_dir(&nowhere).unwrap();
    fs::rename(line.hub.folder().join("hub.toml"), nowhere.join("hub.toml")).unwrap();
    assert_eq!(line.hub.try_command(&["doctor"]).unwrap().code, Some(3), "no hub is there");
}

#[test]
fn the_agents_doctor_finds_what_is_wrong_whether_it_runs_or_not() {
    let mut line = Line::new(1).unwrap();
    let well = line.agent.command(&["doctor", "--json"]).unwrap();
    for what in ["folder", "settings", "identity", "licences", "journal", "process"] {
        assert_eq!(state(&well, what).0, "well", "{what}: {}", well.output);
    }
    line.agent.stop().unwrap();
    assert_eq!(state(&line.agent.command(&["doctor", "--json"]).unwrap(), "process").0, "doubtful");
    let snapshot = line.agent.folder().join("state/snapshot.bin");
    let mut bytes = fs::read(&snapshot).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&snapshot, &bytes).unwrap();
    let forged = line.agent.try_command(&["doctor", "--json"]).unwrap();
    let (found, told) = state(&forged, "licences");
    assert!(forged.code == Some(1) && found == "wrong" && told.contains("not signed by this hub"), "{told}");
    bytes[last] ^= 1;
    fs::write(&snapshot, &bytes).unwrap();
    chmod(line.agent.folder(), 0o755);
    let open = line.agent.try_command(&["doctor", "--json"]).unwrap();
    let (found, told) = state(&open, "folder");
    assert!(open.code == Some(1) && found == "wrong" && told.contains("chmod 700"), "{told}");
}
