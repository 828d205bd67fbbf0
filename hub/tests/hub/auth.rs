//! Who may call the API over HTTPS, and with what: logins, their tokens, API keys.

use crate::command::Commands;
use crate::support::TestHub;
use serde_json::{Value, json};

const ME: &str = "/api/v1/auth/me";
const PASSWORD: &str = "a long password";

/// Status and body of a request with a bearer token or API key, if any.
pub async fn call(hub: &TestHub, method: &str, path: &str, bearer: &str, body: Value) -> (u16, Value) {
    let request = hub.client().request(method.parse().unwrap(), hub.url(path)).json(&body);
    let request = if bearer.is_empty() { request } else { request.bearer_auth(bearer) };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn get(hub: &TestHub, path: &str, bearer: &str) -> (u16, Value) {
    call(hub, "GET", path, bearer, json!({})).await
}

async fn post(hub: &TestHub, path: &str, bearer: &str, body: Value) -> (u16, Value) {
    call(hub, "POST", path, bearer, body).await
}

pub async fn log_in(hub: &TestHub, name: &str, password: &str) -> (u16, Value) {
    post(hub, "/api/v1/auth/login", "", json!({ "username": name, "password": password })).await
}

async fn refresh(hub: &TestHub, token: &Value) -> (u16, Value) {
    post(hub, "/api/v1/auth/refresh", "", json!({ "refresh_token": token })).await
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

#[tokio::test]
async fn a_user_logs_in_looks_around_and_logs_out() {
    let hub = TestHub::start().await;
    let (status, tokens) = log_in(&hub, "admin", PASSWORD).await;
    assert_eq!(
        (status, &tokens["token_type"], &tokens["expires_in"]),
        (200, &json!("Bearer"), &json!(900)),
        "{tokens}"
    );
    let access = text(&tokens["access_token"]);
    let (_, me) = get(&hub, ME, access).await;
    assert_eq!(me, json!({ "kind": "user", "name": "admin", "role": "admin", "customer": null, "site": null }));
    let (status, made) = post(&hub, "/api/v1/admin/customers", access, json!({ "name": "Acme" })).await;
    assert_eq!((status, &made["name"]), (201, &json!("Acme")));
    assert_eq!(post(&hub, "/api/v1/auth/logout", access, json!({})).await.0, 200);
    assert_eq!(get(&hub, ME, access).await.0, 401, "an access token outlives no session");
    assert_eq!(refresh(&hub, &tokens["refresh_token"]).await.0, 401);
}

#[tokio::test]
async fn strangers_are_told_in_the_dialect_how_to_come_in() {
    let hub = TestHub::start().await;
    for credential in ["", "a.b.c", "swa_nothing"] {
        let (status, body) = get(&hub, "/api/v1/admin/customers", credential).await;
        assert_eq!((status, &body["error"]["code"]), (401, &json!("UNAUTHORIZED")), "{credential}");
        assert_eq!(body["error"]["details"], json!({}));
    }
    let response = hub.get(ME).await;
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"sitewarden\"");
    let basic = hub.client().get(hub.url(ME)).basic_auth("admin", Some(PASSWORD)).send().await.unwrap();
    assert_eq!(basic.status(), 401, "a password opens the door of logins only");
    assert_eq!(get(&hub, "/api/v1/admin/nothing", "").await.0, 404);
}

#[tokio::test]
async fn one_who_guesses_waits_and_a_name_that_is_not_there_looks_like_one_that_is() {
    let hub = TestHub::start().await;
    for name in ["admin", "nobody"] {
        let mut tries = 0;
        let refused = loop {
            let body = json!({ "username": name, "password": "a wrong password" });
            let answer = hub.client().post(hub.url("/api/v1/auth/login")).json(&body).send().await.unwrap();
            // The wait doubles with each try that comes after it, so a slow machine is overtaken.
            if answer.status() != 401 {
                break answer;
            }
            tries += 1;
            assert!(tries < 20, "{name} was never made to wait");
        };
        assert!((5..20).contains(&tries), "{name}: {tries}");
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(refused.status(), 429);
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["error"]["code"], json!("RATE_LIMITED"));
    }
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_second_use_ends_the_session() {
    let hub = TestHub::start().await;
    let (_, first) = log_in(&hub, "admin", PASSWORD).await;
    let (status, second) = refresh(&hub, &first["refresh_token"]).await;
    assert_eq!((status, get(&hub, ME, text(&second["access_token"])).await.0), (200, 200));
    assert_eq!(get(&hub, ME, text(&first["access_token"])).await.0, 200, "of the same session");
    let (_, other) = log_in(&hub, "admin", PASSWORD).await;
    assert_eq!(refresh(&hub, &first["refresh_token"]).await.0, 401);
    assert_eq!(get(&hub, ME, text(&second["access_token"])).await.0, 401, "a stolen token ends the session for both");
    assert_eq!(refresh(&hub, &second["refresh_token"]).await.0, 401);
    assert_eq!(get(&hub, ME, text(&other["access_token"])).await.0, 200, "and no other session");
}

#[tokio::test]
async fn what_changes_of_a_user_counts_for_his_next_request() {
    let hub = TestHub::start().await;
    let commands = Commands::of(&hub);
    commands.password("olga", PASSWORD);
    commands.password("new", "another long password");
    commands.json("user add olga --role admin --password-file olga").await;
    let (_, tokens) = log_in(&hub, "olga", PASSWORD).await;
    let access = text(&tokens["access_token"]);
    let add = async || post(&hub, "/api/v1/admin/customers", access, json!({ "name": "Acme" })).await;
    commands.json("user edit olga --role viewer").await;
    let (status, refused) = add().await;
    assert_eq!((status, &refused["error"]["code"]), (403, &json!("FORBIDDEN")));
    assert_eq!(refused["error"]["details"], json!({ "needs": "admin" }));
    commands.json("user edit olga --role admin").await;
    assert_eq!(add().await.0, 201);
    commands.json("user edit olga --password-file new").await;
    assert_eq!(add().await.0, 401, "a new password ends the sessions of the old one");
    assert_eq!(refresh(&hub, &tokens["refresh_token"]).await.0, 401);
    let (_, tokens) = log_in(&hub, "olga", "another long password").await;
    commands.json("user edit olga --disable").await;
    assert_eq!(get(&hub, ME, text(&tokens["access_token"])).await.0, 401);
    commands.json("user edit olga --enable").await;
    assert_eq!(get(&hub, ME, text(&tokens["access_token"])).await.0, 401, "what ended does not come back");
}

#[tokio::test]
async fn a_program_comes_with_a_key_that_can_be_replaced_and_revoked() {
    let hub = TestHub::start().await;
    let (_, tokens) = log_in(&hub, "admin", PASSWORD).await;
    let admin = text(&tokens["access_token"]);
    let new = json!({ "purpose": "api", "role": "viewer", "name": "reports" });
    let (status, made) = post(&hub, "/api/v1/admin/api-keys", admin, new).await;
    assert_eq!((status, &made["role"], &made["purpose"]), (201, &json!("viewer"), &json!("api")), "{made}");
    let key = text(&made["key"]);
    let (_, me) = get(&hub, ME, key).await;
    assert_eq!((&me["kind"], &me["name"], &me["role"]), (&json!("api_key"), &json!("reports"), &json!("viewer")));
    let by_header = hub.client().get(hub.url("/api/v1/admin/customers")).header("x-api-key", key);
    assert_eq!(by_header.send().await.unwrap().status(), 200);
    assert_eq!(post(&hub, "/api/v1/admin/customers", key, json!({ "name": "x" })).await.0, 403);
    let (_, rotated) = post(&hub, "/api/v1/admin/api-keys/1/rotate", admin, json!({ "overlap": 0 })).await;
    assert_eq!(get(&hub, ME, key).await.0, 401);
    let key = text(&rotated["key"]);
    assert_eq!(get(&hub, "/api/v1/telemetry/records", key).await.0, 200, "telemetry takes a bearer too");
    let (_, listed) = get(&hub, "/api/v1/admin/api-keys?purpose=api", admin).await;
    assert!(listed["items"][1]["last_used"].is_string() && !listed.to_string().contains(key), "{listed}");
    assert_eq!(post(&hub, "/api/v1/admin/api-keys/2/revoke", admin, json!({})).await.0, 200);
    assert_eq!(get(&hub, ME, key).await.0, 401);
}

#[tokio::test]
async fn keys_for_the_api_and_customers_are_made_and_changed_from_the_command_line() {
    let hub = TestHub::start().await;
    let commands = Commands::of(&hub);
    commands.json("customer add Acme --email a@acme.com").await;
    let edited = commands.json("customer edit 1 --name Acme2").await;
    assert_eq!((&edited["name"], &edited["email"]), (&json!("Acme2"), &json!("a@acme.com")));
    assert_eq!(commands.json("customer edit 1 --no-email").await["email"], Value::Null);
    assert_eq!(commands.json("customer edit 1 --email b@acme.com").await["email"], json!("b@acme.com"));
    let made = commands.json("apikey add --purpose api --role operator --customer 1 --name reports").await;
    let (_, me) = get(&hub, ME, text(&made["key"])).await;
    assert_eq!(me, json!({ "kind": "api_key", "name": "reports", "role": "operator", "customer": 1, "site": null }));
    let whole = commands.json("apikey add --purpose api").await;
    let (_, me) = get(&hub, ME, text(&whole["key"])).await;
    assert_eq!((&me["role"], &me["customer"]), (&json!("viewer"), &Value::Null));
    commands.json("apikey add --customer 1").await;
    assert_eq!(commands.json("apikey list --purpose api").await.as_array().map(Vec::len), Some(2));
    let shown = commands.text("apikey show 1").await;
    assert!(shown.contains("operator") && !shown.contains(text(&made["key"])), "{shown}");
    for (line, why) in [
        ("apikey add", "customer must be given for a telemetry key"),
        ("apikey add --customer 1 --role admin", "a telemetry key has no role"),
    ] {
        let (code, told) = commands.fails(line).await;
        assert!(code == 1 && told.contains(why), "{line}: {told}");
    }
}

#[tokio::test]
async fn a_telemetry_key_reads_nothing() {
    let hub = TestHub::start().await;
    let commands = Commands::of(&hub);
    commands.json("customer add Acme").await;
    let made = commands.json("apikey add --customer 1").await;
    let key = text(&made["key"]);
    assert!(key.starts_with("swk_"));
    for path in [ME, "/api/v1/admin/customers", "/api/v1/telemetry/records"] {
        assert_eq!(get(&hub, path, key).await.0, 401, "{path}");
    }
}
