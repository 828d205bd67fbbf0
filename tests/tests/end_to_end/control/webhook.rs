//! The hub's webhook: a hint, checked, that makes the agent ask for the signed snapshot.

use super::{BASE, add_people, admin, get};
use serde_json::{Value, json};
use sitewarden_tests::harness::Line;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const SECRET: &str = "a secret of the tests, long enough to be one";
const PATH: &str = "/webhook/license-update";

/// Signs as the document says, by Python, so that nothing is checked with itself.
fn signed(body: &Value) -> Value {
    let script = "import sys,json,hmac;b=json.loads(sys.argv[2]);\
        b['webhook_signature']=hmac.new(sys.argv[1].encode(),json.dumps(b,sort_keys=True,separators=(',',':')).encode(),'sha256').hexdigest();\
        print(json.dumps(b))";
    let output = Command::new("python3").args(["-c", script, SECRET, &body.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn send(line: &Line, body: &Value) -> (u16, Value) {
    let path = format!("{BASE}{PATH}");
    let answer = line.agent.client().unwrap().post(&path, body.to_string().as_bytes()).unwrap();
    (answer.status, answer.json())
}

fn hint(line: &Line, tier: &str) -> Value {
    let at = line.agent.status().unwrap()["fresh_until"].as_str().unwrap().to_owned();
    json!({
        "customer_id": "customer-123", "subscription_tier": tier, "trial_end_date": "2025-12-01T00:00:00Z",
        "subscription_status": "active", "effective_date": at,
    })
}

#[test]
fn a_genuine_webhook_reports_what_the_signed_snapshot_says_and_is_taken_once() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let body = signed(&hint(&line, "platinum"));
    assert_eq!(send(&line, &body), (401, json!({"detail": "Invalid webhook signature"})), "no secret is set");
    let file = line.agent.folder().with_extension("secret");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    line.agent.command(&["webhook-secret", "set", "--file", file.to_str().unwrap()]).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    let (status, answer) = send(&line, &body);
    assert_eq!((status, &answer["status"]), (200, &json!("success")), "{answer}");
    assert_eq!(answer["customer_id"], "customer-123");
    // A tier that a forger could have written is not what counts.
    assert_eq!((&answer["subscription_tier"], &answer["subscription_status"]), (&json!("custom"), &json!("active")));
    assert!(answer["message"].as_str().unwrap().starts_with("Subscription tier updated for "));
    assert_eq!(super::fields(&answer).len(), 7);
    assert_eq!(send(&line, &body).0, 409, "it was taken before");
    let mut changed = body.clone();
    changed["subscription_status"] = json!("canceled");
    assert_eq!(send(&line, &changed).0, 401);
    let mut stale = hint(&line, "custom");
    stale["effective_date"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(send(&line, &signed(&stale)).0, 400);
    // The line is as good as before.
    line.drained().unwrap();
    assert_eq!(get(&mut admin(&line), "/license-status")["connected"], json!(true));
}

#[test]
fn more_webhooks_than_a_few_have_to_wait() {
    let line = Line::new(100).unwrap();
    let answers: Vec<u16> = (0..12).map(|_| send(&line, &json!({})).0).collect();
    assert_eq!((answers[0], answers[11]), (401, 429), "{answers:?}");
}
