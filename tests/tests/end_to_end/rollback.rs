//! An old copy of the agent's folder is put back, as a virtual machine's snapshot would.

use sitewarden_tests::harness::{Line, python, run, until, workspace};
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
fn vm_snapshot_rolled_back() {
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
    still_works(&line);
}

/// Nobody's monitors stop.
fn still_works(line: &Line) {
    assert_eq!(line.app().unwrap().get("/_config/licenses/_verify?app=EMS").unwrap().status, 200);
    let monitors = line.agent.command(&["monitors", "list", "--app", "EMS", "--json"]).unwrap().json().unwrap();
    assert_eq!(monitors["monitors"], serde_json::json!(["pump-1"]));
}

/// An agent whose folder was put back after the hub had heard more, and which has gone on since in its own way.
fn forked() -> Line {
    let mut line = Line::new(3).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    line.agent.command(&["monitors", "add", "pump-1", "--app", "EMS"]).unwrap();
    report(&line, 3);
    line.agent.stop().unwrap();
    let backup = line.agent.folder().with_extension("backup");
    copy(line.agent.folder(), &backup);
    line.agent.start().unwrap();
    report(&line, 20);
    line.agent.stop().unwrap();
    copy(&backup, line.agent.folder());
    line.hub.stop().unwrap();
    line.agent.start().unwrap();
    let mut app = line.app().unwrap();
    for id in ["after the roll-back 1", "after the roll-back 2"] {
        let event = serde_json::json!({"app": "EMS", "kind": "test", "attributes": {"id": id}});
        assert_eq!(app.post("/api/v1/telemetry/events", event.to_string().as_bytes()).unwrap().status, 202);
    }
    line.hub.start().unwrap();
    line
}

fn flag(line: &Line, kind: &str) -> serde_json::Value {
    until(Duration::from_secs(90), &format!("the red flag {kind}"), || {
        let flags = line.hub.command(&["flag", "list"])?.list()?;
        Ok(flags.into_iter().find(|flag| flag["kind"] == kind))
    })
    .unwrap()
}

#[test]
fn both_halves_of_a_fork_are_kept_and_another_program_can_check_them() {
    let mut line = forked();
    let fork = flag(&line, "fork")["id"].to_string();
    still_works(&line);
    // Flagged once, however often it comes.
    line.agent.kill();
    line.agent.start().unwrap();
    until(Duration::from_secs(60), "a session", || {
        Ok((line.agent.status()?["sync"]["connected"] == true).then_some(()))
    })
    .unwrap();
    let flags = line.hub.command(&["flag", "list"]).unwrap().list().unwrap();
    assert_eq!(flags.iter().filter(|flag| flag["kind"] == "fork").count(), 1, "{flags:?}");

    let file = line.agent.folder().with_extension("evidence");
    line.hub.command(&["flag", "evidence", &fork, file.to_str().unwrap()]).unwrap();
    let check = |file: &Path| {
        let mut command = python("cryptography").unwrap();
        command.arg(workspace().join("tests/proof/fork.py")).arg(file);
        run(command).unwrap()
    };
    let said = check(&file);
    assert_eq!(said.code, Some(0), "{}{}", said.output, said.error);
    assert!(said.output.contains("exists twice") && said.output.contains(&line.agent_id), "{}", said.output);

    // A changed record is no proof.
    let mut evidence: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    evidence["fork"]["records"][0] = "AAAA".into();
    std::fs::write(&file, evidence.to_string()).unwrap();
    assert_ne!(check(&file).code, Some(0));
}

#[test]
fn an_administrators_word_lets_a_forked_agent_go_on_and_nothing_it_recorded_is_lost() {
    let mut line = forked();
    flag(&line, "fork");
    line.hub.command(&["agent", "clear", &line.agent_id, "--note", "the VM was restored from a backup"]).unwrap();
    let epochs = || line.hub.command(&["agent", "show", &line.agent_id]).unwrap().json().unwrap()["epochs"].clone();
    until(Duration::from_secs(90), "the fresh epoch at the hub", || Ok((epochs()[0]["epoch"] == 2).then_some(())))
        .unwrap();
    // It has started itself anew for that, and is there again.
    line.agent.wait().unwrap();
    line.drained().unwrap();
    let ids = line.ids_at_hub().unwrap();
    for id in ["after the roll-back 1", "after the roll-back 2", "19"] {
        assert!(ids.contains_key(id), "{id} is missing in {ids:?}");
    }
    still_works(&line);
    let open = line.hub.command(&["flag", "list", "--open"]).unwrap().list().unwrap();
    assert!(open.iter().all(|flag| flag["kind"] != "fork" && flag["kind"] != "rollback"), "{open:?}");
    // It goes on from there, also after a start, and is not cleared twice.
    line.agent.kill();
    line.agent.start().unwrap();
    let mut app = line.app().unwrap();
    let event = serde_json::json!({"app": "EMS", "kind": "test", "attributes": {"id": "much later"}});
    assert_eq!(app.post("/api/v1/telemetry/events", event.to_string().as_bytes()).unwrap().status, 202);
    line.drained().unwrap();
    assert_eq!(line.ids_at_hub().unwrap()["much later"], 1);
    assert_eq!(epochs()[0]["epoch"], 2);
    still_works(&line);
}
