//! A POST that is sent again is answered again, and not done again.

use crate::auth::{call, log_in, text};
use crate::license_server::{Server, sold};
use crate::support::{TestHub, act};
use serde_json::{Value, json};
use sitewarden_hub::store::Holder;

async fn add(hub: &TestHub, bearer: &str, key: &str, body: &Value) -> (u16, bool, Value) {
    let request = hub.client().post(hub.url("/api/v1/admin/api-keys")).bearer_auth(bearer).json(body);
    let answer = request.header("idempotency-key", key).send().await.unwrap();
    let replayed = answer.headers().contains_key("idempotency-replayed");
    (answer.status().as_u16(), replayed, answer.json().await.unwrap())
}

#[tokio::test]
async fn the_same_key_and_body_give_the_same_answer_and_are_done_once() {
    let hub = TestHub::start().await;
    let (_, tokens) = log_in(&hub, "admin", "a long password").await;
    let admin = text(&tokens["access_token"]);
    let new = json!({ "purpose": "api", "role": "admin", "name": "first" });
    let (status, replayed, made) = add(&hub, admin, "k1", &new).await;
    assert_eq!((status, replayed), (201, false), "{made}");
    assert_eq!(add(&hub, admin, "k1", &new).await, (201, true, made.clone()));
    let (status, _, refused) = add(&hub, admin, "k1", &json!({ "purpose": "api" })).await;
    assert_eq!((status, &refused["error"]["code"]), (422, &json!("IDEMPOTENCY_MISMATCH")));
    let (status, replayed, other) = add(&hub, text(&made["key"]), "k1", &new).await;
    assert_eq!((status, replayed), (201, false), "another caller's keys are his own: {other}");
    assert_eq!(add(&hub, admin, "k2", &new).await.0, 201);
    let (_, list) = call(&hub, "GET", "/api/v1/admin/api-keys", admin, json!({})).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(3), "{list}");
    let wrong = "x".repeat(256);
    assert_eq!(add(&hub, admin, &wrong, &new).await.0, 400);
    let refused = add(&hub, admin, "k3", &json!({ "colour": "red" })).await;
    assert_eq!((refused.0, add(&hub, admin, "k3", &json!({ "colour": "red" })).await.1), (400, true));
}

#[tokio::test]
async fn many_at_once_are_done_once_and_a_restart_forgets_nothing() {
    let hub = TestHub::start().await;
    let (_, tokens) = log_in(&hub, "admin", "a long password").await;
    let admin = text(&tokens["access_token"]);
    let new = json!({ "purpose": "api", "name": "one" });
    let (a, b, c) = tokio::join!(add(&hub, admin, "k", &new), add(&hub, admin, "k", &new), add(&hub, admin, "k", &new));
    // One does it; the others get its answer, or hear that it has begun.
    for (status, _, body) in [&a, &b, &c] {
        assert!(*status == 201 || (*status == 409 && body["error"]["code"] == json!("IDEMPOTENCY_IN_DOUBT")), "{body}");
    }
    assert!([&a, &b, &c].iter().any(|answer| answer.0 == 201 && !answer.1));
    let made = add(&hub, admin, "k", &new).await;
    assert_eq!((made.0, made.1), (201, true));
    let key = made.2["key"].clone();
    let (data_dir, _folder) = hub.stop().await;
    let database = std::fs::read(data_dir.join("hub.sqlite")).unwrap();
    let needle = text(&key).as_bytes();
    assert!(!database.windows(needle.len()).any(|window| window == needle), "a key that was made lies in the database");
    let again = sitewarden_hub::start(crate::support::config(&data_dir)).await.unwrap();
    let keys =
        again.store().list_api_keys(sitewarden_hub::store::Scope::default(), (None, None), None, 10).await.unwrap();
    assert_eq!(keys.len(), 1);
    again.shutdown().await.unwrap();
}

#[tokio::test]
async fn whether_a_key_file_was_made_stays_in_doubt_where_its_folder_failed() {
    let hub = TestHub::start().await;
    let (_, tokens) = log_in(&hub, "admin", "a long password").await;
    let rotate = async |key: &str| {
        let request = hub.client().post(hub.url("/api/v1/admin/keys/sealing/rotate"));
        let request = request.bearer_auth(text(&tokens["access_token"])).header("idempotency-key", key);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (keys, away) = (hub.data_dir.join("keys"), hub.data_dir.join("away"));
    std::fs::rename(&keys, &away).unwrap();
    assert_eq!(rotate("k1").await.0, 500);
    std::fs::rename(&away, &keys).unwrap();
    let (status, refused) = rotate("k1").await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("IDEMPOTENCY_IN_DOUBT")));
    let (status, made) = rotate("k2").await;
    assert_eq!((status, &made["id"]), (201, &json!(2)));
    assert_eq!(rotate("k2").await, (201, made), "told again, and not made again");
}

#[tokio::test]
async fn a_file_of_any_size_takes_no_key() {
    let hub = TestHub::start().await;
    let (_, tokens) = log_in(&hub, "admin", "a long password").await;
    let import = hub.client().post(hub.url("/api/v1/admin/bundles/import")).bearer_auth(text(&tokens["access_token"]));
    let answer = import.header("idempotency-key", "k").body(vec![7; 100 << 10]).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

/// Status, whether it is an earlier answer, and the answer.
async fn ask(server: &Server, endpoint: &str, key: &str, body: &Value) -> (u16, bool, Value) {
    let request = server.hub.client().post(server.hub.url(&format!("/api/v1/{endpoint}"))).json(body);
    let answer = request.header("idempotency-key", key).send().await.unwrap();
    let replayed = answer.headers().contains_key("idempotency-replayed");
    (answer.status().as_u16(), replayed, answer.json().await.unwrap())
}

#[tokio::test]
async fn machines_may_ask_again_and_each_licence_has_keys_of_its_own() {
    let server = Server::start().await;
    let activate = server.sample("activate", &Value::Null);
    let (status, replayed, made) = ask(&server, "activate", "k", &activate).await;
    assert_eq!((status, replayed), (200, false), "{made}");
    assert_eq!(ask(&server, "activate", "k", &activate).await, (200, true, made.clone()));

    let mut other = activate.clone();
    other["machine_name"] = json!("another");
    let (status, _, refused) = ask(&server, "activate", "k", &other).await;
    assert_eq!((status, &refused["error"]["code"]), (422, &json!("IDEMPOTENCY_MISMATCH")));
    // The same key with the same body elsewhere is another request.
    assert_eq!(ask(&server, "deactivate", "k", &activate).await.0, 422);

    // Who holds another licence, or none, neither comes across that key nor learns of it.
    let theirs = server.hub.hub.store().issue_license(&act(), sold(Holder::Customer(1), "L2")).await.unwrap();
    other["license_key"] = json!(theirs.key);
    assert_eq!(ask(&server, "activate", "k", &other).await.0, 200);
    other["license_key"] = json!("ZZZZ-ZZZZ-ZZZZ-ZZZZ");
    for _ in 0..2 {
        let (status, replayed, refused) = ask(&server, "activate", "k", &other).await;
        assert_eq!((status, replayed), (404, false), "nothing is kept for strangers: {refused}");
    }

    let heartbeat = server.sample("heartbeat", &made["activation_id"]);
    let (status, _, alive) = ask(&server, "heartbeat", "h1", &heartbeat).await;
    assert_eq!(status, 200, "{alive}");
    assert_eq!(ask(&server, "heartbeat", "h1", &heartbeat).await, (200, true, alive));
    assert_eq!(ask(&server, "heartbeat", "h2", &heartbeat).await.0, 429, "one a minute");
    assert!(!ask(&server, "heartbeat", "h2", &heartbeat).await.1, "what came too often may come again");
    assert_eq!(server.statistics().await.features["feature1"], 150, "counted once");

    let deactivate = server.sample("deactivate", &made["activation_id"]);
    let (status, _, given) = ask(&server, "deactivate", "d", &deactivate).await;
    assert_eq!(status, 200, "{given}");
    assert_eq!(ask(&server, "deactivate", "d", &deactivate).await, (200, true, given));
    assert_eq!(server.post("deactivate", &deactivate).await.0, 404, "without a key it is not there any more");
    let (status, _, refused) = ask(&server, "activate", &"x".repeat(256), &activate).await;
    assert_eq!((status, &refused["error"]["details"]["field"]), (400, &json!("Idempotency-Key")));
}
