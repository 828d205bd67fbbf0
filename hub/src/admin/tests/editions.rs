//! Every route that changes an existing thing × the state that its caller saw.
//!
//! The rows are checked against the router's own list: a route without a row fails the test.

use super::Api;
use crate::admin::{described, routes};
use crate::store::testing::forked;
use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use serde_json::{Value, json};
use sitewarden_protocol::id::AgentId;
use tower::ServiceExt;

/// Method, path as the router has it, what is called with which body, and where the thing is shown.
type Row = (&'static str, &'static str, String, Value, String);

/// What acts on a thing, or adds to it, and does not edit it.
const NO_EDITS: [(&str, &str); 6] = [
    ("POST", "/api/v1/admin/apps/{code}/versions"),
    ("POST", "/api/v1/admin/batches/{id}/replay"),
    ("POST", "/api/v1/admin/webhooks/{id}/test"),
    ("POST", "/api/v1/admin/webhook-deliveries/{id}/resend"),
    ("POST", "/api/institutions/{id}/contacts"),
    ("POST", "/api/institutions/{id}/notes"),
];

fn rows(site: &str, plant: &str, agent: AgentId) -> Vec<Row> {
    let (name, none) = (|name: &str| json!({ "name": name }), Value::Null);
    let admin = |rest: &str| format!("/api/v1/admin/{rest}");
    let (site, plant, agent) = (format!("sites/{site}"), format!("plants/{plant}"), format!("agents/{agent}"));
    let hook = json!({ "url": "https://plant.example.com/" });
    let licence = json!({ "description": "changed" });
    let rows = [
        ("PATCH", "customers/{id}", "customers/1", name("Renamed"), "customers/1"),
        (
            "POST",
            "customers/{id}/retention",
            "customers/1/retention",
            json!({ "raw_days": 7 }),
            "customers/1/retention",
        ),
        ("PATCH", "plants/{id}", &plant, name("Renamed"), &plant),
        ("PATCH", "sites/{id}", &site, name("Renamed"), &site),
        ("PUT", "sites/{id}/webhook", &format!("{site}/webhook"), hook, "webhooks/2"),
        ("DELETE", "sites/{id}/webhook", &format!("{site}/webhook"), none.clone(), "webhooks/2"),
        ("PUT", "licenses/{id}", "licenses/1", licence, "licenses/1"),
        ("DELETE", "licenses/{id}", "licenses/1", none.clone(), "licenses/1"),
        ("PATCH", "users/{name}", "users/anna", json!({ "enabled": false }), "users/anna"),
        ("DELETE", "users/{name}", "users/anna", none.clone(), "users/anna"),
        ("POST", "api-keys/{id}/rotate", "api-keys/1/rotate", json!({ "overlap": 5 }), "api-keys/1"),
        ("POST", "api-keys/{id}/revoke", "api-keys/1/revoke", none.clone(), "api-keys/1"),
        ("PATCH", "webhooks/{id}", "webhooks/1", json!({ "description": "changed" }), "webhooks/1"),
        ("POST", "webhooks/{id}/rotate", "webhooks/1/rotate", json!({ "overlap": 5 }), "webhooks/1"),
        ("DELETE", "webhooks/{id}", "webhooks/1", none.clone(), "webhooks/1"),
        ("POST", "flags/{id}/resolve", "flags/1/resolve", json!({ "note": "looked at" }), "flags/1"),
        ("PUT", "settings/{key}", "settings/notice_days", json!({ "value": 45 }), "settings/notice_days"),
        ("DELETE", "settings/{key}", "settings/notice_days", none.clone(), "settings/notice_days"),
        ("PATCH", "agents/{id}", &agent, name("renamed"), &agent),
        ("POST", "agents/{id}/clear", &format!("{agent}/clear"), json!({ "note": "looked at" }), &agent),
        ("POST", "agents/{id}/revoke", &format!("{agent}/revoke"), json!({}), &agent),
    ];
    let leaked = |path: &str| -> &'static str { admin(path).leak() };
    rows.map(|(method, path, url, body, shown)| (method, leaked(path), admin(url), body, admin(shown))).into()
}

fn leads() -> Vec<Row> {
    let (first, second, none) = ("/api/institutions/1", "/api/institutions/2", Value::Null);
    let (contact, note) = (format!("{first}/contacts/1"), format!("{first}/notes/1"));
    let (of_contact, of_note) = ("/api/institutions/{id}/contacts/{contact}", "/api/institutions/{id}/notes/{note}");
    let changed = json!({ "address": "elsewhere" });
    let rows = [
        ("PUT", "/api/institutions/{id}", first, changed, first),
        ("PUT", of_contact, &contact, json!({ "phone": "1" }), &contact),
        ("DELETE", of_contact, &contact, none.clone(), &contact),
        ("PUT", of_note, &note, json!({ "content": "changed" }), &note),
        ("DELETE", of_note, &note, none.clone(), &note),
        ("POST", "/api/institutions/{id}/convert", first, json!({}), first),
        ("DELETE", "/api/institutions/{id}", second, none, second),
    ];
    let convert = |path: &str, url: &str| if path.ends_with("convert") { format!("{url}/convert") } else { url.into() };
    rows.map(|(method, path, url, body, shown)| (method, path, convert(path, url), body, shown.to_owned())).into()
}

/// Status, tag and body.
type Answer = (u16, Option<String>, Value);

async fn call(api: &Api, method: &str, url: &str, tag: Option<&str>, body: &Value) -> Answer {
    let mut request = Request::builder().method(method).uri(url).header("content-type", "application/json");
    if let Some(tag) = tag {
        request = request.header("if-match", tag);
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let answer = api.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, tag, serde_json::from_slice(&bytes).unwrap())
}

async fn get(api: &Api, url: &str) -> Answer {
    call(api, "GET", url, None, &Value::Null).await
}

/// One of everything; of the site, the plant and the agent their ids.
async fn world(api: &Api) -> Vec<Row> {
    let site = api.site().await;
    let site = site.as_str().unwrap().to_owned();
    let plant = api.get("plants").await.1["items"][0]["id"].as_str().unwrap().to_owned();
    api.made("licenses", json!({ "site": site, "app": "EMS", "name": "L1" })).await;
    let hash = crate::password::hash(b"a long password").unwrap();
    api.made("users", json!({ "name": "anna", "role": "viewer", "password_hash": hash })).await;
    api.made("api-keys", json!({ "customer": 1 })).await;
    api.made("webhooks", json!({ "url": "https://hooks.example.com/" })).await;
    call(api, "PUT", &format!("/api/v1/admin/sites/{site}/webhook"), None, &json!({ "url": "https://a.example.com/" }))
        .await;
    let agent = forked(api.access.store(), site.parse().unwrap()).await;
    for (path, body) in [
        ("/api/institutions", json!({ "name": "First" })),
        ("/api/institutions", json!({ "name": "Second" })),
        ("/api/institutions/1/contacts", json!({ "name": "John" })),
        ("/api/institutions/1/notes", json!({ "content": "x" })),
    ] {
        assert_eq!(call(api, "POST", path, None, &body).await.0, 201, "{path}");
    }
    [rows(&site, &plant, agent), leads()].concat()
}

#[tokio::test]
async fn every_edit_has_a_row_and_says_so_in_the_document() {
    let api = Api::new().await;
    let rows = world(&api).await;
    for route in routes(&api.access).into_parts().1 {
        let one = (route.method.as_str(), route.path.as_str());
        let has_row = rows.iter().any(|row| (row.0, row.1) == one);
        let edits = one.0 != "GET" && one.1.contains('{') && !NO_EDITS.contains(&one);
        assert_eq!(has_row, edits, "{one:?}");
        let told = format!("{:?}", described(&route));
        assert_eq!((told.contains("String(\"If-Match\")"), told.contains("\"412\"")), (edits, edits), "{one:?}");
    }
}

#[tokio::test]
async fn a_change_is_made_only_to_the_state_that_was_seen() {
    let api = Api::new().await;
    for (method, path, url, body, shown) in world(&api).await {
        let row = format!("{method} {path}");
        let (status, tag, before) = get(&api, &shown).await;
        assert_eq!(status, 200, "{row}: {before}");
        let tag = tag.unwrap_or_else(|| panic!("{row}: no ETag"));
        let refused = async |tag: &str, is: &str| {
            let (status, _, answer) = call(&api, method, &url, Some(tag), &body).await;
            assert_eq!((status, &answer["error"]["code"]), (412, &json!("CHANGED")), "{row}: {answer}");
            assert_eq!(format!("\"{}\"", answer["error"]["details"]["revision"]), is, "{row}");
        };
        for other in ["\"4711\"", "W/\"1\"", "1", "\"x\""] {
            refused(other, &tag).await;
        }
        assert_eq!(get(&api, &shown).await, (200, Some(tag.clone()), before), "{row}: changed though refused");
        let (status, after, answer) = call(&api, method, &url, Some(&tag), &body).await;
        assert!((200..300).contains(&status), "{row}: {answer}");
        let (status, now, shown_now) = get(&api, &shown).await;
        if status == 404 {
            assert_eq!(method, "DELETE", "{row}");
            continue;
        }
        let now = now.unwrap();
        assert_ne!(now, tag, "{row}: the same ETag after a change");
        // A rotated key's answer shows its successor, an institution's the customer that it became.
        if !path.ends_with("api-keys/{id}/rotate") && !path.ends_with("convert") {
            assert_eq!(after, Some(now.clone()), "{row}");
        }
        refused(&tag, &now).await;
        assert_eq!(get(&api, &shown).await, (200, Some(now), shown_now), "{row}: changed though refused");
    }
}

#[tokio::test]
async fn of_two_at_once_who_saw_the_same_state_one_wins() {
    let api = Api::new().await;
    for (method, path, url, body, shown) in world(&api).await {
        let tag = get(&api, &shown).await.1.unwrap();
        let one = || call(&api, method, &url, Some(&tag), &body);
        let (first, second) = tokio::join!(one(), one());
        let mut statuses = [first.0, second.0];
        statuses.sort_unstable();
        // Whoever comes second to what is gone hears that.
        let lost = if method == "DELETE" && get(&api, &shown).await.0 == 404 { 404 } else { 412 };
        assert!(
            (200..300).contains(&statuses[0]) && [lost, 412].contains(&statuses[1]),
            "{method} {path}: {statuses:?}"
        );
    }
}
