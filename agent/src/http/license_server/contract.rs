//! The four endpoints against the licence-server document, over a real journal, with a clock that the test moves.

use crate::enforcement::tests::seats::{Hand, start_by};
use crate::enforcement::tests::{Running, SITE, plain, prepare_with, sign};
use crate::http::app_routes;
use crate::http::testing::api;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use sitewarden_protocol::id::LicenseId;
use sitewarden_protocol::license::seats::LAPSE;
use sitewarden_protocol::license::{KeyDigest, Limits, Status};
use sitewarden_protocol::license_server::activation_of;
use std::time::Duration;
use tempfile::TempDir;
use tower::ServiceExt;

const KEY: &str = "XXXX-XXXX-XXXX-XXXX";
const REVOKED: &str = "RRRR-RRRR-RRRR-RRRR";
/// For an app that has an active licence already.
const SECOND: &str = "SSSS-SSSS-SSSS-SSSS";
const DAY: Duration = Duration::from_secs(86_400);

/// A site whose licence L1 has two features, two machines, ten users and a year.
struct Site {
    hand: Hand,
    running: Running,
    routes: Router,
    _folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let mut snapshot = plain(1, Limits { monitors: Some(5), users: Some(10), activations: Some(2) });
        let mut first = snapshot.licenses.remove(0);
        first.features = vec!["feature1".into(), "feature2".into()];
        first.key = KeyDigest::of(SITE, KEY);
        for (number, key, status) in [(3, REVOKED, Status::Invalid), (4, SECOND, Status::Inactive)] {
            let mut other = first.clone();
            (other.id, other.name, other.status) = (LicenseId::from_bytes([number; 16]), format!("L{number}"), status);
            other.key = KeyDigest::of(SITE, key);
            snapshot.licenses.push(other);
        }
        snapshot.licenses.push(first);
        let (temporary, folder) = prepare_with(&sign(&snapshot));
        let hand = Hand::new();
        let running = start_by(&folder, &hand);
        let api = api(&folder, &running);
        Self { hand, running, routes: app_routes(api), _folder: temporary }
    }

    async fn send(&self, request: Request<Body>) -> (u16, HeaderMap, Value) {
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, headers, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn post(&self, endpoint: &str, body: &Value) -> (u16, Value) {
        let (status, headers, body) = self.send(request(endpoint, body.to_string())).await;
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        (status, body)
    }

    /// Activates the document's machine; answers its activation.
    async fn activated(&self) -> Value {
        let (status, answer) = self.post("activate", &sample("activate", &Value::Null)).await;
        assert_eq!(status, 200, "{answer}");
        answer["activation_id"].clone()
    }

    async fn users(&self) -> u32 {
        let (state, now) = (self.running.enforcement.state(), self.running.clock.now());
        state.users(state.licensed(KEY).unwrap(), now)
    }
}

fn request(endpoint: &str, body: String) -> Request<Body> {
    let request = Request::post(format!("/api/v1/{endpoint}")).header(CONTENT_TYPE, "application/json");
    request.body(body.into()).unwrap()
}

/// The document's sample requests, with an activation that there is.
fn sample(endpoint: &str, activation: &Value) -> Value {
    let hardware = json!({
        "mac_address": "00:1B:44:11:3A:B7",
        "cpu_id": "BFEBFBFF000906EA",
        "system_uuid": "4C4C4544-0052-3410-8036-B8C04F303832"
    });
    match endpoint {
        "activate" => json!({
            "license_key": KEY, "hardware_id": hardware, "machine_name": "DESKTOP-ABC123", "app_version": "1.0.0"
        }),
        "validate" => json!({
            "license_key": KEY, "activation_id": activation, "hardware_id": hardware, "current_users": 5,
            "app_version": "1.0.0"
        }),
        "heartbeat" => json!({
            "license_key": KEY, "activation_id": activation, "current_users": 5,
            "feature_usage": {"feature1": 150, "feature2": 75}
        }),
        _ => json!({"license_key": KEY, "activation_id": activation, "reason": "System upgrade"}),
    }
}

/// A sample with some fields changed; null takes one away.
fn changed(mut sample: Value, changes: &Value) -> Value {
    let fields = sample.as_object_mut().unwrap();
    fields.extend(changes.as_object().unwrap().clone());
    fields.retain(|_, value| !value.is_null());
    sample
}

#[tokio::test]
async fn the_documents_samples_are_answered_to_the_letter() {
    let site = Site::new();
    let (status, activated) = site.post("activate", &sample("activate", &Value::Null)).await;
    let id = &activated["activation_id"];
    let until = site.running.enforcement.state().licensed(KEY).unwrap().expires_at.unwrap().to_string();
    let expected = json!({
        "success": true, "activation_id": id, "features": ["feature1", "feature2"], "max_users": 10, "valid_until": until
    });
    assert_eq!((status, &activated), (200, &expected));
    assert!(id.as_str().unwrap().starts_with("act_") && until.ends_with('Z'));
    let valid =
        json!({"valid": true, "features": ["feature1", "feature2"], "max_users": 10, "message": "License valid"});
    assert_eq!(site.post("validate", &sample("validate", id)).await, (200, valid));
    let next = site.running.clock.now().after(Duration::from_secs(300)).to_string();
    let alive = json!({"success": true, "next_heartbeat": next});
    assert_eq!(site.post("heartbeat", &sample("heartbeat", id)).await, (200, alive));
    assert_eq!(site.users().await, 5);
    let gone = json!({"success": true, "message": "License deactivated successfully"});
    assert_eq!(site.post("deactivate", &sample("deactivate", id)).await, (200, gone));
    assert_eq!(site.users().await, 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_named() {
    let site = Site::new();
    let id = site.activated().await;
    let many: Value = (0..40).map(|number| (number.to_string(), json!(1))).collect::<serde_json::Map<_, _>>().into();
    for (endpoint, changes, code, field, reason) in [
        ("activate", json!({"license_key": null}), "INVALID_LICENSE", "license_key", "required"),
        ("activate", json!({"license_key": 5}), "INVALID_LICENSE", "license_key", "format_invalid"),
        ("validate", json!({"license_key": ""}), "INVALID_LICENSE", "license_key", "format_invalid"),
        ("heartbeat", json!({"license_key": "a b"}), "INVALID_LICENSE", "license_key", "format_invalid"),
        ("activate", json!({"hardware_id": null}), "INVALID_REQUEST", "hardware_id", "required"),
        ("activate", json!({"hardware_id": {}}), "INVALID_REQUEST", "hardware_id", "value_invalid"),
        ("activate", json!({"hardware_id": many}), "INVALID_REQUEST", "hardware_id", "value_invalid"),
        ("activate", json!({"machine_name": "x".repeat(129)}), "INVALID_REQUEST", "machine_name", "value_invalid"),
        ("activate", json!({"app_version": 1}), "INVALID_REQUEST", "app_version", "type_invalid"),
        ("validate", json!({"hardware_id": null}), "INVALID_REQUEST", "hardware_id", "required"),
        ("validate", json!({"activation_id": null}), "INVALID_REQUEST", "activation_id", "required"),
        ("validate", json!({"current_users": -1}), "INVALID_REQUEST", "current_users", "value_invalid"),
        ("heartbeat", json!({"current_users": null}), "INVALID_REQUEST", "current_users", "required"),
        ("heartbeat", json!({"current_users": 1.5}), "INVALID_REQUEST", "current_users", "value_invalid"),
        ("heartbeat", json!({"current_users": 4_294_967_296_u64}), "INVALID_REQUEST", "current_users", "value_invalid"),
        ("heartbeat", json!({"feature_usage": [1]}), "INVALID_REQUEST", "feature_usage", "type_invalid"),
        ("heartbeat", json!({"feature_usage": {"a": -1}}), "INVALID_REQUEST", "feature_usage", "value_invalid"),
        ("heartbeat", json!({"feature_usage": many}), "INVALID_REQUEST", "feature_usage", "too_many"),
        ("deactivate", json!({"reason": "x".repeat(513)}), "INVALID_REQUEST", "reason", "value_invalid"),
    ] {
        let (status, answer) = site.post(endpoint, &changed(sample(endpoint, &id), &changes)).await;
        let error = &answer["error"];
        assert_eq!((status, &error["code"]), (400, &code.into()), "{endpoint} {changes}: {answer}");
        assert_eq!(error["details"], json!({"field": field, "reason": reason}), "{endpoint} {changes}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
    }
    let extra = changed(sample("validate", &id), &json!({"colour": {"unknown": true}, "current_users": null}));
    assert_eq!(site.post("validate", &extra).await.1["valid"], true);
}

#[tokio::test]
async fn what_is_not_known_here_is_not_found() {
    let site = Site::new();
    let id = site.activated().await;
    for endpoint in ["activate", "validate", "heartbeat", "deactivate"] {
        let unknown = changed(sample(endpoint, &id), &json!({"license_key": "ZZZZ-ZZZZ-ZZZZ-ZZZZ"}));
        let error = json!({"error": {
            "code": "INVALID_LICENSE", "message": "The provided license key is invalid",
            "details": {"field": "license_key", "reason": "unknown"}
        }});
        assert_eq!(site.post(endpoint, &unknown).await, (404, error), "{endpoint}");
    }
    for endpoint in ["validate", "heartbeat", "deactivate"] {
        for other in ["act_123456", "act_00000000000000000000000000000000"] {
            let (status, answer) = site.post(endpoint, &sample(endpoint, &other.into())).await;
            assert_eq!((status, &answer["error"]["code"]), (404, &"NOT_FOUND".into()), "{endpoint} {other}");
        }
    }
}

#[tokio::test]
async fn other_methods_types_paths_and_sizes_have_errors_of_this_shape() {
    let site = Site::new();
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let text = Request::post("/api/v1/validate").header(CONTENT_TYPE, "text/plain").body(Body::from("{}")).unwrap();
    for (request, status, code) in [
        (get("/api/v1/validate"), 405, "METHOD_NOT_ALLOWED"),
        (get("/api/v1/activate/x"), 404, "NOT_FOUND"),
        (text, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (request("heartbeat", "x".repeat(65 << 10)), 413, "PAYLOAD_TOO_LARGE"),
        (request("heartbeat", "not json".into()), 400, "INVALID_REQUEST"),
        (request("heartbeat", "[]".into()), 400, "INVALID_REQUEST"),
    ] {
        let asked = format!("{} {}", request.method(), request.uri());
        let (answered, _, body) = site.send(request).await;
        let error = &body["error"];
        assert_eq!((answered, &error["code"]), (status, &code.into()), "{asked}: {body}");
        assert!(error["message"].is_string() && error["details"].is_object(), "{asked}: {body}");
    }
}

#[tokio::test]
async fn the_same_hardware_has_the_same_activation_and_machines_are_limited() {
    let site = Site::new();
    let id = site.activated().await;
    let base = sample("activate", &id);
    let with = |changes: Value| changed(base.clone(), &json!({ "hardware_id": changes }));
    let new_card = with(json!({
        "mac_address": "AA:BB:CC:DD:EE:FF", "cpu_id": "BFEBFBFF000906EA",
        "system_uuid": "4C4C4544-0052-3410-8036-B8C04F303832"
    }));
    assert_eq!(site.post("activate", &new_card).await.1["activation_id"], id);
    let other = site.post("activate", &with(json!("a text of another machine"))).await.1;
    assert_ne!(other["activation_id"], id);
    assert_eq!(site.post("activate", &with(json!("a text of another machine"))).await.1, other);
    let (status, full) = site.post("activate", &with(json!("a third one"))).await;
    let error = json!({"error": {
        "code": "ACTIVATION_LIMIT", "details": {"max_activations": 2},
        "message": "the license permits 2 activations, and all are in use; deactivate a machine first"
    }});
    assert_eq!((status, full), (409, error));
    let stolen = changed(sample("validate", &id), &json!({"hardware_id": "a text of another machine"}));
    let (status, answer) = site.post("validate", &stolen).await;
    assert_eq!((status, &answer["valid"], &answer["code"]), (200, &false.into(), &"HARDWARE_MISMATCH".into()));
    site.post("deactivate", &sample("deactivate", &id)).await;
    assert_eq!(site.post("activate", &with(json!("a third one"))).await.0, 200);
}

#[tokio::test]
async fn users_beyond_the_limit_are_refused_with_the_numbers() {
    let site = Site::new();
    let first = site.activated().await;
    let second = changed(sample("activate", &first), &json!({"hardware_id": "another"}));
    let second = site.post("activate", &second).await.1["activation_id"].clone();
    assert_eq!(site.post("validate", &sample("validate", &first)).await.0, 200);
    let claim =
        |users: u32| changed(sample("validate", &second), &json!({"hardware_id": "another", "current_users": users}));
    let (status, answer) = site.post("validate", &claim(6)).await;
    let refused = json!({
        "valid": false, "features": ["feature1", "feature2"], "max_users": 10, "code": "USER_LIMIT",
        "message": "6 users and the 5 of other machines exceed the permitted 10",
        "details": {"current_users": 6, "users_elsewhere": 5, "max_users": 10}
    });
    assert_eq!((status, answer), (200, refused));
    assert_eq!(site.post("validate", &claim(5)).await.1["valid"], true);
    let (status, answer) =
        site.post("heartbeat", &changed(sample("heartbeat", &second), &json!({"current_users": 6}))).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &"USER_LIMIT".into()));
    assert_eq!(site.users().await, 10, "what both had stays their own");
    site.hand.forward(LAPSE);
    assert_eq!(site.post("validate", &claim(10)).await.1["valid"], true, "the others have lapsed");
}

#[tokio::test]
async fn a_heartbeat_is_taken_once_a_minute_from_each_activation() {
    let site = Site::new();
    let id = site.activated().await;
    let (status, headers, _) = site.send(request("heartbeat", sample("heartbeat", &id).to_string())).await;
    assert_eq!(
        (status, &headers["ratelimit-limit"], &headers["ratelimit-remaining"]),
        (200, &"1".parse().unwrap(), &"0".parse().unwrap())
    );
    let (status, headers, body) = site.send(request("heartbeat", sample("heartbeat", &id).to_string())).await;
    assert_eq!((status, &body["error"]["code"]), (429, &"RATE_LIMITED".into()));
    for name in ["retry-after", "ratelimit-reset"] {
        let seconds: u64 = headers[name].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{name}: {seconds}");
    }
    let other = changed(sample("activate", &id), &json!({"hardware_id": "another"}));
    let other = site.post("activate", &other).await.1["activation_id"].clone();
    assert_eq!(site.post("heartbeat", &sample("heartbeat", &other)).await.0, 200);
}

#[tokio::test]
async fn keys_cannot_be_guessed_at_will() {
    let site = Site::new();
    let unknown = changed(sample("activate", &Value::Null), &json!({"license_key": "ZZZZ-ZZZZ-ZZZZ-ZZZZ"}));
    let mut last = 404;
    for _ in 0..=super::STRANGERS {
        last = site.post("activate", &unknown).await.0;
    }
    assert_eq!(last, 429);
    site.activated().await;
}

#[tokio::test]
async fn a_licence_that_may_not_be_used_is_an_answer_to_validate_and_an_error_elsewhere() {
    let site = Site::new();
    let id = site.activated().await;
    let revoked = json!({ "license_key": REVOKED });
    let (status, answer) = site.post("validate", &changed(sample("validate", &id), &revoked)).await;
    assert_eq!((status, &answer["valid"], &answer["code"]), (200, &false.into(), &"LICENSE_REVOKED".into()));
    let (status, answer) = site.post("activate", &changed(sample("activate", &id), &revoked)).await;
    assert_eq!((status, &answer["error"]["code"]), (403, &"LICENSE_REVOKED".into()));
    let second = json!({ "license_key": SECOND });
    let (status, answer) = site.post("activate", &changed(sample("activate", &id), &second)).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &"LICENSE_CONFLICT".into()));
    let (_, answer) = site.post("validate", &changed(sample("validate", &id), &second)).await;
    assert_eq!((&answer["valid"], &answer["code"]), (&false.into(), &"LICENSE_INACTIVE".into()));

    site.hand.forward(DAY * 366);
    let (status, answer) = site.post("validate", &sample("validate", &id)).await;
    assert_eq!((status, &answer["valid"], &answer["code"]), (200, &false.into(), &"LICENSE_EXPIRED".into()));
    assert_eq!(answer["features"], json!([]));
    assert!(answer["message"].as_str().unwrap().contains("expired on "), "{answer}");
    for endpoint in ["activate", "heartbeat"] {
        let (status, answer) = site.post(endpoint, &sample(endpoint, &id)).await;
        assert_eq!((status, &answer["error"]["code"]), (403, &"LICENSE_EXPIRED".into()), "{endpoint}");
    }
    site.running.enforcement.begin_override(2, "no line".into(), "operator".into()).await.unwrap();
    assert_eq!(site.post("validate", &sample("validate", &id)).await.1["valid"], true);
    site.hand.forward(DAY * 2);
    assert_eq!(site.post("validate", &sample("validate", &id)).await.1["valid"], false);
    assert_eq!(site.post("deactivate", &sample("deactivate", &id)).await.0, 200);
}

#[tokio::test]
async fn whose_users_were_released_is_told_and_may_claim_again_at_once() {
    let site = Site::new();
    let id = site.activated().await;
    site.post("validate", &sample("validate", &id)).await;
    let activation = activation_of(id.as_str().unwrap()).unwrap();
    site.running.enforcement.release_users(activation, "operator".into()).await.unwrap();
    let (status, answer) = site.post("heartbeat", &sample("heartbeat", &id)).await;
    let error = json!({"error": {
        "code": "SESSION_RELEASED", "details": {"by": "operator"},
        "message": "the users of this machine were released by operator; claim them again"
    }});
    assert_eq!((status, answer), (409, error));
    assert_eq!(site.post("heartbeat", &sample("heartbeat", &id)).await.0, 200);
    assert_eq!(site.users().await, 5);
}

#[tokio::test]
async fn the_largest_bodies_that_are_taken_fit_into_a_record() {
    let site = Site::new();
    let named = |count: usize, length: usize, value: Value| -> Value {
        let name = |number: usize| format!("{number:0>length$}");
        (0..count).map(|number| (name(number), value.clone())).collect::<serde_json::Map<_, _>>().into()
    };
    let largest = json!({
        "hardware_id": named(32, 32, json!("x".repeat(256))), "machine_name": "m".repeat(128),
        "app_version": "v".repeat(64),
    });
    let (status, answer) = site.post("activate", &changed(sample("activate", &Value::Null), &largest)).await;
    assert_eq!(status, 200, "{answer}");
    let id = &answer["activation_id"];
    let largest = json!({"feature_usage": named(32, 64, json!(1_000_000_000))});
    let (status, answer) = site.post("heartbeat", &changed(sample("heartbeat", id), &largest)).await;
    assert_eq!(status, 200, "{answer}");
    let largest = json!({"reason": "r".repeat(512)});
    assert_eq!(site.post("deactivate", &changed(sample("deactivate", id), &largest)).await.0, 200);
}
