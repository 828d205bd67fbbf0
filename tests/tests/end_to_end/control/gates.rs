//! What licences let Control Core do.

use super::{add_people, admin, get};
use serde_json::{Value, json};
use sitewarden_tests::harness::{Line, until};
use std::time::Duration;

fn issue(line: &Line, name: &str, more: &[&str]) -> String {
    let words = [&["license", "issue", "--site", &line.site, "--app", "CC", "--name", name], more].concat();
    line.hub.command(&words).unwrap().json().unwrap()["key"].as_str().unwrap().to_owned()
}

#[test]
fn gates_open_by_features_and_close_without() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let mut admin = admin(&line);
    let closed = get(&mut admin, "/license-check/test-policies");
    assert_eq!(
        closed,
        json!({
            "allowed": false, "reason": "License server connection required",
            "message": "Connect to Control Core License Server in General Settings (Telemetry tab) to enable policy testing",
        })
    );
    let key = issue(&line, "CC1", &["--feature", "test_policies", "--kind", "subscription", "--validity", "1y"]);
    until(Duration::from_secs(20), "the licence to be activated", || {
        Ok(line.agent.try_command(&["activate", &key])?.succeeded().ok())
    })
    .unwrap();
    assert_eq!(
        get(&mut admin, "/license-check/test-policies"),
        json!({
            "allowed": true, "reason": "License verified", "message": "Policy testing enabled",
        })
    );
    let promote = get(&mut admin, "/license-check/promote-production");
    assert_eq!((&promote["allowed"], &promote["reason"]), (&json!(false), &json!("Feature not licensed")));
    let status = get(&mut admin, "/license-status");
    assert_eq!((&status["tier"], &status["features_gated"]), (&json!("custom"), &json!(true)));
    assert_eq!((&status["can_test_policies"], &status["can_promote_to_production"]), (&json!(true), &json!(false)));
    // The hub's word is enough: no line is needed.
    assert_eq!(get(&mut admin, "/preview")["tier"], "custom");
}

#[test]
fn a_trial_has_an_end_that_is_told() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let mut admin = admin(&line);
    let features = ["--feature", "test_policies", "--feature", "promote_production"];
    let key = issue(&line, "CC1", &[&features[..], &["--kind", "trial", "--validity", "5d"]].concat());
    until(Duration::from_secs(20), "the trial to be activated", || {
        Ok(line.agent.try_command(&["activate", &key])?.succeeded().ok())
    })
    .unwrap();
    let status = get(&mut admin, "/license-status");
    assert_eq!((&status["tier"], &status["trial_expired"]), (&json!("trial"), &json!(false)));
    assert_eq!((&status["trial_days_remaining"], &status["features_gated"]), (&json!(5), &json!(false)));
    assert!(status["trial_end_date"].is_string() && status["promote_warning"].is_string(), "{status}");
    let promote = get(&mut admin, "/license-check/promote-production");
    assert_eq!(
        promote,
        json!({
            "allowed": true, "reason": "License verified", "message": "Production deployment enabled",
        })
    );
    assert_eq!(status["warning"], Value::String("Trial period ends in 5 day(s)".to_owned()));
}
