//! Without the hub: decisions go on, events are kept, and all of it arrives when the hub is back.

use sitewarden_tests::harness::{Line, until};
use std::time::Duration;

#[test]
fn an_activated_licence_is_verified_also_after_the_hub_is_stopped() {
    let mut line = Line::new(100).unwrap();
    let mut app = line.app().unwrap();
    let verify = "/_config/licenses/_verify?app=EMS";
    let before = app.get(verify).unwrap();
    assert_ne!(before.status, 200, "authorised before it was activated: {}", before.text());
    line.agent.command(&["activate", &line.key]).unwrap();
    let authorised = app.get(verify).unwrap();
    assert_eq!((authorised.status, authorised.json()), (200, "Authorised".into()), "{}", authorised.text());
    line.hub.stop().unwrap();
    assert_eq!(app.get(verify).unwrap().json(), "Authorised");
    // And also for an agent that never saw this hub alive.
    line.agent.kill();
    line.agent.start().unwrap();
    let mut app = line.app().unwrap();
    assert_eq!(app.get(verify).unwrap().json(), "Authorised");
    assert_eq!(line.agent.client().unwrap().get(verify).unwrap().status, 401);
}

#[test]
fn events_are_kept_while_the_hub_is_down_and_arrive_once_when_it_is_back() {
    let mut line = Line::new(100).unwrap();
    line.hub.kill();
    let mut app = line.app().unwrap();
    let connected = |line: &Line| line.agent.status().map(|status| status["sync"]["connected"] == true);
    until(Duration::from_secs(90), "the agent to see that the hub is gone", || Ok((!connected(&line)?).then_some(())))
        .unwrap();
    for number in 0..50 {
        let event = format!(r#"{{"app": "EMS", "kind": "run", "attributes": {{"id": "{number}"}}}}"#);
        assert_eq!(app.post("/api/v1/telemetry/events", event.as_bytes()).unwrap().status, 202);
    }
    assert!(line.agent.backlog().unwrap() >= 50);
    let status = line.agent.status().unwrap();
    assert!(status["sync"]["trouble"].is_string(), "the operator is not told why: {status}");
    line.hub.start().unwrap();
    line.drained().unwrap();
    let ids = line.ids_at_hub().unwrap();
    assert_eq!(ids.len(), 50);
    assert!(ids.values().all(|times| *times == 1), "{ids:?}");
}

#[test]
fn a_licence_issued_later_reaches_a_connected_plant_by_itself() {
    let line = Line::new(100).unwrap();
    let words =
        ["license", "issue", "--site", &line.site, "--app", "CBM", "--quota", "5", "--validity", "30d", "--name", "L2"];
    line.hub.command(&words).unwrap();
    until(Duration::from_secs(20), "the new licence to reach the agent", || {
        let status = line.agent.status()?;
        let apps = status["licenses"].as_array().cloned().unwrap_or_default();
        Ok(apps.iter().any(|license| license["app"] == "CBM").then_some(()))
    })
    .unwrap();
}
