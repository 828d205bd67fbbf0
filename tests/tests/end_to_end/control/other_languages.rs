//! A client in another language, with a library that thousands use.

use super::{ADMIN, PASSWORD, add_people};
use sitewarden_tests::harness::Line;
use std::process::Command;

const SCRIPT: &str = r#"
import sys, requests
base, user, password = sys.argv[1:]
session = requests.Session()
login = session.post(base + "/api/v1/auth/login", json={"username": user, "password": password})
login.raise_for_status()
session.headers["Authorization"] = "Bearer " + login.json()["access_token"]
telemetry = base + "/api/v1/telemetry"
config = session.put(telemetry + "/config", json={"frequency": "weekly", "api_key": "your-api-key"})
config.raise_for_status()
assert config.json()["frequency"] == "weekly" and config.json()["api_key_configured"] is True, config.text
wrong = session.put(telemetry + "/config", json={"frequency": "hourly"})
assert wrong.status_code == 400 and wrong.json()["detail"].startswith("Invalid frequency."), wrong.text
sent = session.post(telemetry + "/send-now")
assert sent.status_code == 200 and sent.json()["status"] == "success", sent.text
history = session.get(telemetry + "/history", params={"limit": 20, "skip": 0}).json()
assert len(history) == 1 and history[0]["response_code"] == 200, history
assert session.get(telemetry + "/health").json()["frequency"] == "weekly"
assert requests.get(telemetry + "/config").status_code == 401
"#;

#[test]
fn python_requests_drives_the_documented_calls() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let base = format!("http://{}", line.agent.http().unwrap());
    let output = Command::new("python3").args(["-c", SCRIPT, &base, ADMIN, PASSWORD]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
