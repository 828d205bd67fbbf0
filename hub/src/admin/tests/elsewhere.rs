//! Every route that one may call who is limited to a customer or site × somebody else's things.
//!
//! The rows are checked against the router's own list: a route without a row fails the test.

use super::Api;
use crate::admin::routes;
use crate::store::{Act, NewApiKey, Purpose, Role, Scope, User, testing::forked};
use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use serde_json::{Value, json};
use sitewarden_protocol::id::{AgentId, SiteId};
use tower::ServiceExt;

/// What is somebody else's.
struct Theirs {
    plant: String,
    site: String,
    key: i64,
    agent: AgentId,
    delivery: String,
}

/// Method, path as the router has it, path as it is called, body, and the status that tells nothing of what is not his.
type Row = (&'static str, &'static str, String, Value, u16);

/// The rows of our own resources.
fn rows(theirs: &Theirs) -> Vec<Row> {
    let Theirs { plant, site, key, agent, .. } = theirs;
    let none = Value::Null;
    let admin = |rest: &str| format!("/api/v1/admin/{rest}");
    vec![
        ("GET", "/api/v1/auth/me", "/api/v1/auth/me".into(), none.clone(), 200),
        ("POST", "/api/v1/auth/logout", "/api/v1/auth/logout".into(), json!({}), 400),
        ("GET", "/api/v1/admin/customers", admin("customers"), none.clone(), 200),
        ("GET", "/api/v1/admin/customers/{id}", admin("customers/1"), none.clone(), 404),
        ("GET", "/api/v1/admin/customers/{id}/retention", admin("customers/1/retention"), none.clone(), 404),
        ("GET", "/api/v1/admin/api-keys", admin("api-keys?customer=1"), none.clone(), 200),
        ("POST", "/api/v1/admin/api-keys", admin("api-keys"), json!({ "customer": 1 }), 404),
        ("POST", "/api/v1/admin/api-keys", admin("api-keys"), json!({ "purpose": "api", "site": site }), 404),
        (
            "POST",
            "/api/v1/admin/api-keys/{id}/rotate",
            admin(&format!("api-keys/{key}/rotate")),
            json!({ "overlap": 0 }),
            404,
        ),
        ("GET", "/api/v1/admin/api-keys/{id}", admin(&format!("api-keys/{key}")), none.clone(), 404),
        ("POST", "/api/v1/admin/api-keys/{id}/revoke", admin(&format!("api-keys/{key}/revoke")), json!({}), 404),
        ("GET", "/api/v1/admin/apps", admin("apps"), none.clone(), 200),
        ("GET", "/api/v1/admin/plants", admin("plants?customer=1"), none.clone(), 200),
        ("POST", "/api/v1/admin/plants", admin("plants"), json!({ "name": "P", "customer": 1 }), 404),
        ("GET", "/api/v1/admin/plants/{id}", admin(&format!("plants/{plant}")), none.clone(), 404),
        ("PATCH", "/api/v1/admin/plants/{id}", admin(&format!("plants/{plant}")), json!({ "name": "Mine" }), 404),
        ("GET", "/api/v1/admin/sites", admin(&format!("sites?plant={plant}")), none.clone(), 200),
        ("POST", "/api/v1/admin/sites", admin("sites"), json!({ "name": "S", "plant": plant }), 404),
        ("GET", "/api/v1/admin/sites/{id}", admin(&format!("sites/{site}")), none.clone(), 404),
        ("PATCH", "/api/v1/admin/sites/{id}", admin(&format!("sites/{site}")), json!({ "name": "Mine" }), 404),
        ("GET", "/api/v1/admin/agents", admin(&format!("agents?site={site}")), none.clone(), 200),
        ("POST", "/api/v1/admin/agents/invite", admin("agents/invite"), json!({ "site": site }), 404),
        ("POST", "/api/v1/admin/agents/invite", admin("agents/invite"), json!({ "agent": agent }), 404),
        ("GET", "/api/v1/admin/agents/{id}", admin(&format!("agents/{agent}")), none.clone(), 404),
        ("POST", "/api/v1/admin/agents/{id}/revoke", admin(&format!("agents/{agent}/revoke")), json!({}), 404),
        ("PATCH", "/api/v1/admin/agents/{id}", admin(&format!("agents/{agent}")), json!({ "name": "Mine" }), 404),
        ("GET", "/api/v1/admin/flags/{id}/evidence", admin("flags/1/evidence"), none.clone(), 404),
        ("GET", "/api/v1/admin/records", admin(&format!("records?site={site}")), none.clone(), 404),
        ("GET", "/api/v1/admin/flags", admin(&format!("flags?site={site}")), none.clone(), 200),
        ("GET", "/api/v1/admin/flags/{id}", admin("flags/1"), none.clone(), 404),
        ("GET", "/api/v1/admin/monitors", admin(&format!("monitors?site={site}")), none.clone(), 404),
        ("GET", "/api/v1/admin/users", admin("users"), none.clone(), 200),
        ("POST", "/api/v1/admin/users", admin("users"), user(json!(1)), 404),
        ("POST", "/api/v1/admin/users", admin("users"), user(Value::Null), 403),
        ("GET", "/api/v1/admin/users/{name}", admin("users/theirs"), none.clone(), 404),
        ("PATCH", "/api/v1/admin/users/{name}", admin("users/theirs"), json!({ "enabled": false }), 404),
        ("DELETE", "/api/v1/admin/users/{name}", admin("users/theirs"), none, 404),
    ]
}

fn user(customer: Value) -> Value {
    json!({ "name": "new", "role": "admin", "customer": customer, "password_hash": crate::password::hash(b"a long one").unwrap() })
}

/// The rows of licences; the first one is of somebody else's site.
fn licenses(site: &str) -> Vec<Row> {
    let of = |what: &str| format!("/api/v1/{what}?license_id=1");
    let rows = [
        ("/api/v1/admin/licenses", format!("/api/v1/admin/licenses?site={site}")),
        ("/api/v1/admin/licenses/explain", format!("/api/v1/admin/licenses/explain?site={site}&app=EMS")),
        ("/api/v1/admin/licenses/{id}", "/api/v1/admin/licenses/1".to_owned()),
        ("/api/v1/admin/licenses/{id}/history", "/api/v1/admin/licenses/1/history".to_owned()),
        ("/api/v1/admin/activations", of("admin/activations")),
        ("/api/v1/admin/statistics", of("admin/statistics")),
        ("/api/v1/analytics/usage", of("analytics/usage")),
        ("/api/v1/analytics/features", of("analytics/features")),
    ];
    rows.into_iter().map(|(path, url)| ("GET", path, url, Value::Null, 404)).collect()
}

/// The rows of webhooks; the first one is somebody else's.
fn webhooks(delivery: &str) -> Vec<Row> {
    let none = Value::Null;
    let admin = |rest: &str| format!("/api/v1/admin/{rest}");
    let new = json!({ "url": "https://hooks.example.com/", "customer": 1 });
    vec![
        ("GET", "/api/v1/admin/webhooks", admin("webhooks?customer=1"), none.clone(), 200),
        ("POST", "/api/v1/admin/webhooks", admin("webhooks"), new, 404),
        ("GET", "/api/v1/admin/webhooks/{id}", admin("webhooks/1"), none.clone(), 404),
        ("PATCH", "/api/v1/admin/webhooks/{id}", admin("webhooks/1"), json!({ "enabled": false }), 404),
        ("DELETE", "/api/v1/admin/webhooks/{id}", admin("webhooks/1"), none.clone(), 404),
        ("POST", "/api/v1/admin/webhooks/{id}/rotate", admin("webhooks/1/rotate"), json!({ "overlap": 0 }), 404),
        ("POST", "/api/v1/admin/webhooks/{id}/test", admin("webhooks/1/test"), json!({}), 404),
        ("GET", "/api/v1/admin/webhooks/{id}/deliveries", admin("webhooks/1/deliveries"), none.clone(), 404),
        ("GET", "/api/v1/admin/webhook-deliveries/{id}", admin(&format!("webhook-deliveries/{delivery}")), none, 404),
        (
            "POST",
            "/api/v1/admin/webhook-deliveries/{id}/resend",
            admin(&format!("webhook-deliveries/{delivery}/resend")),
            json!({}),
            404,
        ),
    ]
}

async fn call(api: &Api, row: &Row, key: &str) -> (u16, String) {
    let request = Request::builder().method(row.0).uri(&row.2).header("content-type", "application/json");
    let body = if row.3.is_null() { Body::empty() } else { Body::from(row.3.to_string()) };
    let request = request.header("x-api-key", key).body(body).unwrap();
    let answer = api.https.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    (status, String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap())
}

async fn key(api: &Api, customer: Option<i64>, site: Option<SiteId>) -> (i64, String) {
    let (purpose, role) = (Purpose::Api, Role::Admin);
    let new = NewApiKey { name: "k".into(), purpose, role, customer, site, expires_at: None };
    let (key, made) = api.access.store().add_api_key(&Act::local(crate::wall_clock()), new).await.unwrap();
    (made.id, key.to_string())
}

/// Two customers, the first with two sites. What is somebody else's is of the first site.
async fn world(api: &Api) -> (Theirs, Vec<String>) {
    let site = api.site().await;
    let site = site.as_str().unwrap().to_owned();
    let plant = api.get("plants").await.1["items"][0]["id"].as_str().unwrap().to_owned();
    let beside = api.made("sites", json!({ "name": "Line 2", "plant": plant })).await;
    api.made("customers", json!({ "name": "Other" })).await;
    api.made("licenses", json!({ "site": site, "app": "EMS", "name": "Acme's" })).await;
    api.made("webhooks", json!({ "url": "https://theirs.example.com/", "customer": 1 })).await;
    let delivery = api.made("webhooks/1/test", json!({})).await["id"].as_str().unwrap().to_owned();
    let store = api.access.store();
    let agent = forked(store, site.parse().unwrap()).await;
    let scope = Scope { customer: Some(1), site: None };
    let user = User { name: "theirs".into(), role: Role::Viewer, scope, password_hash: "$argon2id$".into() };
    store.add_user(&Act::local(crate::wall_clock()), user, false).await.unwrap().unwrap();
    let (theirs, _) = key(api, Some(1), None).await;
    let beside = beside["id"].as_str().unwrap().parse().unwrap();
    let callers = vec![key(api, Some(2), None).await.1, key(api, None, Some(beside)).await.1];
    (Theirs { plant, site, key: theirs, agent, delivery }, callers)
}

#[tokio::test]
async fn what_is_somebody_elses_does_not_exist() {
    let api = Api::new().await;
    let (theirs, callers) = world(&api).await;
    let rows = [rows(&theirs), webhooks(&theirs.delivery), licenses(&theirs.site)].concat();
    let (_, listed) = routes(&api.access).into_parts();
    let limited = listed.iter().filter(|route| route.needs.is_some_and(|needs| needs.met_by(Role::Admin, false)));
    let has_row = |method: &str, path: &str| rows.iter().any(|row| row.0 == method && row.1 == path);
    let missing: Vec<_> = limited
        .filter(|route| !has_row(route.method.as_str(), &route.path))
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert!(missing.is_empty(), "without a row in this table: {missing:#?}");
    let (_, everybodys) = key(&api, None, None).await;
    for row in &rows {
        assert!(
            listed.iter().any(|route| row.0 == route.method.as_str() && row.1 == route.path),
            "{} is no route",
            row.1
        );
        // What is hidden below is there: what is not would be 404 for everybody.
        if row.0 == "GET" {
            let (status, body) = call(&api, row, &everybodys).await;
            assert_eq!(status, 200, "{}: {body}", row.2);
        }
        for key in &callers {
            let (status, body) = call(&api, row, key).await;
            assert_eq!(status, row.4, "{} {}: {body}", row.0, row.2);
            for name in ["Acme", "North", "Line 1", "theirs", theirs.site.as_str()] {
                assert!(!body.contains(name), "{} {} tells of {name}: {body}", row.0, row.2);
            }
        }
    }
}

#[tokio::test]
async fn one_who_is_limited_sees_and_changes_his_own() {
    let api = Api::new().await;
    let (theirs, _) = world(&api).await;
    let (_, mine) = key(&api, Some(1), None).await;
    let admin = |rest: &str| format!("/api/v1/admin/{rest}");
    let site = format!("sites/{}", theirs.site);
    for (method, path, body, status) in [
        ("GET", "customers/1".to_owned(), Value::Null, 200),
        ("GET", site.clone(), Value::Null, 200),
        ("PATCH", site.clone(), json!({ "name": "Renamed" }), 200),
        ("PATCH", site, json!({ "override_days": 365 }), 403),
        ("POST", "plants".into(), json!({ "name": "South", "customer": 1 }), 201),
        ("POST", "agents/invite".into(), json!({ "site": theirs.site }), 201),
        ("POST", "api-keys".into(), json!({}), 201),
        ("POST", "users".into(), user(json!(1)), 201),
        ("PATCH", "users/new".into(), json!({ "on_site": true }), 403),
        ("DELETE", "users/new".into(), Value::Null, 200),
    ] {
        let row = (method, "", admin(&path), body, status);
        let (answered, body) = call(&api, &row, &mine).await;
        assert_eq!(answered, status, "{method} {path}: {body}");
    }
    let (_, keys) = api.get("api-keys?purpose=telemetry").await;
    assert_eq!(keys["items"][0]["customer"], json!(1), "one who says nothing else means his own");
}
