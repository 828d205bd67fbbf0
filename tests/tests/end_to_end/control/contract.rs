//! Each endpoint's documented body, field by field, its errors, and who may call it.

use super::{ADMIN, BASE, OPERATOR, add_people, admin, client, fields, get, report, set};
use serde_json::{Value, json};
use sitewarden_tests::harness::{Client, Line, USER, until};
use std::time::Duration;

/// The document's answers: the same fields, and of each the same type unless it is null somewhere.
fn is_like(found: &Value, documented: &Value, place: &str) {
    assert_eq!(fields(found), fields(documented), "{place}");
    for (name, example) in documented.as_object().unwrap() {
        let value = &found[name];
        let alike =
            value.is_null() || example.is_null() || std::mem::discriminant(value) == std::mem::discriminant(example);
        assert!(alike, "{place}: {name} is {value}, documented as {example}");
    }
}

fn call(client: &mut Client, method: &str, path: &str) -> (u16, Value) {
    let path = format!("{BASE}{path}");
    let answer = match method {
        "GET" => client.get(&path),
        "PUT" => client.put_json(&path, b"{}"),
        _ => client.post(&path, b""),
    };
    let answer = answer.unwrap();
    (answer.status, answer.json())
}

#[test]
fn every_answer_has_the_documented_fields() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let mut admin = admin(&line);
    // What the token of the invitation called it.
    let hub = format!("https://localhost:{}", line.hub.https().unwrap().port());
    let defaults = get(&mut admin, "/config");
    is_like(&defaults, &document("config"), "config");
    assert_eq!(defaults["business_admin_url"], json!(hub));
    for (field, value) in [
        ("api_key_configured", json!(false)),
        ("enabled", json!(true)),
        ("frequency", json!("twice_monthly")),
        ("local_retention_days", json!(30)),
        ("last_transmission_at", Value::Null),
        ("updated_at", Value::Null),
    ] {
        assert_eq!(defaults[field], value, "{field}");
    }
    let (key, _) = super::api_key::make(&line, "1");
    let changed = set(
        &mut admin,
        &json!({
            "business_admin_url": hub, "api_key": key, "enabled": true, "frequency": "daily",
            "encryption_enabled": true, "anonymization_enabled": false, "local_retention_days": 7,
        }),
    );
    is_like(&changed, &document("config"), "config after PUT");
    assert_eq!(changed, get(&mut admin, "/config"));
    assert_eq!((&changed["frequency"], &changed["api_key_configured"]), (&json!("daily"), &json!(true)));
    assert!(changed["next_scheduled_at"].as_str().unwrap().ends_with("T02:00:00Z"), "{changed}");
    assert!(!changed.to_string().contains(&key));
    for path in [
        "/preview",
        "/license-status",
        "/license-check/test-policies",
        "/license-check/promote-production",
        "/health",
        "/scheduler-status",
    ] {
        is_like(&get(&mut admin, path), &document(path), path);
    }
    assert_eq!(get(&mut admin, "/preview")["customer_id"], json!("1"), "the customer's number at the hub");
    let (status, sent) = call(&mut admin, "POST", "/send-now");
    assert_eq!(status, 200, "{sent}");
    is_like(&sent, &document("/send-now"), "send-now");
    is_like(&get(&mut admin, "/history")[0], &document("/history"), "history");
    let (status, tested) = call(&mut admin, "POST", "/test-connection");
    assert_eq!(status, 200);
    is_like(&tested, &document("/test-connection"), "test-connection");
    assert_eq!(tested["status"], "success", "{tested}");
}

/// The document's example answers.
fn document(endpoint: &str) -> Value {
    match endpoint {
        "config" => json!({
            "business_admin_url": "https://business-admin.controlcore.io", "api_key_configured": true, "enabled": true,
            "frequency": "twice_monthly", "encryption_enabled": true, "anonymization_enabled": true,
            "local_retention_days": 30, "last_transmission_at": "2025-11-12T10:00:00Z",
            "next_scheduled_at": "2025-11-15T02:00:00Z", "updated_at": "2025-11-10T08:30:00Z",
        }),
        "/preview" => json!({
            "customer_id": "customer-123", "current_period": "2025-11-12", "policy_decision_count": 1250,
            "active_bouncer_count": 3, "total_events": 5432, "successful_decisions": 5200, "sandbox_events": 3200,
            "production_events": 2232, "health_status": "healthy", "deployment_version": "1.0.0", "tier": "custom",
        }),
        "/license-status" => json!({
            "connected": true, "tier": "custom", "trial_expired": false, "trial_end_date": null,
            "trial_days_remaining": null, "license_admin_url": "https://business-admin.controlcore.io",
            "api_key_configured": true, "last_verification": "2025-11-12T02:00:00Z", "can_test_policies": true,
            "can_promote_to_production": true, "features_gated": false, "warning": null,
            "test_policies_message": "Policy testing enabled", "promote_message": "Production deployment enabled",
            "promote_warning": null,
        }),
        "/license-check/test-policies" | "/license-check/promote-production" => {
            json!({"allowed": true, "reason": "License verified", "message": "Policy testing enabled"})
        }
        "/health" => json!({
            "status": "healthy", "enabled": true, "connection_status": "connected",
            "license_admin_url": "https://business-admin.controlcore.io", "api_key_configured": true,
            "last_transmission_at": "2025-11-12T02:00:00Z", "next_scheduled_at": "2025-11-15T02:00:00Z",
            "frequency": "twice_monthly", "recent_errors": [], "message": "Telemetry system is healthy",
        }),
        "/scheduler-status" => json!({
            "scheduler_running": true, "enabled": true, "frequency": "twice_monthly",
            "next_scheduled_at": "2025-11-15T02:00:00Z", "last_transmission_at": "2025-11-12T02:00:00Z",
            "message": "Scheduler active",
        }),
        "/send-now" => json!({
            "status": "success", "message": "Telemetry transmitted successfully", "records_sent": 5432,
            "timestamp": "2025-11-12T10:00:00Z",
        }),
        "/history" => json!({
            "id": 1, "transmission_date": "2025-11-12T02:00:00Z", "status": "success", "records_sent": 5432,
            "response_code": 200, "response_message": "Transmission successful", "error_details": null,
            "retry_count": 0, "transmitted_at": "2025-11-12T02:00:15Z",
        }),
        "/test-connection" => json!({
            "status": "success", "message": "Successfully connected to License Admin server",
            "url": "https://business-admin.controlcore.io", "timestamp": "2025-11-12T10:00:00Z",
        }),
        other => panic!("nothing is documented of {other}"),
    }
}

#[test]
fn only_administrators_change_operators_read_and_apps_ask_what_they_may() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let (mut nobody, mut app) = (line.agent.client().unwrap(), client(&line.agent, USER));
    let mut operator = client(&line.agent, OPERATOR);
    let (reading, changing, asking) = (200, 403, 200);
    for (method, path, of_operator, of_app) in [
        ("GET", "/config", reading, 403),
        ("PUT", "/config", changing, 403),
        ("POST", "/test-connection", changing, 403),
        ("GET", "/preview", reading, 403),
        ("GET", "/preview?raw=true", reading, 403),
        ("GET", "/history", reading, 403),
        ("POST", "/send-now", changing, 403),
        ("POST", "/history/1/retry", changing, 403),
        ("GET", "/license-status", reading, 403),
        ("GET", "/license-check/test-policies", asking, asking),
        ("GET", "/license-check/promote-production", asking, asking),
        ("GET", "/health", reading, 403),
        ("GET", "/scheduler-status", reading, 403),
    ] {
        for (client, expected) in [(&mut nobody, 401), (&mut operator, of_operator), (&mut app, of_app)] {
            let (status, body) = call(client, method, path);
            assert_eq!(status, expected, "{method} {path}: {body}");
            assert!(status == 200 || body["detail"].is_string(), "{method} {path}: {body}");
        }
    }
    let mut basic = line.agent.client().unwrap().basic(ADMIN, super::PASSWORD);
    assert_eq!(call(&mut basic, "GET", "/config").0, 401, "a bearer token is needed");
}

#[test]
fn errors_are_the_documented_ones() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let mut admin = admin(&line);
    let put = |client: &mut Client, body: &str| {
        let answer = client.put_json(&format!("{BASE}/config"), body.as_bytes()).unwrap();
        (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    let frequency = "Invalid frequency. Must be one of: twice_monthly, weekly, monthly, daily";
    assert_eq!(put(&mut admin, r#"{"frequency": "hourly", "enabled": false}"#), (400, frequency.to_owned()));
    assert_eq!(get(&mut admin, "/config")["enabled"], json!(true), "a refused change changes nothing");
    assert_eq!(put(&mut admin, "not json").0, 400);
    for path in
        ["/history?limit=0", "/history?limit=1001", "/history?limit=x", "/history?skip=-1", "/preview?raw=perhaps"]
    {
        assert_eq!(call(&mut admin, "GET", path).0, 400, "{path}");
    }
    let unknown = json!({"detail": "Transmission log not found"});
    assert_eq!(call(&mut admin, "POST", "/history/99/retry"), (404, unknown));
    assert_eq!(call(&mut admin, "POST", "/history/x/retry").0, 400);
    assert_eq!(call(&mut admin, "POST", "/config").0, 405);
    assert_eq!(call(&mut admin, "GET", "/nothing").0, 404);
    set(&mut admin, &json!({"enabled": false}));
    assert_eq!(call(&mut admin, "POST", "/send-now"), (400, json!({"detail": "Telemetry is not enabled"})));
    // Somewhere that nobody listens, and what the document says then.
    set(&mut admin, &json!({"business_admin_url": "https://127.0.0.1:9"}));
    let (status, tested) = call(&mut admin, "POST", "/test-connection");
    assert_eq!((status, &tested["status"]), (200, &json!("failed")));
    let message = "Failed to connect to License Admin server. Please verify URL and network connectivity.";
    assert_eq!((&tested["message"], &tested["url"]), (&json!(message), &json!("https://127.0.0.1:9")));
}

#[test]
fn each_state_of_health_is_met() {
    let mut line = Line::new(100).unwrap();
    add_people(&line);
    let mut admin = admin(&line);
    let state = |client: &mut Client| get(client, "/health")["status"].as_str().unwrap().to_owned();
    until(Duration::from_secs(30), "the line to stand", || Ok((state(&mut admin) == "healthy").then_some(()))).unwrap();
    set(&mut admin, &json!({"enabled": false}));
    assert_eq!(state(&mut admin), "disabled");
    assert_eq!(get(&mut admin, "/scheduler-status")["next_scheduled_at"], Value::Null);
    set(&mut admin, &json!({"enabled": true, "business_admin_url": ""}));
    assert_eq!(state(&mut admin), "not_configured");
    let hub = format!("https://localhost:{}/", line.hub.https().unwrap().port());
    set(&mut admin, &json!({"business_admin_url": hub}));
    assert_eq!(state(&mut admin), "healthy");
    line.hub.kill();
    until(Duration::from_secs(90), "the agent to see that the hub is gone", || {
        Ok((state(&mut admin) == "unhealthy").then_some(()))
    })
    .unwrap();
    assert_eq!(get(&mut admin, "/health")["connection_status"], "disconnected");
}

#[test]
fn while_it_is_disabled_nothing_that_apps_report_is_recorded() {
    let mut line = Line::new(100).unwrap();
    add_people(&line);
    let mut admin = admin(&line);
    line.drained().unwrap();
    set(&mut admin, &json!({"enabled": false}));
    let answer = report(&line, &json!({"app": "EMS", "kind": "run", "attributes": {"id": "unseen"}}));
    assert_eq!(answer, json!({"accepted": 0, "recorded": false}));
    // Evidence about licences goes its way all the same.
    line.agent.command(&["activate", &line.key]).unwrap();
    line.drained().unwrap();
    line.agent.stop().unwrap();
    line.agent.start().unwrap();
    let mut admin = super::admin(&line);
    set(&mut admin, &json!({"enabled": true}));
    report(&line, &json!({"app": "EMS", "kind": "run", "attributes": {"id": "seen"}}));
    line.drained().unwrap();
    let ids = line.ids_at_hub().unwrap();
    assert_eq!(ids.keys().collect::<Vec<_>>(), ["seen"]);
}
