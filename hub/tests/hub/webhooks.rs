//! Webhooks, from the command line to another system, and whatever that system does.

use crate::command::Commands;
use crate::receiver::{Behaviour, Got, Receiver, verified};
use crate::support::{TestHub, act, until};
use axum::http::StatusCode;
use serde_json::{Value, json};
use sitewarden_hub::config::Config;
use sitewarden_hub::metrics::DeliveryOutcome;
use sitewarden_hub::store::{DeliveryStatus, NewApiKey, Purpose, Role, Scope};
use sitewarden_hub::webhooks::Networks;
use std::time::{Duration, Instant};

const ALL: Scope = Scope { customer: None, site: None };

/// Loopback may be called, and nobody waits for long.
fn settings(config: &mut Config) {
    config.webhooks.allowed = Networks::new(vec!["127.0.0.0/8".parse().unwrap()]);
    config.webhooks.first_pause = Duration::from_millis(40);
    config.webhooks.longest_pause = Duration::from_millis(200);
}

async fn hub() -> (TestHub, Commands) {
    let hub = TestHub::start_with(settings).await;
    let commands = Commands::of(&hub);
    (hub, commands)
}

/// A webhook's number and secret.
async fn add(commands: &Commands, url: &str, more: &str) -> (i64, String) {
    let made = commands.json(format!("webhook add {url} {more}").trim_end()).await;
    (made["id"].as_i64().unwrap(), made["secret"].as_str().unwrap().to_owned())
}

/// Waits until a webhook's newest delivery is as wanted.
async fn newest(commands: &Commands, webhook: i64, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let deliveries = commands.json(&format!("webhook deliveries {webhook}")).await;
        if wanted(&deliveries[0]) {
            return deliveries[0].clone();
        }
        assert!(begun.elapsed() < crate::support::PATIENCE, "never {what}: {deliveries}");
    }
}

#[tokio::test]
async fn what_happens_arrives_and_a_public_library_takes_the_signature() {
    let (hub, commands) = hub().await;
    let receiver = Receiver::start().await;
    let site = hub.site().await;
    let (id, secret) = add(&commands, &receiver.url(), "").await;
    let issued =
        commands.json(&format!("license issue --site {site} --app EMS --quota 9 --validity 1d --name L1")).await;
    let key = issued["key"].as_str().unwrap();
    let store = hub.hub.store();
    store.activate_license(&act(), ALL, key, false).await.unwrap().unwrap();
    commands.json(&format!("license revoke {}", issued["id"])).await;
    commands.json(&format!("webhook test {id}")).await;
    let got = receiver.calls(3).await;
    let mut events = verified(&secret, &got).await;
    events.sort();
    assert_eq!(events, ["license.activated", "license.revoked", "webhook.test"]);
    let activated = got.iter().map(Got::json).find(|body| body["event"] == "license.activated").unwrap();
    assert_eq!(activated["data"], json!({ "license_id": 1, "activation_id": "act_1", "customer_id": 1 }));
    let text = got.iter().find(|got| got.body.contains("license.activated")).unwrap();
    assert!(text.body.starts_with(r#"{"event":"license.activated","timestamp":""#), "{}", text.body);
    assert_eq!(text.header("content-type"), "application/json");
    let ids: std::collections::BTreeSet<&str> = got.iter().map(|got| got.header("webhook-id")).collect();
    assert_eq!(ids.len(), 3);
    let shown = newest(&commands, id, "delivered", |delivery| delivery["status"] == "delivered").await;
    assert_eq!((&shown["last_status"], &shown["attempts"]), (&json!(204), &json!(1)));
    let listed = commands.text("webhook list").await;
    assert!(listed.contains("working") && !listed.contains(&secret), "{listed}");
    assert_eq!(hub.hub.metrics().webhook_deliveries(DeliveryOutcome::Delivered), 3);
}

#[tokio::test]
async fn an_endpoint_that_was_down_gets_everything_once_it_is_up() {
    let (hub, commands) = hub().await;
    let receiver = Receiver::start().await;
    let (address, url) = (receiver.address, receiver.url());
    let (id, secret) = add(&commands, &url, "").await;
    drop(receiver);
    let store = hub.hub.store();
    for _ in 0..10 {
        store.test_webhook(&act(), ALL, id).await.unwrap();
    }
    // Connections are refused.
    until("three failures", || hub.hub.metrics().webhook_deliveries(DeliveryOutcome::Failed) >= 3).await;
    let shown = commands.json(&format!("webhook show {id}")).await;
    assert_eq!((&shown["health"], &shown["waiting"]), (&json!("failing"), &json!(10)), "{shown}");
    assert!(!shown["last_error"].as_str().unwrap().contains("a-secret-in"), "{shown}");
    let up = Instant::now();
    let receiver = Receiver::start_at(address).await;
    receiver.behave(Behaviour::Answer(503));
    receiver.calls(2).await;
    receiver.behave(Behaviour::Answer(200));
    until("all delivered", || hub.hub.metrics().webhook_deliveries(DeliveryOutcome::Delivered) == 10).await;
    println!("ten deliveries arrived {:?} after the endpoint was up", up.elapsed());
    let got = receiver.got();
    assert_eq!(verified(&secret, &got).await.len(), got.len());
    let ids: std::collections::BTreeSet<&str> = got.iter().map(|got| got.header("webhook-id")).collect();
    assert_eq!(ids.len(), 10, "a repeat has the id of the first attempt");
    assert_eq!(commands.json(&format!("webhook show {id}")).await["health"], "working");
}

#[tokio::test]
async fn a_slow_a_redirecting_and_an_endless_endpoint_hold_nobody_up() {
    let hub = TestHub::start_with(|config| {
        settings(config);
        config.webhooks.limit = Duration::from_secs(1);
    })
    .await;
    let commands = Commands::of(&hub);
    let receivers =
        [Receiver::start().await, Receiver::start().await, Receiver::start().await, Receiver::start().await];
    let [mute, elsewhere, endless, good] = &receivers;
    mute.behave(Behaviour::Mute);
    elsewhere.behave(Behaviour::Redirect(good.url()));
    endless.behave(Behaviour::Endless);
    let mut ids = Vec::new();
    for receiver in &receivers {
        ids.push(add(&commands, &receiver.url(), "").await.0);
    }
    let store = hub.hub.store();
    for _ in 0..20 {
        for id in &ids {
            store.test_webhook(&act(), ALL, *id).await.unwrap();
        }
    }
    let begun = Instant::now();
    good.calls(20).await;
    println!("twenty deliveries beside three bad endpoints took {:?}", begun.elapsed());
    let failed = |delivery: &Value| !delivery["last_error"].is_null();
    let of_mute = store.list_deliveries(ALL, ids[0], None, None, 100).await.unwrap();
    assert!(of_mute.iter().all(|delivery| delivery.status == DeliveryStatus::Waiting));
    until("the mute one given up on", || !mute.got().is_empty()).await;
    let oldest_fails = |id: i64| {
        let store = store.clone();
        async move {
            let begun = Instant::now();
            loop {
                let deliveries = store.list_deliveries(ALL, id, None, None, 100).await.unwrap();
                if let Some(error) = deliveries.iter().find_map(|delivery| delivery.last_error.clone()) {
                    return error;
                }
                assert!(begun.elapsed() < crate::support::PATIENCE);
            }
        }
    };
    assert_eq!(oldest_fails(ids[0]).await, "no answer in time");
    assert_eq!(oldest_fails(ids[1]).await, "answered 307: redirects are not followed");
    // What answered with success was told, however much it has to say.
    let delivered = newest(&commands, ids[2], "delivered", |delivery| delivery["status"] == "delivered").await;
    assert!(!failed(&delivered), "{delivered}");
    assert_eq!(good.got().len(), 20, "nothing came by redirect");
}

#[tokio::test]
async fn private_addresses_are_refused_by_number_and_by_name() {
    let hub = TestHub::start_with(|config| {
        settings(config);
        config.webhooks.allowed = Networks::default();
    })
    .await;
    let commands = Commands::of(&hub);
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    for (url, why) in [
        (format!("http://127.0.0.1:{port}/"), "without TLS only"),
        (format!("http://localhost:{port}/"), "without TLS only"),
        (format!("https://127.0.0.1:{port}/"), "not a public one"),
        (format!("https://2130706433:{port}/"), "not a public one"),
        (format!("https://[::ffff:127.0.0.1]:{port}/"), "not a public one"),
        (format!("https://[::1]:{port}/"), "not a public one"),
        // A name is looked at when it has become an address, each time.
        (format!("https://localhost:{port}/"), "not a public one"),
        ("https://169.254.169.254/latest/meta-data".to_owned(), "not a public one"),
    ] {
        let (id, _) = add(&commands, &url, "").await;
        commands.json(&format!("webhook test {id}")).await;
        let shown = newest(&commands, id, "refused", |delivery| !delivery["last_error"].is_null()).await;
        assert!(shown["last_error"].as_str().unwrap().contains(why), "{url}: {shown}");
        commands.json(&format!("webhook remove {id}")).await;
    }
    assert_eq!(receiver.got().len(), 0);
}

#[tokio::test]
async fn a_rotated_secret_and_the_one_before_both_verify_until_the_overlap_ends() {
    let (_hub, commands) = hub().await;
    let receiver = Receiver::start().await;
    let (id, before) = add(&commands, &receiver.url(), "--event license.expired").await;
    let rotated = commands.json(&format!("webhook rotate {id} --overlap 1")).await;
    let after = rotated["secret"].as_str().unwrap();
    assert_ne!(after, before);
    assert!(rotated["previous_secret_until"].is_string());
    commands.json(&format!("webhook test {id}")).await;
    let got = receiver.calls(1).await;
    assert_eq!(got[0].header("webhook-signature").split(' ').count(), 2);
    assert_eq!(verified(&before, &got).await, ["webhook.test"]);
    assert_eq!(verified(after, &got).await, ["webhook.test"]);
    let last = commands.json(&format!("webhook rotate {id} --overlap 0")).await;
    commands.json(&format!("webhook test {id}")).await;
    let got = receiver.calls(2).await.split_off(1);
    assert_eq!(got[0].header("webhook-signature").split(' ').count(), 1);
    assert_eq!(verified(last["secret"].as_str().unwrap(), &got).await, ["webhook.test"]);
    let shown = commands.json(&format!("webhook show {id}")).await;
    assert!(shown["secret"].is_null() && shown["previous_secret_until"].is_null(), "{shown}");
}

#[tokio::test]
async fn a_delivery_is_sent_again_under_its_own_id_and_one_switched_off_waits() {
    let (_hub, commands) = hub().await;
    let receiver = Receiver::start().await;
    let (id, secret) = add(&commands, &receiver.url(), "--description 'the_shop'").await;
    let test = commands.json(&format!("webhook test {id}")).await;
    let delivery = test["id"].as_str().unwrap();
    newest(&commands, id, "delivered", |delivery| delivery["status"] == "delivered").await;
    commands.json(&format!("webhook edit {id} --disable")).await;
    assert!(commands.fails(&format!("webhook test {id}")).await.1.contains("turned this webhook off"));
    let again = commands.json(&format!("webhook resend {delivery}")).await;
    assert_eq!((&again["status"], &again["attempts"]), (&json!("waiting"), &json!(0)));
    let listed = commands.text("webhook list").await;
    assert!(listed.contains(" off ") && receiver.got().len() == 1, "{listed}");
    commands.json(&format!("webhook edit {id} --enable")).await;
    let got = receiver.calls(2).await;
    assert_eq!(got[0].header("webhook-id"), delivery);
    assert_eq!(got[1].header("webhook-id"), delivery);
    assert_eq!(got[0].body, got[1].body);
    assert_eq!(verified(&secret, &got).await.len(), 2);
    for (line, why) in [
        ("webhook add ftp://example.com", "https or http address"),
        ("webhook add https://example.com --event nothing", "unknown variant"),
        ("webhook add https://example.com --customer 77", "no such customer"),
        ("webhook show 77", "no such webhook"),
        ("webhook resend msg_1", "no id of this kind"),
        ("webhook deliveries 1 --status odd", "status must be"),
    ] {
        let (code, told) = commands.fails(line).await;
        assert!(code == 1 && told.contains(why), "{line}: {told}");
    }
}

#[tokio::test]
async fn whoever_is_limited_to_a_customer_has_webhooks_of_that_customer_only() {
    let (hub, commands) = hub().await;
    let receiver = Receiver::start().await;
    hub.site().await;
    commands.json("customer add Other").await;
    let (everybodys, _) = add(&commands, &receiver.url(), "").await;
    let (theirs, _) = add(&commands, &receiver.url(), "--customer 2").await;
    let test = commands.json(&format!("webhook test {theirs}")).await;
    let (purpose, role, customer) = (Purpose::Api, Role::Admin, Some(1));
    let new = NewApiKey { name: "k".to_owned(), purpose, role, customer, site: None, expires_at: None };
    let (key, _) = hub.hub.store().add_api_key(&act(), new).await.unwrap();
    let call = |method: &'static str, path: String, body: Value| {
        let request = hub.client().request(method.parse().unwrap(), hub.url(&format!("/api/v1/admin/{path}")));
        let request =
            request.bearer_auth(key.as_str()).header("content-type", "application/json").body(body.to_string());
        async move {
            let answer = request.send().await.unwrap();
            (answer.status(), answer.json::<Value>().await.unwrap())
        }
    };
    let (status, made) = call("POST", "webhooks".into(), json!({ "url": receiver.url() })).await;
    assert_eq!((status, &made["customer"]), (StatusCode::CREATED, &json!(1)), "{made}");
    let (_, listed) = call("GET", "webhooks".into(), json!({})).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let foreign = json!({ "url": receiver.url(), "customer": 2 });
    assert_eq!(call("POST", "webhooks".into(), foreign).await.0, StatusCode::NOT_FOUND);
    for id in [everybodys, theirs] {
        for (method, path, body) in [
            ("GET", format!("webhooks/{id}"), json!({})),
            ("PATCH", format!("webhooks/{id}"), json!({ "enabled": false })),
            ("DELETE", format!("webhooks/{id}"), json!({})),
            ("POST", format!("webhooks/{id}/rotate"), json!({ "overlap": 0 })),
            ("POST", format!("webhooks/{id}/test"), json!({})),
            ("GET", format!("webhooks/{id}/deliveries"), json!({})),
        ] {
            assert_eq!(call(method, path.clone(), body).await.0, StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
    let delivery = test["id"].as_str().unwrap();
    assert_eq!(call("GET", format!("webhook-deliveries/{delivery}"), json!({})).await.0, StatusCode::NOT_FOUND);
    let resend = format!("webhook-deliveries/{delivery}/resend");
    assert_eq!(call("POST", resend, json!({})).await.0, StatusCode::NOT_FOUND);
    let audited = hub.hub.store().show_webhook(ALL, theirs).await.unwrap();
    assert!(audited.enabled);
}
