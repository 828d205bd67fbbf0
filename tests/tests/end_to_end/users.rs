//! The users of an agent, changed on the command line whether it runs or not.

use serde_json::json;
use sitewarden_protocol::snapshot::Administrator;
use sitewarden_tests::harness::{Agent, Line, PASSWORD, USER, resign};
use std::fs;

const NEW: &str = "another one for this test";

fn passwd(agent: &Agent, name: &str, password: &str) -> Option<i32> {
    let file = agent.folder().with_extension("new.password");
    fs::write(&file, format!("{password}\n")).unwrap();
    agent.try_command(&["user", "passwd", name, "--password-file", file.to_str().unwrap()]).unwrap().code
}

fn listed(agent: &Agent) -> serde_json::Value {
    agent.command(&["user", "list", "--json"]).unwrap().json().unwrap()
}

fn verify(line: &Line, user: &str, password: &str) -> u16 {
    line.agent.client().unwrap().basic(user, password).get("/_config/licenses/_verify?app=LM").unwrap().status
}

#[test]
fn while_it_runs_a_changed_or_removed_user_loses_access_at_once() {
    let line = Line::new(1).unwrap();
    line.agent.add_user("boss", "admin", NEW).unwrap();
    assert_eq!(listed(&line.agent), json!([{"name": "boss", "role": "admin"}, {"name": USER, "role": "app"}]));
    // One connection that was let in before, so that nothing but the user counts.
    let (mut app, mut boss) = (line.app().unwrap(), line.agent.client().unwrap().basic("boss", NEW));
    for client in [&mut app, &mut boss] {
        assert_eq!(client.get("/_config/licenses/_verify?app=LM").unwrap().status, 200);
    }
    assert_eq!(passwd(&line.agent, USER, NEW), Some(0));
    assert_eq!(app.get("/_config/licenses/_verify?app=LM").unwrap().status, 401);
    assert_eq!(verify(&line, USER, NEW), 200);
    let removed = line.agent.command(&["user", "remove", "boss", "--json"]).unwrap().json().unwrap();
    assert_eq!(removed, json!({"name": "boss", "removed": true}));
    assert_eq!(boss.get("/_config/licenses/_verify?app=LM").unwrap().status, 401);
    assert_eq!(listed(&line.agent), json!([{"name": USER, "role": "app"}]));

    let again = line.agent.try_command(&["user", "remove", "boss"]).unwrap();
    assert_eq!((again.code, again.error.contains("there is no user boss")), (Some(1), true), "{}", again.error);
    assert_eq!(passwd(&line.agent, USER, "short"), Some(2));
}

#[test]
fn while_it_does_not_run_the_same_is_done_in_its_folder() {
    let mut line = Line::new(1).unwrap();
    line.agent.stop().unwrap();
    line.hub.stop().unwrap();
    line.agent.add_user("boss", "admin", NEW).unwrap();
    assert_eq!(passwd(&line.agent, USER, NEW), Some(0));
    assert_eq!(passwd(&line.agent, USER, "short"), Some(2));
    line.agent.command(&["user", "remove", "boss"]).unwrap();
    resign(&line.agent, |snapshot| {
        snapshot.administrators = vec![Administrator { name: "support".into(), password: "a hash".into() }];
    })
    .unwrap();
    let expected = json!([{"name": USER, "role": "app"}, {"name": "support", "role": "vendor"}]);
    assert_eq!(listed(&line.agent), expected);
    line.agent.start().unwrap();
    assert_eq!(listed(&line.agent), expected);
    let told = line.agent.command(&["user", "list"]).unwrap().output;
    assert!(told.contains("vendor    support"), "{told}");
    assert_eq!([verify(&line, USER, NEW), verify(&line, USER, PASSWORD), verify(&line, "boss", NEW)], [200, 401, 401]);
}
