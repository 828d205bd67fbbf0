//! A client in another language, with a library that thousands use: every documented call at the agent, and what is asked
//! about telemetry at the hub.

use super::{ADMIN, PASSWORD, add_people, api_key, report};
use crate::measurements::measuring;
use serde_json::json;
use sitewarden_tests::harness::{ADMIN_PASSWORD, Line, python, until, workspace};
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

/// Runs a client of this folder; it ends with 0 if everything is as it says.
fn run(script: &str, arguments: &[&str], secret: &str) {
    let mut client = python("requests").unwrap();
    client.arg(workspace().join("tests/tests/end_to_end/control").join(script)).args(arguments);
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{secret}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn python_requests_drives_the_documented_calls() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let (key, _) = api_key::make(&line, "1");
    until(Duration::from_secs(60), "the line to stand", || {
        Ok((line.agent.status()?["sync"]["connected"] == true).then_some(()))
    })
    .unwrap();
    let base = format!("http://{}", line.agent.http().unwrap());
    run("client.py", &[&base, ADMIN, PASSWORD], &key);
}

#[test]
fn python_requests_asks_the_hub_about_telemetry() {
    let (line, hub, key) = measuring();
    for number in 0..5 {
        report(&line, &json!({"app": "EMS", "kind": "run", "attributes": {"number": number}}));
    }
    line.drained().unwrap();
    run("hub_client.py", &[&format!("http://{hub}"), "admin", ADMIN_PASSWORD, &line.site], &key);
}
