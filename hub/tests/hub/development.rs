//! `--dev`: the document's test credentials work with it, and without it never, whatever the folder was used for before.

use crate::auth::{call, log_in, text};
use crate::support::{TestHub, config};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sitewarden_hub::start;
use sitewarden_protocol::login::token::{Claims, Signer};
use std::path::Path;
use std::process::Command;

const LICENSE_KEY: &str = "TEST-TEST-TEST-TEST";
const API_KEY: &str = "test_api_key_123";
const JWT_SECRET: &str = "test_jwt_secret";
const ME: &str = "/api/v1/auth/me";

async fn activate(hub: &TestHub) -> (u16, Value) {
    let body = json!({ "license_key": LICENSE_KEY, "hardware_id": "pc", "machine_name": "pc", "app_version": "1.0.0" });
    call(hub, "POST", "/api/v1/activate", "", body).await
}

async fn me(hub: &TestHub, credential: &str) -> u16 {
    call(hub, "GET", ME, credential, json!({})).await.0
}

fn later() -> i64 {
    crate::support::now().seconds() + 600
}

/// As a developer makes one, who knows of no sessions.
fn bare_token(user: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed =
        format!("{}.{}", part(json!({ "alg": "HS256", "typ": "JWT" })), part(json!({ "sub": user, "exp": later() })));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, JWT_SECRET.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes())))
}

async fn again(hub: TestHub, dev: bool) -> TestHub {
    let (keys, data_dir, folder) = (hub.keys, hub.data_dir, hub.folder);
    hub.hub.shutdown().await.unwrap();
    let mut config = config(&data_dir);
    config.dev = dev;
    TestHub { hub: start(config).await.unwrap(), data_dir, keys, folder }
}

async fn assert_refused(hub: &TestHub, tokens: &[&str]) {
    let (status, answer) = activate(hub).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("INVALID_LICENSE")), "{answer}");
    assert_eq!(me(hub, API_KEY).await, 401);
    let by_header = hub.client().get(hub.url(ME)).header("x-api-key", API_KEY).send().await.unwrap();
    assert_eq!(by_header.status(), 401);
    assert_eq!(me(hub, &bare_token("admin")).await, 401);
    for token in tokens {
        assert_eq!(me(hub, token).await, 401);
    }
}

#[tokio::test]
async fn the_test_credentials_work_with_the_flag_and_never_without_it() {
    let hub = TestHub::start().await;
    assert_refused(&hub, &[]).await;
    let (_, tokens) = log_in(&hub, "admin", "a long password").await;
    let own = text(&tokens["access_token"]).to_owned();

    let hub = again(hub, true).await;
    let (status, answer) = activate(&hub).await;
    assert_eq!((status, &answer["features"]), (200, &json!(["feature1", "feature2"])), "{answer}");
    let activation = answer["activation_id"].clone();
    let (_, listed) = call(&hub, "GET", "/api/v1/admin/licenses", API_KEY, json!({})).await;
    assert_eq!((&listed["total"], &listed["licenses"][0]["status"]), (&json!(1), &json!("active")), "{listed}");
    assert_eq!(me(&hub, &bare_token("admin")).await, 200);
    assert_eq!(me(&hub, &bare_token("nobody")).await, 401, "a token makes no user");
    assert_eq!(me(&hub, &own).await, 401, "the hub's own secret rests meanwhile");
    let (_, tokens) = log_in(&hub, "admin", "a long password").await;
    let token = text(&tokens["access_token"]).to_owned();
    let claims: Claims = Signer::new(JWT_SECRET.as_bytes()).verify(&token, later() - 600).unwrap();
    assert_eq!((claims.sub.as_str(), me(&hub, &token).await), ("admin", 200));

    let hub = again(hub, false).await;
    assert_refused(&hub, &[&token]).await;
    let body = json!({ "license_key": LICENSE_KEY, "activation_id": activation, "current_users": 1 });
    let (status, answer) = call(&hub, "POST", "/api/v1/heartbeat", "", body).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("INVALID_LICENSE")), "{answer}");

    let hub = again(hub, true).await;
    assert_eq!(activate(&hub).await.1["activation_id"], activation, "it is the same licence");
    call(&hub, "DELETE", "/api/v1/admin/licenses/1", API_KEY, json!({})).await;
    assert_eq!(activate(&hub).await.1["error"]["code"], json!("LICENSE_REVOKED"));
    let hub = again(hub, true).await;
    assert_eq!(activate(&hub).await.0, 200, "a new one took its place");
    let hub = again(hub, false).await;
    assert_refused(&hub, &[]).await;
}

/// What `serve --dev` says that does not start.
fn refused(data_dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sitewarden-hub"));
    command.args(["serve", "--dev", "--data-dir"]).arg(data_dir).args(arguments);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn with_the_flag_no_other_machine_can_reach_it() {
    let (_folder, data_dir) = crate::support::initialised().await;
    for name in ["--https", "--http", "--sync"] {
        let (code, told) = refused(&data_dir, &[name, "0.0.0.0:0"]);
        assert_eq!(code, Some(2), "{told}");
        let named = told.contains("loopback") || told.contains("http must be a loopback address");
        assert!(named && told.trim().lines().count() == 1, "{told}");
    }
}
