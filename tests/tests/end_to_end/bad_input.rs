//! What apps may get wrong: a 4xx that names the field, and an agent that goes on.

use sitewarden_tests::harness::{Line, Response};

const EVENTS: &str = "/api/v1/telemetry/events";

#[test]
fn a_bad_request_is_a_4xx_that_names_the_field_and_harms_nothing() {
    let line = Line::new(1).unwrap();
    let mut app = line.app().unwrap();
    for (body, status, field) in [
        (r#"{"kind": "run"}"#, 400, "app"),
        (r#"{"app": "EMS"}"#, 400, "kind"),
        (r#"{"app": "EMS", "kind": "run", "count": -1}"#, 400, "count"),
        (r#"{"app": "EMS", "kind": "run", "at": "yesterday"}"#, 400, "at"),
        (r#"{"app": "EMS", "kind": "run", "colour": 1}"#, 400, "colour"),
        (r#"[{"app": "EMS", "kind": "run"}, {"app": 7, "kind": "run"}]"#, 400, "app"),
        (r#"{"app": "EMS", "#, 400, ""),
        ("", 400, ""),
    ] {
        let answer = app.post(EVENTS, body.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        let detail = detail(&answer);
        assert!(detail.contains(field), "{body}: {detail}");
    }
    let huge = format!(r#"{{"app": "EMS", "kind": "run", "outcome": "{}"}}"#, "x".repeat(9 << 20));
    // The agent may answer and close before the whole body is written; both are a refusal.
    if let Ok(answer) = app.post(EVENTS, huge.as_bytes()) {
        assert_eq!(answer.status, 413, "{}", answer.text());
        assert!(detail(&answer).contains("body"), "{}", answer.text());
    }
    let good = app.post(EVENTS, br#"{"app": "EMS", "kind": "run", "attributes": {"id": "good"}}"#).unwrap();
    assert_eq!(good.status, 202, "{}", good.text());
    line.drained().unwrap();
    assert_eq!(line.ids_at_hub().unwrap().into_keys().collect::<Vec<_>>(), ["good"]);
}

#[test]
fn credentials_come_before_every_other_check() {
    let line = Line::new(1).unwrap();
    let mut stranger = line.agent.client().unwrap().basic("ems", "a wrong one");
    assert_eq!(stranger.post(EVENTS, b"{").unwrap().status, 401);
    assert_eq!(stranger.get("/_config/licenses/_verify").unwrap().status, 401);
    assert_eq!(stranger.put("/_config/monitors/x").unwrap().status, 401);
}

#[test]
fn errors_of_the_licence_api_have_its_documented_shape() {
    let line = Line::new(1).unwrap();
    let mut app = line.app().unwrap();
    for (path, status) in [("/_config/licenses/_verify", 400), ("/_config/nothing", 404)] {
        let answer = app.get(path).unwrap();
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_eq!(answer.json()["error"]["status"], status, "{path}: {}", answer.text());
        assert!(answer.json()["error"]["message"].is_string(), "{path}: {}", answer.text());
    }
    let wrong_method = app.post("/_config/licenses/_verify", b"{}").unwrap();
    assert_eq!((wrong_method.status, &wrong_method.json()["error"]["status"]), (405, &405.into()));
}

fn detail(answer: &Response) -> String {
    answer.json()["detail"].as_str().map(str::to_owned).unwrap_or_else(|| panic!("no detail: {}", answer.text()))
}
