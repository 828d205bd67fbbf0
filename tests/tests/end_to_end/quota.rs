//! Monitors are reserved up to the quota; the next one is refused in the documented words.

use sitewarden_tests::harness::Line;

#[test]
fn monitors_are_reserved_up_to_the_quota_and_refused_after_it() {
    let line = Line::new(3).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    let mut app = line.app().unwrap();
    for number in 1..=3 {
        let reserved = app.put(&format!("/_config/monitors/pump-{number}?app=EMS")).unwrap();
        assert_eq!(reserved.status, 200, "{}", reserved.text());
    }
    let refused = app.put("/_config/monitors/pump-4?app=EMS").unwrap();
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(refused.json()["error"]["status"], 409);
    let message = refused.json()["error"]["message"].to_string();
    assert!(message.contains("exceeds the permitted count (3)"), "{message}");
    // The same one again is no second unit.
    assert_eq!(app.put("/_config/monitors/pump-1?app=EMS").unwrap().status, 200);
    let listed = line.agent.command(&["monitors", "list", "--app", "EMS", "--json"]).unwrap().json().unwrap();
    assert_eq!(listed["monitors"].as_array().map(Vec::len), Some(3), "{listed}");
}

#[test]
fn a_denial_is_told_to_the_hub() {
    let line = Line::new(0).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    assert_eq!(line.app().unwrap().put("/_config/monitors/pump-1?app=EMS").unwrap().status, 409);
    line.drained().unwrap();
    let words = ["record", "list", "--agent", &line.agent_id, "--kind", "denial", "--all"];
    let denials = line.hub.command(&words).unwrap().list().unwrap();
    assert_eq!(denials.len(), 1, "{denials:?}");
}
