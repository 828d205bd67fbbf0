//! From an app to the hub's database and back to a person who asks.

use sitewarden_tests::harness::Line;
use std::collections::BTreeMap;

#[test]
fn an_event_goes_from_an_app_to_the_hub_and_is_read_back() {
    let line = Line::new(100).unwrap();
    let mut app = line.app().unwrap();
    let event = br#"{"app": "EMS", "kind": "start", "environment": "production", "outcome": "success", "count": 3,
        "at": "2026-01-31T08:00:00Z", "attributes": {"id": "one", "weight": 1.5, "shift": 2, "manual": true}}"#;
    let taken = app.post("/api/v1/telemetry/events", event).unwrap();
    assert_eq!(taken.status, 202, "{}", taken.text());
    line.drained().unwrap();
    assert_eq!(line.ids_at_hub().unwrap(), BTreeMap::from([("one".to_owned(), 1)]));
    let events = line.hub.events(&line.agent_id).unwrap();
    let shown = events[0].to_string();
    for part in ["EMS", "start", "production", "success", "1.5"] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
}

#[test]
fn the_hub_knows_who_reports_and_how_the_machine_is() {
    let line = Line::new(100).unwrap();
    line.drained().unwrap();
    let shown = line.hub.command(&["agent", "show", &line.agent_id]).unwrap().json().unwrap();
    assert!(shown.to_string().contains(&line.agent_id), "{shown}");
    let kinds = ["epoch_begun", "host"];
    for kind in kinds {
        let words = ["record", "list", "--agent", &line.agent_id, "--kind", kind, "--all"];
        let records = line.hub.command(&words).unwrap().list().unwrap();
        assert!(!records.is_empty(), "no {kind} record at the hub");
    }
}

#[test]
fn both_end_in_good_order_when_asked_to() {
    let mut line = Line::new(100).unwrap();
    assert_eq!(line.agent.stop().unwrap(), Some(0));
    assert_eq!(line.hub.stop().unwrap(), Some(0));
}
