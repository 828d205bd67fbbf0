//! The customer's API key in the configuration: made at the hub, proved there, and seen to be revoked.

use super::{BASE, add_people, admin, get, set};
use serde_json::{Value, json};
use sitewarden_tests::harness::{Client, Line, until};
use std::fs;
use std::time::Duration;

/// Makes a key at the hub: the key, and its number.
pub(super) fn make(line: &Line, customer: &str) -> (String, String) {
    let made = line.hub.command(&["apikey", "add", "--customer", customer, "--name", "site"]).unwrap().json().unwrap();
    (made["key"].as_str().unwrap().to_owned(), made["id"].to_string())
}

fn tested(client: &mut Client) -> Value {
    client.post(&format!("{BASE}/test-connection"), b"").unwrap().json()
}

fn health(client: &mut Client) -> String {
    get(client, "/health")["status"].as_str().unwrap().to_owned()
}

#[test]
fn the_hub_says_whether_the_key_counts_and_a_revoked_one_is_seen() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let mut admin = admin(&line);
    until(Duration::from_secs(60), "the line to stand", || Ok((health(&mut admin) == "healthy").then_some(())))
        .unwrap();
    let (key, number) = make(&line, "1");
    set(&mut admin, &json!({ "api_key": key }));
    let answer = tested(&mut admin);
    assert_eq!(
        (&answer["status"], &answer["message"]),
        (&json!("success"), &json!("Successfully connected to License Admin server"))
    );
    // The test is a session of its own; health is that of the one which stands then.
    until(Duration::from_secs(60), "the key to be known", || Ok((health(&mut admin) == "healthy").then_some(())))
        .unwrap();
    let status = get(&mut admin, "/license-status");
    assert_eq!(status["api_key_configured"], json!(true));
    assert!(!status["warning"].to_string().contains("API key"), "{status}");

    line.hub.command(&["apikey", "revoke", &number]).unwrap();
    until(Duration::from_secs(60), "the revoked key to be seen", || {
        Ok((health(&mut admin) == "unhealthy").then_some(()))
    })
    .unwrap();
    let told = get(&mut admin, "/health");
    assert!(told["message"].as_str().unwrap().contains("does not know the API key"), "{told}");
    assert_eq!((&told["api_key_configured"], &told["connection_status"]), (&json!(true), &json!("connected")));
    let answer = tested(&mut admin);
    assert_eq!(answer["status"], "failed");
    assert!(answer["message"].as_str().unwrap().contains("does not know the API key"), "{answer}");

    // Another customer's key is as good as none, and without a key the certificate is enough.
    line.hub.command(&["customer", "add", "Another"]).unwrap();
    set(&mut admin, &json!({ "api_key": make(&line, "2").0 }));
    assert_eq!(health(&mut admin), "unhealthy");
    let cleared = set(&mut admin, &json!({ "api_key": "" }));
    assert_eq!(cleared["api_key_configured"], json!(false));
    until(Duration::from_secs(60), "health without a key", || Ok((health(&mut admin) == "healthy").then_some(())))
        .unwrap();
}

#[test]
fn the_key_is_on_no_disk_in_clear_and_in_no_log() {
    let mut line = Line::new(100).unwrap();
    add_people(&line);
    let (key, _) = make(&line, "1");
    set(&mut admin(&line), &json!({ "api_key": key }));
    tested(&mut admin(&line));
    line.agent.stop().unwrap();
    let (mut waiting, mut files) = (vec![line.agent.folder().to_owned(), line.hub.folder().to_owned()], 0);
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(key.len()).any(|window| window == key.as_bytes()), "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 5, "looked at {files} files");
}
