//! What leaves a site that is set as it comes: no name, no address, and nothing that can be read on the way.

use sitewarden_tests::harness::{Line, until};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Planted wherever an app or an operator can put something.
const SECRETS: [&str; 9] = [
    "anna.meyer",
    "bertrand",
    "Jürgen",
    "example.com",
    "10.20.30.40",
    "2001:db8",
    "PLANT-PC-0815",
    "4711470",
    "secret-host",
];

/// Shows that what was looked through holds what was sent.
const HARMLESS: &str = "the late shift";

const EVENTS: &str = r#"[
  {"app": "EMS", "kind": "login", "outcome": "success", "attributes": {
     "user": "anna.meyer", "user_id": 4711470, "hostName": "PLANT-PC-0815", "client-ip": "10.20.30.40",
     "note": "the late shift: ask anna.meyer@example.com, or Jürgen@secret-host, at 10.20.30.40 or [2001:db8::17]:443",
     "approvedBy": "Jürgen", "weight": 1.5}},
  {"app": "EMS", "kind": "policy_decision", "outcome": "10.20.30.40", "count": 3,
     "attributes": {"machine": "secret-host", "mail": "bertrand@example.com", "shift": "late"}}
]"#;

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn nothing_that_names_somebody_leaves_the_site() {
    let mut line = Line::new(1).unwrap();
    // A technician whose name goes into the record of the activation, online and then offline.
    line.agent.add_user("bertrand", "operator", "only for this test").unwrap();
    let mut technician = line.agent.client().unwrap().basic("bertrand", "only for this test");
    let key = format!(r#"{{"license_key": "{}"}}"#, line.key);
    assert_eq!(technician.post("/_config/licenses/_activate", key.as_bytes()).unwrap().status, 200);
    let mut app = line.app().unwrap();
    let taken = app.post("/api/v1/telemetry/events", EVENTS.as_bytes()).unwrap();
    assert_eq!(taken.status, 202, "{}", taken.text());
    // Two monitors under a licence for one: a denial.
    for monitor in ["pump-1", "pump-2"] {
        app.put(&format!("/_config/monitors/{monitor}?app=EMS")).unwrap();
    }
    line.drained().unwrap();
    until(LIMIT, "the live status at the hub", || {
        let shown = line.hub.command(&["agent", "show", &line.agent_id])?.json()?.to_string();
        Ok(shown.contains("\"EMS\"").then_some(()))
    })
    .unwrap();
    let sent = line.agent.metric("sitewarden_agent_sync_batches_sent_total").unwrap();
    assert!(sent > 0.0);
    assert_eq!(line.agent.metric("sitewarden_agent_sync_batches_sealed_total").unwrap(), sent);

    // The agent first: what it still has to say at its end is to be here too.
    assert_eq!(line.agent.stop().unwrap(), Some(0));
    assert_eq!(line.hub.stop().unwrap(), Some(0));
    let database = fs::read(line.hub.folder().join("hub.sqlite")).unwrap();
    assert!(contains(&database, HARMLESS), "the records are not where this test looks");
    assert!(contains(&database, "anon-"));
    for secret in SECRETS {
        assert!(!contains(&database, secret), "{secret} is at the hub");
    }
    // Only the site can tell who is who.
    let key = fs::read(line.agent.folder().join("state/anonymity.key")).unwrap();
    assert!(!database.windows(key.len()).any(|window| window == key));
}

#[test]
fn the_machines_own_name_is_in_no_record() {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let line = Line::new(1).unwrap();
    line.drained().unwrap();
    let words = ["record", "list", "--agent", &line.agent_id, "--all"];
    let records = line.hub.command(&words).unwrap().list().unwrap();
    assert!(records.len() > 1);
    for record in records {
        assert!(!record["body"].to_string().contains(name.trim()), "{record}");
    }
}
