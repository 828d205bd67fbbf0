//! A hub is backed up while it runs, lost, and put back: agents come again with what the backup has not.

use serde_json::json;
use sitewarden_tests::harness::{Line, until};
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn report(line: &Line, numbers: Range<u32>) {
    let event = |number: u32| json!({"app": "EMS", "kind": "run", "attributes": {"id": number.to_string()}});
    let events: Vec<_> = numbers.map(event).collect();
    let answer = line.app().unwrap().post("/api/v1/telemetry/events", json!(events).to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[test]
fn a_hub_that_is_put_back_gets_again_what_its_backup_has_not() {
    let mut line = Line::new(2).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    report(&line, 0..40);
    line.drained().unwrap();
    let file = line.hub.folder().with_extension("backup");
    let backup = file.to_str().unwrap().to_owned();
    line.hub.command(&["backup", &backup]).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = line.hub.try_command(&["backup", &backup]).unwrap();
    assert!(again.code == Some(2) && again.error.contains("exists already"), "{again:?}");

    // What comes after it, and what the vendor changes after it.
    report(&line, 40..90);
    line.hub.command(&["license", "edit", "1", "--quota", "3"]).unwrap();
    line.drained().unwrap();
    until(Duration::from_secs(30), "the larger quota", || {
        Ok(["M1", "M2", "M3"].iter().all(|monitor| reserve(&line, monitor)).then_some(()))
    })
    .unwrap();
    line.drained().unwrap();
    assert_eq!(line.ids_at_hub().unwrap().len(), 90);

    // Not into a folder that is in use.
    let used = line.hub.try_command(&["restore", &backup]).unwrap();
    assert!(used.code == Some(2) && used.error.contains("holds a hub already"), "{used:?}");
    line.hub.kill();
    fs::rename(line.hub.folder(), line.hub.folder().with_extension("lost")).unwrap();
    // Nor from a file that others may read, or that is not whole.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let open = line.hub.try_command(&["restore", &backup]).unwrap();
    assert!(open.code == Some(2) && open.error.contains("chmod 600"), "{open:?}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let (cut, whole) = (file.with_extension("cut"), fs::read(&file).unwrap());
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    fs::set_permissions(&cut, fs::Permissions::from_mode(0o600)).unwrap();
    let half = line.hub.try_command(&["restore", cut.to_str().unwrap()]).unwrap();
    assert!(half.code == Some(2) && half.error.contains("no whole backup"), "{half:?}");
    assert!(!line.hub.folder().exists(), "what failed left nothing");
    line.hub.command(&["restore", &backup]).unwrap();
    line.hub.start().unwrap();

    until(Duration::from_secs(120), "everything to be there again", || {
        Ok((line.ids_at_hub()?.len() == 90).then_some(()))
    })
    .unwrap();
    line.drained().unwrap();
    let ids = line.ids_at_hub().unwrap();
    assert!(ids.len() == 90 && ids.values().all(|times| *times == 1), "each once: {ids:?}");
    let monitors = line.hub.command(&["monitor", "list", "--site", &line.site]).unwrap().json().unwrap();
    assert_eq!(monitors.as_array().map(Vec::len), Some(3), "reservations that were told after the backup");
    let flags = line.hub.command(&["flag", "list", "--open"]).unwrap().output;
    for kind in ["fork", "gap", "rollback", "clone"] {
        assert!(!flags.contains(kind), "{flags}");
    }
    // The agent takes the hub's word again: its revisions are past all that were issued before.
    line.hub.command(&["license", "edit", "1", "--quota", "4"]).unwrap();
    until(Duration::from_secs(60), "a change made after the restore", || Ok(reserve(&line, "M4").then_some(())))
        .unwrap();
    // Keys and certificates came back too: a second agent can be invited by the same authority.
    assert!(line.hub.invite(&line.site).unwrap().len() > 20);
}

fn reserve(line: &Line, monitor: &str) -> bool {
    line.agent.try_command(&["monitors", "add", monitor, "--app", "EMS"]).is_ok_and(|answer| answer.code == Some(0))
}
