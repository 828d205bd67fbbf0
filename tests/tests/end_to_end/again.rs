//! Agents that are enrolled again: because their key was stolen, their identity lost, or their machine gone. The agent stays
//! the same to the vendor, and nothing that it said yes to is lost.

use crate::plant::Plant;
use serde_json::{Value, json};
use sitewarden_tests::harness::{Agent, Line, PASSWORD, USER, until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Events, on disk at an agent.
fn report(agent: &Agent, ids: &[&str]) {
    let mut app = agent.client().unwrap().basic(USER, PASSWORD);
    for id in ids {
        let event = json!({"app": "EMS", "kind": "test", "attributes": {"id": id}});
        assert_eq!(app.post("/api/v1/telemetry/events", event.to_string().as_bytes()).unwrap().status, 202);
    }
}

/// Waits until exactly these events are at the hub, each once.
fn arrived(line: &Line, ids: &[&str]) {
    let mut expected: Vec<_> = ids.iter().map(|id| ((*id).to_owned(), 1)).collect();
    expected.sort();
    until(LIMIT, "the events at the hub", || Ok((line.agent.backlog()? == 0).then_some(()))).unwrap();
    assert_eq!(line.ids_at_hub().unwrap().into_iter().collect::<Vec<_>>(), expected);
}

fn is_connected(agent: &Agent) -> bool {
    agent.status().unwrap()["sync"]["connected"] == true
}

fn connected(agent: &Agent, wanted: bool) {
    let what = if wanted { "a session" } else { "the end of the session" };
    until(LIMIT, what, || Ok((is_connected(agent) == wanted).then_some(()))).unwrap();
}

/// The one agent that the hub lists.
fn listed(line: &Line) -> Value {
    let agents = line.hub.command(&["agent", "list"]).unwrap().list().unwrap();
    assert_eq!(agents.len(), 1, "{agents:?}");
    assert_eq!(agents[0]["id"], json!(line.agent_id));
    line.hub.command(&["agent", "show", &line.agent_id]).unwrap().json().unwrap()
}

fn copied(line: &Line, name: &str) -> PathBuf {
    let to = line.agent.folder().with_file_name(name);
    assert!(Command::new("cp").arg("-a").arg(line.agent.folder()).arg(&to).status().unwrap().success());
    to
}

fn still_works(line: &Line) {
    assert_eq!(line.app().unwrap().get("/_config/licenses/_verify?app=EMS").unwrap().status, 200);
    let monitors = line.agent.command(&["monitors", "list", "--app", "EMS", "--json"]).unwrap().json().unwrap();
    assert_eq!(monitors["monitors"], json!(["pump-1"]));
    let known = line.hub.command(&["monitor", "list", "--site", &line.site]).unwrap().list().unwrap();
    assert_eq!(known.len(), 1, "{known:?}");
}

/// A plant at work, of which the hub has the event "first".
fn at_work() -> Line {
    let line = Line::new(3).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    line.agent.command(&["monitors", "add", "pump-1", "--app", "EMS"]).unwrap();
    report(&line.agent, &["first"]);
    line.drained().unwrap();
    line
}

#[test]
fn an_agent_whose_key_was_stolen_is_enrolled_again_and_nothing_it_acknowledged_is_lost() {
    let mut line = at_work();
    // The thief has a copy of the folder, and the vendor hears of it.
    line.agent.stop().unwrap();
    let mut thief = Agent::new(&copied(&line, "stolen"));
    line.agent.start().unwrap();
    line.hub.command(&["agent", "revoke", &line.agent_id, "--reason", "its laptop was stolen"]).unwrap();
    connected(&line.agent, false);
    report(&line.agent, &["while revoked 1", "while revoked 2"]);
    let token = line.hub.invite_again(&line.agent_id).unwrap();
    let running = line.agent.enroll_again(&token).unwrap();
    assert_eq!(running.code, Some(4), "an agent that runs is not given other keys: {running:?}");
    line.agent.stop().unwrap();
    let enrolled = line.agent.enroll_again(&token).unwrap().succeeded().unwrap();
    assert!(enrolled.output.contains(&line.agent_id), "{}", enrolled.output);
    line.agent.start().unwrap();
    report(&line.agent, &["after"]);
    arrived(&line, &["first", "while revoked 1", "while revoked 2", "after"]);
    still_works(&line);
    let agent = listed(&line);
    assert_eq!((&agent["status"], &agent["epochs"][0]["epoch"]), (&json!("active"), &json!(2)));
    assert!(agent["enrolled_again_at"].is_string() && agent["revoke_reason"].is_null(), "{agent}");

    // What the thief has opens no door, and nothing that it says is taken in.
    thief.start().unwrap();
    report(&thief, &["stolen"]);
    until(LIMIT, "the thief to be turned away", || Ok(thief.status()?["sync"]["trouble"].as_str().map(drop))).unwrap();
    assert!(!is_connected(&thief));
    let audit = line.hub.command(&["audit", "list"]).unwrap().list().unwrap();
    let did = |action: &str| audit.iter().filter(|row| row["action"] == action).count();
    assert_eq!((did("agent.enrol_again"), did("agent.revoke")), (1, 1), "{audit:?}");
    // And so it stays, after a start too.
    line.agent.kill();
    line.agent.start().unwrap();
    report(&line.agent, &["much later"]);
    arrived(&line, &["first", "while revoked 1", "while revoked 2", "after", "much later"]);
    assert_eq!(listed(&line)["epochs"][0]["epoch"], json!(2));
}

#[test]
fn whoever_has_the_old_key_is_cut_off_the_moment_the_agent_is_enrolled_again() {
    let mut line = at_work();
    line.agent.stop().unwrap();
    let mut thief = Agent::new(&copied(&line, "stolen"));
    thief.start().unwrap();
    connected(&thief, true);
    // Nobody revoked anything: the vendor invites, and the thief is still in.
    let token = line.hub.invite_again(&line.agent_id).unwrap();
    assert!(is_connected(&thief));
    line.agent.enroll_again(&token).unwrap().succeeded().unwrap();
    connected(&thief, false);
    report(&thief, &["stolen"]);
    line.agent.start().unwrap();
    connected(&line.agent, true);
    report(&line.agent, &["after"]);
    arrived(&line, &["first", "after"]);
    assert!(!is_connected(&thief));
    still_works(&line);
}

#[test]
fn an_agent_whose_identity_is_lost_goes_on_with_its_journal() {
    let mut line = at_work();
    line.hub.stop().unwrap();
    report(&line.agent, &["never sent 1", "never sent 2"]);
    line.agent.kill();
    line.hub.start().unwrap();
    fs::remove_dir_all(line.agent.folder().join("identity")).unwrap();
    let token = line.hub.invite_again(&line.agent_id).unwrap();
    // Not by mistake: the token says that the agent is known, and so must whoever uses it.
    let unsaid = line.agent.enroll(&token).unwrap();
    assert_eq!(unsaid.code, Some(2), "{unsaid:?}");
    assert!(unsaid.error.contains("--again"), "{unsaid:?}");
    line.agent.enroll_again(&token).unwrap().succeeded().unwrap();
    line.agent.start().unwrap();
    report(&line.agent, &["after"]);
    arrived(&line, &["first", "never sent 1", "never sent 2", "after"]);
    still_works(&line);
    listed(&line);
    assert!(line.hub.command(&["flag", "list", "--open"]).unwrap().list().unwrap().is_empty());
}

#[test]
fn a_new_machine_takes_the_place_of_one_that_is_gone() {
    let mut line = at_work();
    line.agent.kill();
    fs::remove_dir_all(line.agent.folder()).unwrap();
    let wrong = line.hub.invite(&line.site).unwrap();
    let refused = line.agent.enroll_again(&wrong).unwrap();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(!line.agent.folder().exists());
    let token = line.hub.invite_again(&line.agent_id).unwrap();
    line.agent.enroll_again(&token).unwrap().succeeded().unwrap();
    line.agent.start().unwrap();
    line.agent.add_user(USER, "app", PASSWORD).unwrap();
    assert_eq!(line.agent.status().unwrap()["agent_id"], json!(line.agent_id));
    report(&line.agent, &["on the new machine"]);
    arrived(&line, &["first", "on the new machine"]);
    // The licence is in force without being activated anew, and the monitor is reserved as before.
    line.agent.command(&["monitors", "add", "pump-1", "--app", "EMS"]).unwrap();
    line.drained().unwrap();
    still_works(&line);
    let agent = listed(&line);
    assert_eq!(agent["epochs"].as_array().unwrap().len(), 2, "{agent}");
    assert!(line.hub.command(&["flag", "list", "--open"]).unwrap().list().unwrap().is_empty());
}

/// The number of the newest epoch in a journal.
fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn enrolling_again_can_be_repeated_wherever_it_was_interrupted() {
    let mut line = at_work();
    line.hub.stop().unwrap();
    report(&line.agent, &["never sent"]);
    line.agent.stop().unwrap();
    line.hub.start().unwrap();
    let token = line.hub.invite_again(&line.agent_id).unwrap();
    // The hub's answer cannot be kept: where the snapshot lies is a folder.
    let (snapshot, aside) = (line.agent.folder().join("state/snapshot.bin"), line.agent.folder().join("aside"));
    fs::rename(&snapshot, &aside).unwrap();
    fs::create_dir(&snapshot).unwrap();
    let failed = line.agent.enroll_again(&token).unwrap();
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.error.contains("run the same command again"), "{failed:?}");
    fs::remove_dir(&snapshot).unwrap();
    fs::rename(&aside, &snapshot).unwrap();
    // Somebody starts the agent instead: it serves, although no door is open to it.
    line.agent.start().unwrap();
    report(&line.agent, &["in between"]);
    assert!(!is_connected(&line.agent));
    line.agent.stop().unwrap();
    // Another time, and with the next token too.
    line.agent.enroll_again(&token).unwrap().succeeded().unwrap();
    line.agent.start().unwrap();
    arrived(&line, &["first", "never sent", "in between"]);
    line.agent.stop().unwrap();
    assert!(!files(line.agent.folder()).iter().any(|name| name.starts_with("identity.")), "keys are left behind");
    let token = line.hub.invite_again(&line.agent_id).unwrap();
    line.agent.enroll_again(&token).unwrap().succeeded().unwrap();
    line.agent.start().unwrap();
    report(&line.agent, &["after"]);
    arrived(&line, &["first", "never sent", "in between", "after"]);
    still_works(&line);
}

#[test]
fn a_site_without_a_line_is_enrolled_again_by_two_files() {
    let mut plant = Plant::started(3);
    plant.agent.command(&["activate", &plant.key]).unwrap();
    plant.report(0..5);
    plant.carry("first");
    // On its way when the key is found to be stolen.
    plant.report(5..10);
    let old = plant.file("old");
    plant.agent.command(&["bundle", "export", &old]).unwrap();
    plant.hub.command(&["agent", "revoke", &plant.agent_id]).unwrap();
    let token = plant.hub.invite_again(&plant.agent_id).unwrap();
    // The agent goes on meanwhile, also after a start: the keys of the request wait on disk.
    let (request, answer) = (plant.file("again"), plant.file("again-answer"));
    let ask = ["enroll", "--again", "--token", &token, "--offline-request", &request];
    plant.agent.command(&ask).unwrap();
    plant.agent.stop().unwrap();
    plant.agent.start().unwrap();
    plant.report(10..15);
    let told = plant.carry("in-between");
    assert!(told[0]["notes"].to_string().contains("revoked"), "{told:?}");
    plant.hub.command(&["bundle", "import", &request, "--reply", &answer]).unwrap();
    let running = plant.agent.try_command(&["bundle", "import", &answer]).unwrap();
    assert_eq!(running.code, Some(4), "{running:?}");
    plant.agent.stop().unwrap();
    let enrolled = plant.agent.command(&["bundle", "import", &answer, "--json"]).unwrap().json().unwrap();
    assert_eq!(enrolled["agent_id"], json!(plant.agent_id));
    plant.agent.start().unwrap();
    plant.report(15..20);
    plant.carry("after");
    assert_eq!(plant.agent.backlog().unwrap(), 0);
    let all: Vec<_> = (0..20).map(|id| id.to_string()).collect();
    assert_eq!(plant.ids_at_hub(), all);
    // The old file arrives at last: it is kept, and taken in by nobody.
    let late = plant.hub.command(&["bundle", "import", &old]).unwrap().list().unwrap();
    assert_eq!(late[0]["new_records"], json!(0), "{late:?}");
    assert!(late[0]["notes"].to_string().contains("enrolled again"), "{late:?}");
    assert_eq!(plant.ids_at_hub(), all);
    let waiting = plant.hub.command(&["batch", "list", "--agent", &plant.agent_id]).unwrap().list().unwrap();
    assert!(!waiting.is_empty());
    assert_eq!(plant.hub.command(&["agent", "list"]).unwrap().list().unwrap().len(), 1);
}
