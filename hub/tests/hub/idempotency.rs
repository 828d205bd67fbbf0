//! A POST that is sent again is answered again, and not done again.

use crate::auth::{call, log_in, text};
use crate::support::TestHub;
use serde_json::{Value, json};

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
