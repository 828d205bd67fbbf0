//! A virtual machine is copied with its disk, and both run: two real agents with one identity, each on a start of its machine
//! of its own.

use serde_json::{Value, json};
use sitewarden_tests::harness::{Agent, Client, Line, PASSWORD, USER, until};
use std::fs;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// What each of the two does while both run.
const ROUNDS: u32 = 150;
/// Sessions that each may need meanwhile: the first one, one that the other's made room for, and one for bad luck.
const MAX_SESSIONS: usize = 3;

/// Has an agent believe that its machine was started another time, from its next start on.
fn boots(agent: &mut Agent, boot: &str) {
    let file = agent.folder().with_extension("boot").display().to_string();
    fs::write(&file, format!("{boot}\n")).unwrap();
    let over = r#"mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@""#;
    agent.under(&["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", over, &file]);
}

fn client(agent: &Agent) -> Client {
    agent.client().unwrap().basic(USER, PASSWORD)
}

/// One round of what apps do at a plant, each step of which has to work.
fn works(app: &mut Client, id: &str) {
    let event = json!({"app": "EMS", "kind": "test", "attributes": {"id": id}});
    assert_eq!(app.post("/api/v1/telemetry/events", event.to_string().as_bytes()).unwrap().status, 202);
    assert_eq!(app.get("/_config/licenses/_verify?app=EMS").unwrap().status, 200);
}

fn keeps_its_monitors(agent: &Agent) {
    let monitors = agent.command(&["monitors", "list", "--app", "EMS", "--json"]).unwrap().json().unwrap();
    assert_eq!(monitors["monitors"], json!(["pump-1"]));
}

fn sessions(agent: &Agent) -> usize {
    agent.logged().unwrap().matches("the line to the hub stands").count()
}

fn flags(line: &Line, kind: &str) -> Vec<Value> {
    let flags = line.hub.command(&["flag", "list"]).unwrap().list().unwrap();
    flags.into_iter().filter(|flag| flag["kind"] == kind).collect()
}

fn flagged(line: &Line, kind: &str) {
    until(LIMIT, &format!("the red flag {kind}"), || Ok((!flags(line, kind).is_empty()).then_some(()))).unwrap();
}

/// A plant at work and its copy, both running and connected.
fn copied() -> (Line, Agent) {
    let mut line = Line::new(3).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    line.agent.command(&["monitors", "add", "pump-1", "--app", "EMS"]).unwrap();
    line.drained().unwrap();
    line.agent.stop().unwrap();
    let to = line.agent.folder().with_file_name("copy");
    assert!(Command::new("cp").arg("-a").arg(line.agent.folder()).arg(&to).status().unwrap().success());
    let mut copy = Agent::new(&to);
    boots(&mut line.agent, "11111111-1111-4111-8111-111111111111");
    boots(&mut copy, "22222222-2222-4222-8222-222222222222");
    // What was logged before is of the one life that both come from.
    fs::remove_file(line.agent.folder().with_extension("log")).unwrap();
    for agent in [&mut line.agent, &mut copy] {
        agent.start().unwrap();
        until(LIMIT, "a session", || Ok((agent.status()?["sync"]["connected"] == true).then_some(()))).unwrap();
    }
    (line, copy)
}

#[test]
fn vm_cloned_both_are_seen_and_flagged_once_neither_stops_and_one_goes_on_at_an_administrators_word() {
    let (mut line, mut copy) = copied();
    let (mut one, mut other) = (client(&line.agent), client(&copy));
    for round in 0..ROUNDS {
        works(&mut one, &format!("one {round}"));
        works(&mut other, &format!("other {round}"));
    }
    flagged(&line, "fork");
    // The one whose records came first goes on sending; the other holds its own back, and says why.
    let held = |agent: &Agent| {
        Ok::<_, anyhow::Error>(agent.status()?["sync"]["trouble"].to_string().contains("another history"))
    };
    until(LIMIT, "one of them to hold", || Ok((held(&line.agent)? || held(&copy)?).then_some(()))).unwrap();
    for round in ROUNDS..2 * ROUNDS {
        works(&mut one, &format!("one {round}"));
        works(&mut other, &format!("other {round}"));
    }
    for agent in [&line.agent, &copy] {
        keeps_its_monitors(agent);
        assert!(sessions(agent) <= MAX_SESSIONS, "{} sessions: they push each other out", sessions(agent));
    }
    // One of them comes again, as both do sooner or later: a start of the machine that was over is back.
    line.agent.kill();
    line.agent.start().unwrap();
    flagged(&line, "clone");
    let mut one = client(&line.agent);
    for round in 2 * ROUNDS..3 * ROUNDS {
        works(&mut one, &format!("one {round}"));
        works(&mut other, &format!("other {round}"));
    }
    for kind in ["fork", "clone"] {
        assert_eq!(flags(&line, kind).len(), 1, "{:?}", flags(&line, kind));
    }
    assert!(flags(&line, "rollback").len() <= MAX_SESSIONS, "{:?}", flags(&line, "rollback"));
    for agent in [&line.agent, &copy] {
        keeps_its_monitors(agent);
        assert!(sessions(agent) <= 2 * MAX_SESSIONS, "{} sessions", sessions(agent));
    }

    // The vendor has the copy switched off, and lets the agent go on.
    copy.stop().unwrap();
    line.hub.command(&["agent", "clear", &line.agent_id, "--note", "the copy is switched off"]).unwrap();
    until(LIMIT, "the fresh epoch at the hub", || {
        let agent = line.hub.command(&["agent", "show", &line.agent_id])?.json()?;
        Ok((agent["epochs"][0]["epoch"] == 2).then_some(()))
    })
    .unwrap();
    line.agent.wait().unwrap();
    works(&mut client(&line.agent), "after");
    line.drained().unwrap();
    let ids = line.ids_at_hub().unwrap();
    let all = (0..3 * ROUNDS).map(|round| format!("one {round}")).chain(["after".to_owned()]);
    let missing: Vec<_> = all.filter(|id| !ids.contains_key(id)).collect();
    assert!(missing.is_empty(), "{missing:?} are not at the hub");
    keeps_its_monitors(&line.agent);
    let open = line.hub.command(&["flag", "list", "--open"]).unwrap().list().unwrap();
    assert!(open.iter().all(|flag| flag["kind"] != "fork" && flag["kind"] != "clone"), "{open:?}");
}
