//! Sending by transmissions only: nothing leaves before, all of it then, and the history says so.

use super::{BASE, add_people, admin, get, report, set};
use serde_json::{Value, json};
use sitewarden_tests::harness::{Agent, Client, Line, until};
use std::time::Duration;

/// An agent that sends in transmissions only.
fn held_back() -> Line {
    let mut line = Line::new(100).unwrap();
    add_people(&line);
    line.agent.stop().unwrap();
    let agent = std::mem::replace(&mut line.agent, Agent::new(std::path::Path::new("/nowhere")));
    line.agent = agent.with("SITEWARDEN_AGENT_TELEMETRY__LIVE", "false");
    line.agent.start().unwrap();
    until(Duration::from_secs(30), "the line to stand", || {
        Ok((line.agent.status()?["sync"]["connected"] == true).then_some(()))
    })
    .unwrap();
    line
}

fn send_now(client: &mut Client) -> (u16, Value) {
    let answer = client.post(&format!("{BASE}/send-now"), b"").unwrap();
    (answer.status, answer.json())
}

#[test]
fn nothing_leaves_before_it_is_sent_and_then_all_of_it_does() {
    let line = held_back();
    let mut admin = admin(&line);
    assert_eq!(send_now(&mut admin).0, 200, "what was queued at the start");
    for number in 0..20 {
        let (environment, outcome) = if number < 12 { ("sandbox", "success") } else { ("production", "denied") };
        report(
            &line,
            &json!({
                "app": "EMS", "kind": "policy_decision", "environment": environment, "outcome": outcome,
                "attributes": {"id": number.to_string()},
            }),
        );
    }
    report(&line, &json!({"app": "EMS", "kind": "bouncer_seen", "attributes": {"id": "b1", "bouncer": "b1"}}));
    let preview = get(&mut admin, "/preview");
    for (field, sum) in [
        ("policy_decision_count", 20),
        ("successful_decisions", 12),
        ("sandbox_events", 12),
        ("production_events", 8),
        ("total_events", 21),
        ("active_bouncer_count", 1),
    ] {
        assert_eq!(preview[field], json!(sum), "{field}");
    }
    let raw = get(&mut admin, "/preview?raw=true&limit=1000");
    let records = raw["records"].as_array().unwrap();
    let events: Vec<&Value> = records.iter().filter(|record| record["kind"] == "event").collect();
    assert_eq!((events.len(), &events[0]["body"]["attributes"]["id"]), (21, &json!("0")), "{raw}");
    // What the agent recorded of itself is shown by its fields too.
    for record in records {
        let body = record["body"].as_object().unwrap_or_else(|| panic!("{record}"));
        assert!(!body.contains_key("text") && body.len() > 1, "{record}");
    }
    let page = get(&mut admin, "/preview?raw=true&skip=1&limit=2");
    assert_eq!(page["records"].as_array().unwrap()[..], records[1..3]);
    let ids = line.ids_at_hub().unwrap();
    assert!(ids.is_empty(), "they left before they were sent: {ids:?}");
    let queued = line.agent.backlog().unwrap();
    let (status, sent) = send_now(&mut admin);
    assert_eq!((status, &sent["status"]), (200, &json!("success")), "{sent}");
    assert_eq!(sent["records_sent"], json!(queued));
    assert_eq!(line.ids_at_hub().unwrap().len(), 21);
    let history = get(&mut admin, "/history?limit=1");
    assert_eq!((&history[0]["records_sent"], &history[0]["status"]), (&json!(queued), &json!("success")));
    assert_eq!((&history[0]["response_code"], &history[0]["retry_count"]), (&json!(200), &json!(0)));
    assert_eq!(get(&mut admin, "/preview")["total_events"], json!(0));
    let retried = admin.post(&format!("{BASE}/history/{}/retry", history[0]["id"]), b"").unwrap();
    assert_eq!(retried.status, 400, "one that did not fail is not tried again: {}", retried.text());
}

#[test]
fn a_transmission_that_fails_is_in_the_history_and_can_be_tried_again() {
    let mut line = held_back();
    let mut admin = admin(&line);
    line.hub.kill();
    report(&line, &json!({"app": "EMS", "kind": "run", "attributes": {"id": "1"}}));
    until(Duration::from_secs(90), "the agent to see that the hub is gone", || {
        Ok((line.agent.status()?["sync"]["connected"] == false).then_some(()))
    })
    .unwrap();
    let (status, body) = send_now(&mut admin);
    assert_eq!(status, 500, "{body}");
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.starts_with("Transmission error: Connection timeout"), "{detail}");
    let failed = get(&mut admin, "/history")[0].clone();
    assert_eq!((&failed["status"], &failed["records_sent"]), (&json!("failed"), &json!(0)), "{failed}");
    assert_eq!((&failed["response_code"], &failed["transmitted_at"]), (&json!(503), &Value::Null));
    assert!(failed["error_details"].as_str().unwrap().starts_with("Connection timeout"), "{failed}");
    assert_eq!(get(&mut admin, "/health")["status"], "unhealthy");
    line.hub.start().unwrap();
    until(Duration::from_secs(30), "the line to stand again", || {
        Ok((line.agent.status()?["sync"]["connected"] == true).then_some(()))
    })
    .unwrap();
    assert!(line.ids_at_hub().unwrap().is_empty(), "a line alone sends nothing");
    let answer = admin.post(&format!("{BASE}/history/{}/retry", failed["id"]), b"").unwrap();
    assert_eq!(
        answer.json(),
        json!({
            "status": "success", "message": "Transmission retry successful", "log_id": failed["id"], "retry_count": 1,
        })
    );
    assert_eq!(line.ids_at_hub().unwrap().len(), 1);
    let row = get(&mut admin, "/history")[0].clone();
    assert_eq!((&row["id"], &row["status"], &row["retry_count"]), (&failed["id"], &json!("success"), &json!(1)));
    assert_eq!(get(&mut admin, "/health")["status"], "healthy");
}

#[test]
fn a_failed_transmission_is_tried_again_by_itself_also_after_a_kill() {
    let mut line = held_back();
    let mut admin = admin(&line);
    set(&mut admin, &json!({"frequency": "daily"}));
    line.hub.kill();
    report(&line, &json!({"app": "EMS", "kind": "run", "attributes": {"id": "1"}}));
    let asked = std::thread::spawn({
        let mut client = super::admin(&line);
        move || client.post(&format!("{BASE}/send-now"), b"").map(|answer| answer.status)
    });
    until(Duration::from_secs(20), "the transmission to begin", || {
        Ok((get(&mut admin, "/history")[0]["status"] == "in_progress").then_some(()))
    })
    .unwrap();
    line.agent.kill();
    assert!(asked.join().unwrap().is_err(), "the agent died with the request");
    line.hub.start().unwrap();
    line.agent.start().unwrap();
    until(Duration::from_secs(60), "the transmission to be finished", || {
        Ok(line.ids_at_hub()?.contains_key("1").then_some(()))
    })
    .unwrap();
    let mut admin = super::admin(&line);
    until(Duration::from_secs(20), "the history to say so", || {
        let row = get(&mut admin, "/history")[0].clone();
        Ok((row["status"] == "success" && row["retry_count"] == 1).then_some(()))
    })
    .unwrap();
}

#[test]
fn runs_that_were_missed_while_the_agent_was_off_are_made_up_for_by_one() {
    let mut line = held_back();
    let mut admin = admin(&line);
    assert_eq!(get(&mut admin, "/history"), json!([]), "a new schedule makes up for nothing");
    report(&line, &json!({"app": "EMS", "kind": "run", "attributes": {"id": "1"}}));
    line.agent.stop().unwrap();
    let file = line.agent.folder().join("state/transmissions.json");
    let mut known: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let through = known["remembered"]["through"].as_i64().unwrap();
    known["remembered"]["through"] = json!(through - 100 * 86_400_000);
    std::fs::write(&file, known.to_string()).unwrap();
    line.agent.start().unwrap();
    let mut admin = super::admin(&line);
    until(Duration::from_secs(60), "the missed run", || {
        Ok((get(&mut admin, "/history")[0]["status"] == "success").then_some(()))
    })
    .unwrap();
    assert_eq!(line.ids_at_hub().unwrap().len(), 1);
    let row = get(&mut admin, "/history")[0].clone();
    assert!(row["transmission_date"].as_str().unwrap().ends_with("T02:00:00Z"), "it is of the run: {row}");
    line.agent.stop().unwrap();
    line.agent.start().unwrap();
    let mut admin = super::admin(&line);
    // Taken up after what is due at the start, if anything were.
    assert_eq!(send_now(&mut admin).0, 200);
    assert_eq!(get(&mut admin, "/history?limit=100").as_array().unwrap().len(), 2, "once is enough");
}

#[test]
fn while_it_is_disabled_the_schedule_sends_what_is_only_evidence_about_licences() {
    let mut line = held_back();
    let mut admin = admin(&line);
    assert_eq!(send_now(&mut admin).0, 200);
    set(&mut admin, &json!({"enabled": false}));
    line.agent.command(&["activate", &line.key]).unwrap();
    line.agent.command(&["monitors", "add", "M1", "--app", "EMS"]).unwrap();
    line.agent.stop().unwrap();
    let file = line.agent.folder().join("state/transmissions.json");
    let mut known: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    known["remembered"]["through"] = json!(known["remembered"]["through"].as_i64().unwrap() - 100 * 86_400_000);
    std::fs::write(&file, known.to_string()).unwrap();
    line.agent.start().unwrap();
    let mut admin = super::admin(&line);
    until(Duration::from_secs(60), "the evidence to be sent", || {
        let history = get(&mut admin, "/history");
        Ok((history.as_array().map(Vec::len) == Some(2) && history[0]["status"] == "success").then_some(()))
    })
    .unwrap();
    let kinds = ["record", "list", "--agent", &line.agent_id, "--all"];
    let records = line.hub.command(&kinds).unwrap().list().unwrap();
    let count = |kind: &str| records.iter().filter(|record| record["kind"] == kind).count();
    assert_eq!((count("monitor_reserved"), count("event")), (1, 0));
}
