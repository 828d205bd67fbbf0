//! Machines and floating users at an agent: with the document's own client, over SIGKILL, without a hub, and as the operator
//! sees them.

use serde_json::{Value, json};
use sitewarden_tests::harness::{Client, Hub, Line, python, until, workspace};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const USERS: u32 = 40;
const MACHINES: usize = 8;
const FEATURES: [&str; 2] = ["feature1", "feature2"];
/// The document's own.
const TEST_KEY: &str = "TEST-TEST-TEST-TEST";

/// A line with a licence of CBM for floating users; its key and its number at the hub.
fn floating() -> (Line, String, String) {
    let line = Line::new(1).unwrap();
    let users = USERS.to_string();
    let issue = ["license", "issue", "--site", &line.site, "--app", "CBM", "--users", &users, "--validity", "1y"];
    let features = ["--name", "L2", "--feature", FEATURES[0], "--feature", FEATURES[1]];
    let issued = line.hub.command(&[&issue[..], &features[..]].concat()).unwrap().json().unwrap();
    (line, issued["key"].as_str().unwrap().to_owned(), issued["id"].to_string())
}

fn post(client: &mut Client, endpoint: &str, body: &Value) -> (u16, Value) {
    let answer = client.post(&format!("/api/v1/{endpoint}"), body.to_string().as_bytes()).unwrap();
    (answer.status, answer.json())
}

fn activate(client: &mut Client, key: &str, machine: &str) -> String {
    let body = json!({"license_key": key, "hardware_id": machine, "machine_name": machine, "app_version": "1.0.0"});
    let (status, answer) = post(client, "activate", &body);
    assert_eq!(status, 200, "{answer}");
    answer["activation_id"].as_str().unwrap().to_owned()
}

fn validation(key: &str, activation: &str, machine: &str, users: u32) -> Value {
    json!({"license_key": key, "activation_id": activation, "hardware_id": machine, "current_users": users})
}

fn listed(line: &Line) -> Vec<Value> {
    let answer = line.agent.command(&["sessions", "list", "--app", "CBM", "--json"]).unwrap().json().unwrap();
    answer["sessions"].as_array().unwrap().clone()
}

/// What the document's own client says of a server; it trusts this authority, if one is given.
fn documents_client(base: &str, key: &str, authority: Option<&Path>) -> Value {
    let client = workspace().join("tests/tests/end_to_end/license_client.py");
    let mut python = python("requests").unwrap();
    python.arg(client).arg(base);
    if let Some(authority) = authority {
        python.env("REQUESTS_CA_BUNDLE", authority);
    }
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{key}").unwrap();
    let answer = child.wait_with_output().unwrap();
    serde_json::from_slice(&answer.stdout).unwrap_or_else(|_| {
        panic!("tests/prerequisites installs what is missing: {}", String::from_utf8_lossy(&answer.stderr))
    })
}

fn assert_as_documented(told: &Value, users: u32) {
    let activated = &told["activated"];
    assert_eq!((&activated["success"], &activated["features"]), (&true.into(), &json!(FEATURES)), "{told}");
    assert_eq!((&activated["max_users"], activated["valid_until"].as_str().map(str::len)), (&users.into(), Some(20)));
    assert_eq!(activated, &told["again"]);
    let valid = json!({"valid": true, "features": FEATURES, "max_users": users, "message": "License valid"});
    assert_eq!(told["valid"], valid);
    assert_eq!((&told["elsewhere"]["valid"], &told["elsewhere"]["code"]), (&false.into(), &"HARDWARE_MISMATCH".into()));
}

#[test]
fn the_documents_own_client_works_against_an_agent() {
    let (line, key, _) = floating();
    assert_as_documented(&documents_client(&format!("http://{}", line.agent.http().unwrap()), &key, None), USERS);
}

#[test]
fn the_documents_own_client_works_against_a_hub_and_sees_one_licence_from_both() {
    let (line, _, _) = floating();
    let users = USERS.to_string();
    let issue = ["license", "issue", "--customer", "1", "--app", "CBM", "--users", &users, "--validity", "1y"];
    let features = ["--name", "L3", "--feature", FEATURES[0], "--feature", FEATURES[1]];
    let issued = line.hub.command(&[&issue[..], &features[..]].concat()).unwrap().json().unwrap();
    let (key, id) = (issued["key"].as_str().unwrap(), issued["id"].to_string());
    assert_eq!(key.split('-').map(str::len).collect::<Vec<_>>(), [4; 4]);
    let authority = line.hub.folder().join("authority.pem");
    std::fs::write(&authority, line.hub.command(&["root"]).unwrap().json().unwrap()["certificate"].as_str().unwrap())
        .unwrap();
    let base = format!("https://localhost:{}", line.hub.https().unwrap().port());
    assert_as_documented(&documents_client(&base, key, Some(&authority)), USERS);
    let shown = line.hub.command(&["license", "show", &id]).unwrap().json().unwrap();
    assert_eq!((&shown["status"], &shown["current_activations"]), (&json!("Active"), &json!(1)), "{shown}");
}

#[test]
fn the_documents_own_client_and_credentials_work_against_a_hub_that_is_run_for_development() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = Hub::init(&folder.path().join("hub")).unwrap();
    let http = hub.folder().join("run/http.addr");
    let base = || format!("http://{}", std::fs::read_to_string(&http).unwrap());
    hub.set_arguments(&["--dev", "--http", "127.0.0.1:0"]);
    hub.start().unwrap();
    assert_as_documented(&documents_client(&base(), TEST_KEY, None), 10);
    let log = std::fs::read_to_string(hub.folder().with_extension("log")).unwrap();
    assert!(log.contains("THIS HUB RUNS WITH --dev"), "{log}");
    hub.kill();
    hub.set_arguments(&["--http", "127.0.0.1:0"]);
    hub.start().unwrap();
    let mut client = Client::new(base().trim_start_matches("http://").parse().unwrap());
    let body = json!({"license_key": TEST_KEY, "hardware_id": "pc", "machine_name": "pc", "app_version": "1.0.0"});
    let (status, answer) = post(&mut client, "activate", &body);
    assert_eq!((status, &answer["error"]["code"]), (404, &"INVALID_LICENSE".into()), "{answer}");
}

#[test]
fn what_machines_use_at_a_plant_is_summed_at_the_hub() {
    let (line, key, id) = floating();
    let mut app = line.agent.client().unwrap();
    let activation = activate(&mut app, &key, "pc-1");
    let heartbeat = json!({
        "license_key": key, "activation_id": activation, "current_users": 7, "feature_usage": {FEATURES[0]: 12}
    });
    assert_eq!(post(&mut app, "heartbeat", &heartbeat).0, 200);
    let shown = until(Duration::from_secs(30), "the heartbeat at the hub", || {
        let shown = line.hub.command(&["license", "show", &id])?.json()?;
        Ok((shown["usage_stats"]["total_users"] == 7).then_some(shown))
    })
    .unwrap();
    let expected = json!({ "total_users": 7, "peak_users": 7, "feature_usage": { FEATURES[0]: 12 } });
    assert_eq!(shown["usage_stats"], expected);
    assert_eq!(shown["machines"][0]["id"], json!(activation));
}

#[test]
fn users_and_activations_survive_sigkill_and_racing_claims_never_pass_the_limit() {
    let (mut line, key, _) = floating();
    let mut app = line.agent.client().unwrap();
    let names: Vec<_> = (0..MACHINES).map(|number| format!("pc-{number}")).collect();
    let ids: Vec<_> = names.iter().map(|name| activate(&mut app, &key, name)).collect();
    let granted: Mutex<BTreeMap<String, u32>> = Mutex::default();
    for round in 1..=3 {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for (name, id) in names.iter().zip(&ids) {
                let (mut app, granted, stop, key) = (line.agent.client().unwrap(), &granted, &stop, &key);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let users = granted.lock().unwrap().get(id).copied().unwrap_or(0) + 1;
                        let body = validation(key, id, name, users).to_string();
                        let Ok(answer) = app.post("/api/v1/validate", body.as_bytes()) else { return };
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        if answer.json()["valid"] != true {
                            assert_eq!(answer.json()["code"], "USER_LIMIT");
                            return;
                        }
                        granted.lock().unwrap().insert(id.clone(), users);
                    }
                });
            }
            let enough = round * USERS / 3;
            until(Duration::from_secs(60), "some claims", || {
                Ok((granted.lock().unwrap().values().sum::<u32>() >= enough).then_some(()))
            })
            .unwrap();
            line.agent.kill();
            stop.store(true, Ordering::Relaxed);
        });
        line.agent.start().unwrap();
        let sessions = listed(&line);
        assert_eq!(sessions.len(), MACHINES, "activations were forgotten");
        let users = |id: &str| -> u64 {
            let session = sessions.iter().find(|session| session["activation_id"] == id).unwrap();
            session["users"].as_u64().unwrap()
        };
        let total: u64 = ids.iter().map(|id| users(id)).sum();
        assert!(total <= u64::from(USERS), "{total} users of {USERS}");
        let mut granted = granted.lock().unwrap();
        for id in &ids {
            let had = granted.get(id).copied().unwrap_or(0);
            assert!(users(id) >= u64::from(had), "answered yes to {had} users and forgot: {}", users(id));
            // A claim whose answer was lost may be there too.
            granted.insert(id.clone(), u32::try_from(users(id)).unwrap());
        }
    }
    let mut app = line.agent.client().unwrap();
    assert_eq!(activate(&mut app, &key, &names[3]), ids[3], "the same hardware has another activation after SIGKILL");
}

#[test]
fn all_of_it_works_without_a_hub_and_the_hub_hears_of_it_later() {
    let (mut line, key, license) = floating();
    let known = || Ok((line.agent.status()?["licenses"].as_array().map(Vec::len) == Some(2)).then_some(()));
    until(Duration::from_secs(20), "the licence", known).unwrap();
    line.hub.stop().unwrap();
    let mut app = line.agent.client().unwrap();
    let id = activate(&mut app, &key, "pc");
    assert_eq!(post(&mut app, "validate", &validation(&key, &id, "pc", 3)).1["valid"], true);
    let beat = json!({
        "license_key": key, "activation_id": id, "current_users": 5, "feature_usage": {"feature1": 150, "feature2": 75}
    });
    let (status, answer) = post(&mut app, "heartbeat", &beat);
    assert_eq!((status, &answer["success"]), (200, &true.into()), "{answer}");
    let again = app.post("/api/v1/heartbeat", beat.to_string().as_bytes()).unwrap();
    assert!(
        again.status == 429 && again.retry_after.is_some_and(|seconds| (1..=60).contains(&seconds)),
        "{}",
        again.text()
    );
    line.hub.start().unwrap();
    line.drained().unwrap();
    for kind in ["license_activated", "machine_activated", "heartbeat"] {
        let list = ["record", "list", "--agent", &line.agent_id, "--kind", kind, "--all"];
        let records = line.hub.command(&list).unwrap().list().unwrap();
        assert!(!records.is_empty(), "the hub has no {kind}");
    }
    line.hub.command(&["license", "revoke", &license]).unwrap();
    until(Duration::from_secs(20), "the plant to hear that the licence is revoked", || {
        let (status, answer) = post(&mut app, "validate", &validation(&key, &id, "pc", 5));
        assert_eq!(status, 200, "{answer}");
        Ok((answer["valid"] == false).then(|| assert_eq!(answer["code"], "LICENSE_REVOKED", "{answer}")))
    })
    .unwrap();
}

#[test]
fn the_operator_sees_machines_releases_their_users_and_forgets_them() {
    let (line, key, _) = floating();
    let mut app = line.agent.client().unwrap();
    let (first, second) = (activate(&mut app, &key, "pc-1"), activate(&mut app, &key, "pc-2"));
    let claim = |app: &mut Client, id: &str, machine: &str, users: u32| {
        let (status, answer) = post(app, "validate", &validation(&key, id, machine, users));
        assert_eq!(status, 200, "{answer}");
        answer
    };
    assert_eq!(claim(&mut app, &first, "pc-1", USERS)["valid"], true);
    assert_eq!(claim(&mut app, &second, "pc-2", 1)["code"], "USER_LIMIT");
    let table = line.agent.command(&["status"]).unwrap().output;
    assert!(table.contains("Users") && table.contains("40 of 40"), "{table}");
    let list = line.agent.command(&["sessions", "list"]).unwrap().output;
    assert!(list.contains(&first) && list.contains("pc-1") && list.contains("users 40 of 40, machines 2"), "{list}");

    let released = line.agent.command(&["sessions", "release", &first]).unwrap().output;
    assert_eq!(released.trim(), format!("{first}: 40 users released."));
    assert_eq!(claim(&mut app, &second, "pc-2", 1)["valid"], true);
    assert_eq!(claim(&mut app, &first, "pc-1", 39)["code"], "SESSION_RELEASED");
    assert_eq!(claim(&mut app, &first, "pc-1", 39)["valid"], true);

    line.agent.command(&["sessions", "forget", &first]).unwrap();
    assert_eq!(listed(&line).len(), 1);
    let (status, answer) = post(&mut app, "validate", &validation(&key, &first, "pc-1", 39));
    assert_eq!((status, &answer["error"]["code"]), (404, &"NOT_FOUND".into()), "{answer}");
    for wrong in [first.as_str(), "act_123456"] {
        let answer = line.agent.try_command(&["sessions", "forget", wrong]).unwrap();
        assert_eq!(answer.code, Some(1), "{}", answer.error);
    }
}
