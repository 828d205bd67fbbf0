//! What a run of the hub must not have logged: every secret that it made, or was told.

use crate::auth::{call, log_in, text};
use crate::command::Commands;
use crate::log;
use crate::support::TestHub;
use serde_json::{Value, json};

#[tokio::test]
async fn no_secret_of_a_run_is_in_its_log() {
    let hub = TestHub::start().await;
    let commands = Commands::of(&hub);
    commands.password("p", "a secret that nobody logs");
    commands.json("user add olga --role admin --password-file p").await;
    let site = hub.site().await;
    let mut secrets = vec!["a secret that nobody logs".to_owned(), "a wrong guess that nobody logs".to_owned()];
    let mut keep = |value: &Value| secrets.push(text(value).to_owned());

    let (_, tokens) = log_in(&hub, "olga", "a secret that nobody logs").await;
    assert_eq!(log_in(&hub, "olga", "a wrong guess that nobody logs").await.0, 401);
    let refreshing = json!({ "refresh_token": tokens["refresh_token"] });
    let (_, again) = call(&hub, "POST", "/api/v1/auth/refresh", "", refreshing.clone()).await;
    let admin = text(&again["access_token"]).to_owned();
    [&tokens, &again].into_iter().for_each(|tokens| {
        keep(&tokens["access_token"]);
        keep(&tokens["refresh_token"]);
    });
    let post =
        async |path: &str, body: Value| call(&hub, "POST", &format!("/api/v1/admin/{path}"), &admin, body).await.1;
    keep(&post("api-keys", json!({ "purpose": "api" })).await["key"]);
    keep(&post("api-keys", json!({ "site": site })).await["key"]);
    keep(&post("agents/invite", json!({ "site": site })).await["token"]);
    let issued = commands.json(&format!("license issue --site {site} --app EMS --quota 5 --name L1")).await;
    keep(if issued["key"].is_string() { &issued["key"] } else { &issued["license_key"] });
    // Used where it does not belong, broken, and twice.
    for bearer in [secrets[7].as_str(), "swa_made-up-and-not-logged", "a.b.c"] {
        assert_eq!(call(&hub, "GET", "/api/v1/auth/me", bearer, json!({})).await.0, 401);
    }
    assert_eq!(call(&hub, "POST", "/api/v1/auth/refresh", "", refreshing).await.0, 401);
    secrets.push("swa_made-up-and-not-logged".to_owned());

    assert!(!log::lines_with("refused a wrong password").is_empty(), "the log is not what is looked at");
    for secret in &secrets {
        let lines = log::lines_with(secret);
        assert!(lines.is_empty(), "{lines:?}");
    }
}
