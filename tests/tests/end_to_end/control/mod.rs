//! Telemetry and licence control on site, as the control core's document has it.

mod api_key;
mod contract;
mod gates;
mod login;
mod other_languages;
mod transmissions;
mod webhook;

use serde_json::{Value, json};
use sitewarden_tests::harness::{Agent, Client, Line};

pub(crate) const BASE: &str = "/api/v1/telemetry";
const ADMIN: &str = "boss";
const OPERATOR: &str = "tech";
const PASSWORD: &str = "only for this test";

/// Adds an administrator and an operator beside the app's user.
pub(crate) fn add_people(line: &Line) {
    line.agent.add_user(ADMIN, "admin", PASSWORD).unwrap();
    line.agent.add_user(OPERATOR, "operator", PASSWORD).unwrap();
}

pub(crate) fn log_in(agent: &Agent, user: &str) -> Value {
    let body = json!({"username": user, "password": PASSWORD}).to_string();
    let answer = agent.client().unwrap().post("/api/v1/auth/login", body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// A client whose requests are those of this user.
pub(crate) fn client(agent: &Agent, user: &str) -> Client {
    agent.client().unwrap().bearer(log_in(agent, user)["access_token"].as_str().unwrap())
}

pub(crate) fn admin(line: &Line) -> Client {
    client(&line.agent, ADMIN)
}

pub(crate) fn get(client: &mut Client, path: &str) -> Value {
    let answer = client.get(&format!("{BASE}{path}")).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// Changes settings; answers the configuration.
pub(crate) fn set(client: &mut Client, change: &Value) -> Value {
    let answer = client.put_json(&format!("{BASE}/config"), change.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{change}: {}", answer.text());
    answer.json()
}

/// Reports an event as the app's user.
pub(crate) fn report(line: &Line, event: &Value) -> Value {
    let answer = line.app().unwrap().post(&format!("{BASE}/events"), event.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()
}

/// The names of an object's fields, sorted.
pub(crate) fn fields(value: &Value) -> Vec<String> {
    let mut fields: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
    fields.sort_unstable();
    fields
}
