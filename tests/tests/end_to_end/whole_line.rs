//! From an app to the hub's database and back to a person who asks.

use sitewarden_tests::harness::{Line, until};
use std::collections::BTreeMap;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

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
fn the_machines_hour_is_told_also_when_the_agent_stops_within_it() {
    let mut line = Line::new(100).unwrap();
    let read = |line: &Line, kind: &str| {
        let words = ["record", "list", "--agent", &line.agent_id, "--kind", kind, "--all"];
        line.hub.command(&words).unwrap().list().unwrap()
    };
    line.drained().unwrap();
    assert!(read(&line, "host_hourly").is_empty(), "the hour is not over");
    assert_eq!(line.agent.stop().unwrap(), Some(0));
    line.agent.start().unwrap();
    line.drained().unwrap();
    let hours = read(&line, "host_hourly");
    let hour = &hours[0]["body"];
    assert_eq!((hours.len(), hour["samples"].as_u64()), (1, Some(1)), "{hours:?}");
    assert!(hour["memory_max"].as_u64() <= hour["memory_total"].as_u64(), "{hour}");
    assert!(hour["disk_free_min"].as_u64().is_some_and(|free| free > 0), "{hour}");
    until(LIMIT, "one sample of each start", || Ok((read(&line, "host").len() == 2).then_some(()))).unwrap();
}

#[test]
fn both_end_in_good_order_when_asked_to() {
    let mut line = Line::new(100).unwrap();
    assert_eq!(line.agent.stop().unwrap(), Some(0));
    assert_eq!(line.hub.stop().unwrap(), Some(0));
}
