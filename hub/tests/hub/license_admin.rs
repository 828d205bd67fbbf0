//! Licences, activations, statistics and analytics for administrators, by the samples of the licence-server document, over
//! HTTPS with a bearer token.

use crate::command::Commands;
use crate::license_server::Server;
use crate::support::{TestHub, act, now};
use serde_json::{Value, json};
use std::time::Duration;

const ADMIN: &str = "/api/v1/admin";
const DAY: Duration = Duration::from_secs(86_400);

/// An administrator who is logged in.
struct Admin {
    hub: TestHub,
    client: reqwest::Client,
    token: String,
}

impl Admin {
    async fn of(hub: TestHub) -> Self {
        let client = hub.client();
        let token = log_in(&hub, "admin", "a long password").await;
        Self { hub, client, token }
    }

    /// With a customer, number 1.
    async fn start() -> Self {
        let hub = TestHub::start_with(|config| config.changeable.limits.public = 1_000_000).await;
        hub.hub.store().add_customer(&act(), "ACME Corp", Some("admin@acme.com")).await.unwrap();
        Self::of(hub).await
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.call_as(&self.token, method, path, body).await
    }

    async fn call_as(&self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.client.request(method.parse().unwrap(), self.hub.url(path)).bearer_auth(token).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, json!({})).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn made(&self, body: Value) -> Value {
        let (status, made) = self.call("POST", &format!("{ADMIN}/licenses"), body).await;
        assert_eq!(status, 201, "{made}");
        made
    }
}

async fn log_in(hub: &TestHub, name: &str, password: &str) -> String {
    let body = json!({ "username": name, "password": password });
    let answer = hub.client().post(hub.url("/api/v1/auth/login")).json(&body).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
}

/// The document's request.
fn sample() -> Value {
    json!({
        "customer_id": 1, "type": "subscription", "valid_from": "2025-01-01", "valid_until": "2126-01-01",
        "max_activations": 5, "max_users": 10, "features": ["feature1", "feature2"]
    })
}

#[tokio::test]
async fn a_license_is_made_shown_changed_and_revoked_by_the_documents_samples() {
    let admin = Admin::start().await;
    let made = admin.made(sample()).await;
    assert_eq!((&made["id"], &made["message"]), (&json!(1), &json!("License created successfully")));
    let key = made["license_key"].as_str().unwrap();
    assert_eq!(key.split('-').map(str::len).collect::<Vec<_>>(), [4; 4]);

    let list = admin.get(&format!("{ADMIN}/licenses?page=1&per_page=50")).await;
    assert_eq!((&list["total"], &list["page"], &list["per_page"]), (&json!(1), &json!(1), &json!(50)));
    let expected = json!({
        "id": 1, "license_key": key, "customer_name": "ACME Corp", "type": "subscription", "status": "inactive",
        "valid_from": "2025-01-01", "valid_until": "2126-01-01", "max_activations": 5, "current_activations": 0
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&list["licenses"][0][field], value, "{field}");
    }
    let one = admin.get(&format!("{ADMIN}/licenses/1")).await;
    assert_eq!(one["customer"], json!({ "id": 1, "name": "ACME Corp", "email": "admin@acme.com" }));
    assert_eq!(one["activations"], json!([]));
    assert_eq!(one["usage_stats"], json!({ "total_users": 0, "peak_users": 0, "feature_usage": {} }));

    let change =
        json!({ "valid_until": "2127-01-01", "max_activations": 10, "features": ["feature1", "feature2", "feature3"] });
    let (status, changed) = admin.call("PUT", &format!("{ADMIN}/licenses/1"), change).await;
    assert_eq!(status, 200, "{changed}");
    for (field, value) in [
        ("valid_from", json!("2025-01-01")),
        ("valid_until", json!("2127-01-01")),
        ("max_activations", json!(10)),
        ("max_users", json!(10)),
    ] {
        assert_eq!(changed[field], value, "{field}");
    }
    assert_eq!(changed["features"].as_array().map(Vec::len), Some(3));

    let (status, gone) = admin.call("DELETE", &format!("{ADMIN}/licenses/1"), json!({})).await;
    assert_eq!((status, &gone["status"], &gone["state"]), (200, &json!("revoked"), &json!("Invalid")));
    let (status, again) = admin.call("PUT", &format!("{ADMIN}/licenses/1"), json!({ "status": "Active" })).await;
    assert_eq!((status, &again["error"]["code"]), (409, &json!("CONFLICT")));
    let history = admin.get(&format!("{ADMIN}/licenses/1/history")).await;
    assert_eq!(history.as_array().map(Vec::len), Some(3));
    assert_eq!(history[0]["by"], "admin");
}

#[tokio::test]
async fn licenses_are_listed_by_status_customer_and_site_in_pages_with_their_totals() {
    let admin = Admin::start().await;
    let site = admin.hub.site().await;
    for number in 0..7 {
        admin.made(sample()).await;
        admin.made(json!({ "site": site, "app": "EMS", "name": format!("L{number}"), "validity": "1y" })).await;
    }
    for id in [1, 2, 3] {
        assert_eq!(admin.call("DELETE", &format!("{ADMIN}/licenses/{id}"), json!({})).await.0, 200);
    }
    let ids = |list: &Value| -> Vec<i64> {
        list["licenses"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect()
    };
    for (asked, total, expected) in [
        ("per_page=5", 14, vec![1, 2, 3, 4, 5]),
        ("per_page=5&page=3", 14, vec![11, 12, 13, 14]),
        ("per_page=5&page=4", 14, vec![]),
        ("per_page=3&after=4", 14, vec![5, 6, 7]),
        ("status=revoked", 3, vec![1, 2, 3]),
        ("status=active", 0, vec![]),
        ("customer_id=1&status=inactive", 5, vec![5, 7, 9, 11, 13]),
        ("customer_id=2", 7, vec![2, 4, 6, 8, 10, 12, 14]),
        (&format!("site={site}&status=revoked"), 1, vec![2]),
        (&format!("site={site}&customer_id=1"), 0, vec![]),
    ] {
        let list = admin.get(&format!("{ADMIN}/licenses?{asked}")).await;
        assert_eq!((ids(&list), &list["total"]), (expected, &json!(total)), "{asked}");
    }
    let key = admin.get(&format!("{ADMIN}/licenses/9")).await["license_key"].as_str().unwrap().to_owned();
    let found = admin.get(&format!("{ADMIN}/licenses?license_key={key}")).await;
    assert_eq!((ids(&found), &found["total"]), (vec![9], &json!(1)));
    for (asked, field) in
        [("status=broken", "status"), ("customer_id=x", "customer_id"), ("page=0", "page"), ("page=1000000", "page")]
    {
        let (status, error) = admin.call("GET", &format!("{ADMIN}/licenses?{asked}"), json!({})).await;
        assert_eq!((status, &error["error"]["details"]["field"]), (400, &json!(field)), "{asked}: {error}");
    }
    assert_eq!(admin.call("GET", &format!("{ADMIN}/licenses?customer_id=99"), json!({})).await.0, 404);
}

#[tokio::test]
async fn what_is_wrong_with_a_license_is_named() {
    let admin = Admin::start().await;
    admin.made(sample()).await;
    let with = |field: &str, value: Value| {
        let mut body = sample();
        body[field] = value;
        body
    };
    for (body, field) in [
        (with("customer_id", Value::Null), "customer_id"),
        (with("type", json!("lease")), "type"),
        (with("valid_until", json!("tomorrow")), "valid_until"),
        (with("valid_until", json!("2024-12-31")), "term"),
        (with("valid_until", Value::Null), "valid_until"),
        (with("max_users", json!(-1)), "max_users"),
        (with("features", json!("feature1")), "features"),
        (with("thresholds", json!([0])), "thresholds"),
        (with("status", json!("Active")), "status"),
        (with("validity", json!("1y")), "validity"),
    ] {
        let (status, error) = admin.call("POST", &format!("{ADMIN}/licenses"), body.clone()).await;
        assert_eq!((status, &error["error"]["details"]["field"]), (400, &json!(field)), "{body}: {error}");
    }
    assert_eq!(admin.call("POST", &format!("{ADMIN}/licenses"), with("customer_id", json!(9))).await.0, 404);
    admin.made(with("colour", json!("unknown fields are ignored"))).await;
    let (status, error) = admin.call("PUT", &format!("{ADMIN}/licenses/1"), json!({ "customer_id": 2 })).await;
    assert_eq!((status, &error["error"]["details"]["field"]), (400, &json!("customer_id")));
    assert_eq!(admin.call("PUT", &format!("{ADMIN}/licenses/99"), json!({})).await.0, 404);
}

#[tokio::test]
async fn activations_and_what_they_use_are_listed_and_summed() {
    let server = Server::start().await;
    let id = server.activated().await;
    let (status, _) = server.post("heartbeat", &server.sample("heartbeat", &id)).await;
    assert_eq!(status, 200);
    let mut other = server.sample("activate", &Value::Null);
    other["hardware_id"] = json!("another");
    let other = server.post("activate", &other).await.1["activation_id"].clone();
    server.post("deactivate", &server.sample("deactivate", &other)).await;
    let admin = Admin::of(server.hub).await;

    let list = admin.get(&format!("{ADMIN}/activations?license_id=1&status=active")).await;
    assert_eq!(list["total"], 1);
    let one = &list["activations"][0];
    assert_eq!((&one["id"], &one["machine_name"], &one["status"]), (&id, &json!("DESKTOP-ABC123"), &json!("active")));
    assert!(one["activated_at"].as_str().unwrap().ends_with('Z') && one["last_heartbeat"].is_string(), "{one}");
    let (today, tomorrow) = (now().to_string()[..10].to_owned(), now().after(DAY).to_string()[..10].to_owned());
    for (asked, total) in [
        ("status=inactive".to_owned(), 1),
        (String::new(), 2),
        (format!("from_date={today}&to_date={tomorrow}"), 2),
        (format!("from_date={today}&status=inactive"), 1),
        (format!("from_date={tomorrow}"), 0),
        ("to_date=2025-01-01".to_owned(), 0),
    ] {
        let list = admin.get(&format!("{ADMIN}/activations?{asked}")).await;
        let rows = list["activations"].as_array().unwrap().len();
        assert_eq!((rows, &list["total"]), (total, &json!(total)), "{asked}");
    }

    let detail = admin.get(&format!("{ADMIN}/licenses/1")).await;
    assert_eq!((detail["activations"].as_array().map(Vec::len), &detail["current_activations"]), (Some(2), &json!(1)));
    let stats = json!({ "total_users": 5, "peak_users": 5, "feature_usage": { "feature1": 150, "feature2": 75 } });
    assert_eq!(detail["usage_stats"], stats);

    let found = admin.get(&format!("{ADMIN}/statistics?from_date={today}&license_id=1")).await;
    let summary = json!({
        "total_licenses": 1, "active_licenses": 1, "total_activations": 2, "active_activations": 1, "active_users": 5
    });
    assert_eq!(found["summary"], summary);
    let trends = found["usage_trends"].as_array().unwrap();
    // Midnight may have come in between.
    let new: i64 = trends.iter().map(|day| day["new_activations"].as_i64().unwrap()).sum();
    assert_eq!((new, &trends.last().unwrap()["active_users"]), (2, &json!(5)));
    assert_eq!(found["feature_usage"], json!({ "feature1": 150, "feature2": 75 }));

    for granularity in ["hour", "day", "week", "month"] {
        let usage = admin.get(&format!("/api/v1/analytics/usage?granularity={granularity}")).await;
        let metrics = json!({
            "total_heartbeats": 1, "unique_activations": 1, "average_users_per_activation": 5.0, "peak_concurrent_users": 5
        });
        assert_eq!(usage["metrics"], metrics, "{granularity}");
        let last = usage["time_series"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&last["active_users"], &last["heartbeat_count"]), (&json!(5), &json!(1)), "{granularity}: {last}");
    }
    let usage = admin.get("/api/v1/analytics/usage?from_date=2025-06-01&to_date=2025-06-19").await;
    assert_eq!(usage["period"], json!({ "from": "2025-06-01T00:00:00Z", "to": "2025-06-19T23:59:59Z" }));
    assert_eq!((&usage["time_series"], &usage["metrics"]["average_users_per_activation"]), (&json!([]), &Value::Null));
    let features = admin.get("/api/v1/analytics/features").await;
    let first = json!({ "name": "feature1", "total_usage": 150, "unique_users": 1, "usage_trend": "increasing" });
    assert_eq!(features["features"][0], first);
    for wrong in ["granularity=year", "from_date=2025-01-02&to_date=2025-01-01", "from_date=2020-01-01", "license_id=x"]
    {
        let (status, error) = admin.call("GET", &format!("/api/v1/analytics/usage?{wrong}"), json!({})).await;
        assert_eq!((status, &error["error"]["code"]), (400, &json!("INVALID")), "{wrong}");
    }
}

#[tokio::test]
async fn whoever_is_limited_to_a_customer_sees_that_ones_licences_and_no_keys_if_he_only_looks() {
    let admin = Admin::start().await;
    let site = admin.hub.site().await;
    admin.made(sample()).await;
    let theirs = admin.made(json!({ "site": site, "app": "EMS", "name": "L1", "validity": "1y" })).await;
    let commands = Commands::of(&admin.hub);
    commands.password("p", "another password");
    commands.json("user add eve --role viewer --customer 2 --password-file p").await;
    let eve = log_in(&admin.hub, "eve", "another password").await;
    let get = async |path: &str| admin.call_as(&eve, "GET", path, json!({})).await;
    let (_, list) = get(&format!("{ADMIN}/licenses")).await;
    assert_eq!((&list["total"], &list["licenses"][0]["id"]), (&json!(1), &theirs["id"]));
    let shown = list["licenses"][0]["license_key"].as_str().unwrap();
    assert!(shown.starts_with('…') && shown.chars().count() == 5, "{shown}");
    assert_eq!(get(&format!("{ADMIN}/licenses/2")).await.0, 200);
    for hidden in [
        "licenses/1",
        "licenses/1/history",
        "licenses?customer_id=1",
        "activations?license_id=1",
        "statistics?customer_id=1",
    ] {
        assert_eq!(get(&format!("{ADMIN}/{hidden}")).await.0, 404, "{hidden}");
    }
    for path in ["statistics", "activations"] {
        assert_eq!(get(&format!("{ADMIN}/{path}")).await.0, 200, "{path}");
    }
    assert_eq!(get("/api/v1/analytics/usage?license_id=1").await.0, 404);
    assert_eq!(get(&format!("{ADMIN}/statistics")).await.1["summary"]["total_licenses"], 1);
    for (method, path) in [("POST", "licenses"), ("PUT", "licenses/2"), ("DELETE", "licenses/2")] {
        assert_eq!(admin.call_as(&eve, method, &format!("{ADMIN}/{path}"), sample()).await.0, 403, "{method}");
    }
}

#[tokio::test]
async fn the_command_line_and_the_document_speak_of_the_same_licences() {
    let admin = Admin::start().await;
    let commands = Commands::of(&admin.hub);
    let issue =
        "license issue --customer 1 --app EMS --name L1 --users 10 --activations 5 --validity 1y --threshold 80";
    let issued = commands.json(issue).await;
    assert_eq!(
        (&issued["status"], &issued["kind"], &issued["users"]),
        (&json!("Inactive"), &json!("subscription"), &json!(10))
    );
    let shown = admin.get(&format!("{ADMIN}/licenses/1")).await;
    assert_eq!(
        (&shown["license_key"], &shown["max_users"], &shown["thresholds"]),
        (&issued["key"], &json!(10), &json!([80]))
    );
    let edited = commands
        .json("license edit 1 --users unlimited --from 2025-01-01T00:00:00Z --until 2126-01-01T00:00:00Z")
        .await;
    assert_eq!((&edited["users"], &edited["until"]), (&Value::Null, &json!("2126-01-01T00:00:00Z")));
    let listed = commands.json("license list --customer 1 --status inactive").await;
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["key"]), (Some(1), &Value::Null));
    assert_eq!(commands.json("license revoke 1").await["status"], "Invalid");
}
