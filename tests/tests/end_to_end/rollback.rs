//! An old copy of the agent's folder is put back, as a virtual machine's snapshot would.

use sitewarden_tests::harness::{Line, until};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn report(line: &Line, count: u32) {
    let mut app = line.app().unwrap();
    for id in 0..count {
        let event = serde_json::json!({"app": "EMS", "kind": "test", "attributes": {"id": id.to_string()}});
        assert_eq!(app.post("/api/v1/telemetry/events", event.to_string().as_bytes()).unwrap().status, 202);
    }
    line.drained().unwrap();
}

#[test]
fn a_restored_copy_is_noticed_at_the_next_contact_and_nobodys_monitors_stop() {
    let mut line = Line::new(3).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    line.agent.command(&["monitors", "add", "pump-1", "--app", "EMS"]).unwrap();
    report(&line, 3);
    line.agent.stop().unwrap();
    let backup = line.agent.folder().with_extension("backup");
    copy(line.agent.folder(), &backup);
    line.agent.start().unwrap();
    // The hub hears more, and the site is given another licence, which the copy knows nothing of.
    report(&line, 5);
    line.hub.command(&["license", "issue", "--site", &line.site, "--app", "CBM", "--name", "later"]).unwrap();
    until(Duration::from_secs(20), "the later licence at the site", || {
        let licenses = line.agent.status()?["licenses"].as_array().map_or(0, Vec::len);
        Ok((licenses == 2).then_some(()))
    })
    .unwrap();
    line.agent.stop().unwrap();
    copy(&backup, line.agent.folder());
    line.agent.start().unwrap();
    let flags = until(Duration::from_secs(30), "the red flag", || {
        let flags = line.hub.command(&["flag", "list", "--open"])?.list()?;
        Ok(flags.iter().any(|flag| flag["kind"] == "rollback").then_some(flags))
    })
    .unwrap();
    let of_what = |flag: &&serde_json::Value| flag["kind"] == "rollback" && flag["details"]["of"] == "journal";
    assert!(flags.iter().any(|flag| of_what(&flag)), "{flags:?}");
    assert_eq!(line.app().unwrap().get("/_config/licenses/_verify?app=EMS").unwrap().status, 200);
    let monitors = line.agent.command(&["monitors", "list", "--app", "EMS", "--json"]).unwrap().json().unwrap();
    assert_eq!(monitors["monitors"], serde_json::json!(["pump-1"]));
}
