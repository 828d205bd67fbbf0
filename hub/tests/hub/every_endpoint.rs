//! Every operation of the served document × no credential and false ones; and those that are not of the administration API,
//! whose table is in `admin/tests`, × every role × an administrator of another customer.
//!
//! The tables are checked against the document, which has every route: one without a row fails the test.

use crate::plant_world::{Request, World};
use crate::support::TestHub;
use crate::telemetry::{api_key, take};
use reqwest::Method;
use serde_json::{Value, json};
use sitewarden_hub::store::Role;
use std::collections::BTreeSet;

/// What nobody is asked for a name at: it is about nobody, is what one logs in or enrols by, or has the key in its body.
const PUBLIC: [&str; 16] = [
    "GET /.well-known/sitewarden",
    "GET /api/docs",
    "GET /api/docs/{file}",
    "GET /api/openapi.json",
    "GET /healthz",
    "GET /metrics",
    "GET /readyz",
    "GET /sync/v1",
    "POST /api/v1/activate",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/deactivate",
    "POST /api/v1/enroll",
    "POST /api/v1/heartbeat",
    "POST /api/v1/renew",
    "POST /api/v1/validate",
];

/// What `admin/tests/access.rs` and `elsewhere.rs` go through, out of the router itself.
const ADMINISTRATION: [&str; 4] = ["/api/v1/admin/", "/api/v1/auth/", "/api/v1/analytics/", "/api/institutions"];

/// Method and path as in the document, and whether it names a credential.
async fn operations(hub: &TestHub) -> Vec<(String, String, bool)> {
    let document: Value = hub.get("/api/openapi.json").await.json().await.unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let guarded = operation["security"].as_array().is_some_and(|ways| !ways.is_empty());
            found.push((method.to_uppercase(), path.clone(), guarded));
        }
    }
    found
}

fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn without_a_credential_or_with_a_false_one_nothing_that_is_guarded_answers() {
    let hub = TestHub::start().await;
    let mut found = BTreeSet::new();
    for (method, path, guarded) in operations(&hub).await {
        let name = format!("{method} {path}");
        for credential in ["", "Bearer a.b.c", "Basic !"] {
            let request = hub.client().request(method.parse().unwrap(), hub.url(&filled(&path)));
            let request = if credential.is_empty() { request } else { request.header("authorization", credential) };
            let request = request.header("content-type", "application/json").body("{}");
            let status = request.send().await.unwrap().status().as_u16();
            assert_eq!(status == 401, guarded, "{name} with {credential:?}: {status}");
        }
        if !guarded {
            found.insert(name);
        }
    }
    assert_eq!(found, PUBLIC.map(str::to_owned).into(), "what is open is open on purpose");
}

/// Method, path as in the document, what is called, its body, and what a viewer, an operator and an administrator get, and an
/// administrator of another customer.
type Row = (&'static str, &'static str, String, Value, [u16; 4]);

/// What all who look may see, and nobody else.
const LOOK: [u16; 4] = [200, 200, 200, 400];
/// For the vendor's administrators.
const VENDOR: [u16; 4] = [401, 401, 200, 401];
/// Everybody gets an answer, out of what is his.
const HIS_OWN: [u16; 4] = [200; 4];

fn rows(world: &World, license: &str, key: &str) -> Vec<Row> {
    let none = || Value::Null;
    let place = format!("site_id={}&plant_id={}", world.site, world.plant);
    let config = |rest: &str| format!("/_config/{rest}").replace("PLACE", &place);
    let one = config(&format!("licenses/{license}"));
    let telemetry = |rest: &str| format!("/api/v1/telemetry/{rest}");
    let typed = json!({ "license_key": key });
    vec![
        ("GET", "/_config/licenses/{id}", one.clone(), none(), LOOK),
        ("PUT", "/_config/licenses/{id}", one, json!({ "license_description": "x" }), VENDOR),
        ("POST", "/_config/licenses", config("licenses"), world.sample(), [401, 401, 409, 401]),
        // Once; the key of a licence that is none of his is unknown.
        ("POST", "/_config/licenses/_activate", config("licenses/_activate"), typed, [401, 200, 400, 400]),
        ("GET", "/_config/licenses/_verify", config("licenses/_verify?app=EMS"), none(), VENDOR),
        ("GET", "/_config/licenses/_list", config("licenses/_list?PLACE"), none(), LOOK),
        ("POST", "/_config/licenses/_list", config("licenses/_list?PLACE"), none(), LOOK),
        ("GET", "/_config/licenses/_explain", config("licenses/_explain?app=EMS&PLACE"), none(), LOOK),
        ("GET", "/_config/licenses/_notification", config("licenses/_notification?PLACE"), none(), LOOK),
        ("GET", "/_config/_notification", config("_notification?PLACE"), none(), LOOK),
        ("GET", "/_config/_notification/", config("_notification/?PLACE"), none(), LOOK),
        ("GET", "/_config/monitors/_list", config("monitors/_list?app=EMS&PLACE"), none(), LOOK),
        ("GET", "/api/v1/telemetry/records", telemetry("records"), none(), HIS_OWN),
        ("GET", "/api/v1/telemetry/export", telemetry("export?format=jsonl"), none(), HIS_OWN),
        ("GET", "/api/v1/telemetry/series", telemetry("series?group=temperature&granularity=month"), none(), HIS_OWN),
        (
            "GET",
            "/api/v1/telemetry/transmissions",
            telemetry(&format!("transmissions?site={}", world.site)),
            none(),
            HIS_OWN,
        ),
    ]
}

#[tokio::test]
async fn each_role_gets_its_own_and_another_customer_nothing() {
    let world = World::new().await;
    let license = world.license("L1", "EMS").await;
    take(&world, &api_key(&world).await, 1_769_846_400_000, ("data_group", "temperature")).await;
    world.user("vera", Role::Viewer, false).await;
    world.user("olga", Role::Operator, false).await;
    world.elsewhere("eve").await;
    let rows = rows(&world, &license.to_string(), &world.key(license).await);
    let has_row = |method: &str, path: &str| rows.iter().any(|row| (row.0, row.1) == (method, path));
    for (method, path, guarded) in operations(world.hub()).await {
        let elsewhere = ADMINISTRATION.iter().any(|prefix| path.starts_with(prefix));
        // For the keys of programs, which have no roles; see `send_telemetry.rs`.
        let for_keys = path == "/api/v1/send-telemetry-data";
        assert_eq!(has_row(&method, &path), guarded && !elsewhere && !for_keys, "{method} {path}");
    }
    for (method, path, url, body, expected) in &rows {
        let mut answers = Vec::new();
        for user in ["vera", "olga", "admin", "eve"] {
            let (method, content_type): (Method, _) = (method.parse().unwrap(), "application/json");
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let request = Request { method, path: url, user, content_type, body: &body, authorization: None };
            answers.push(world.try_call(request).await);
        }
        let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, expected, "{method} {path}: {answers:?}");
        let theirs = &answers[3].1;
        for name in ["L1", "Plant", &world.site.to_string()] {
            assert!(!theirs.contains(name) || theirs.contains("Plant id"), "{method} {path}: {theirs}");
        }
        // No agent has sent anything here; `telemetry_scope.rs` has some.
        if *expected == HIS_OWN && !path.ends_with("transmissions") {
            assert!(answers[2].1.len() > theirs.len() && answers[0].1 == answers[2].1, "{method} {path}: {answers:?}");
        }
    }
}
