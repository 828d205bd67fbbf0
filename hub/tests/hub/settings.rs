//! Settings that are changed while the hub runs, and those that are not.

use crate::auth::{call, log_in, text};
use crate::command::Commands;
use crate::plant_world::World;
use crate::support::{TestHub, config, until};
use serde_json::{Value, json};
use sitewarden_hub::store::Role;
use sitewarden_hub::{config::Key, start};
use std::process::{Child, Command, Stdio};

async fn stranger(hub: &TestHub) -> u16 {
    let body = json!({ "refresh_token": "x" });
    hub.client().post(hub.url("/api/v1/auth/refresh")).json(&body).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_limit_that_is_edited_counts_for_the_next_request() {
    let hub = TestHub::start().await;
    let commands = Commands::of(&hub);
    assert_eq!(stranger(&hub).await, 401);
    let edited = commands.json("settings edit api.public_per_minute 1").await;
    assert_eq!((&edited["value"], &edited["edited"]["by"]), (&json!(1), &json!("local administrator")));
    let body = json!({ "refresh_token": "x" });
    let answer = hub.client().post(hub.url("/api/v1/auth/refresh")).json(&body).send().await.unwrap();
    assert_eq!(answer.headers()["ratelimit-limit"], "1", "{}", answer.status());
    assert_eq!(stranger(&hub).await, 429);
    let machine = json!({ "license_key": "x" });
    let (status, answer) = call(&hub, "POST", "/api/v1/activate", "", machine.clone()).await;
    assert_ne!(status, 429, "the licence server's counter begins at its own first call: {answer}");
    assert_eq!(call(&hub, "POST", "/api/v1/activate", "", machine).await.0, 429);
    let back = commands.json("settings reset api.public_per_minute").await;
    assert_eq!((&back["value"], &back["edited"]), (&json!(100), &Value::Null));
    // The minute is used up as before, but one comes back in less than a second.
    let mut tries = 0;
    while stranger(&hub).await == 429 {
        tries += 1;
        assert!(tries < 100_000, "the old limit still counts");
    }
}

#[tokio::test]
async fn days_of_notice_that_are_edited_change_what_is_notified() {
    let world = World::new().await;
    world.user("olga", Role::Operator, true).await;
    world.ended("E1", "EMS", "60d", 0).await;
    let asked = async || {
        let path = "/_config/licenses/_notification";
        world.call(crate::plant_world::Request { path, user: "olga", ..Default::default() }).await
    };
    assert_eq!(asked().await.1["notification"], json!(""));
    let commands = Commands::of(world.hub());
    commands.json("settings edit notice_days 90").await;
    assert_eq!(asked().await.1["notification"], json!("The EMS license for Plant plant is about to expire"));
    commands.json("settings reset notice_days").await;
    assert_eq!(asked().await.1["notification"], json!(""));
}

#[tokio::test]
async fn what_snapshots_promise_is_told_to_a_connected_agent_at_once() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let agent = hub.agent_at(site).await;
    let (mut line, before) = agent.session(&hub).await;
    let commands = Commands::of(&hub);
    commands.json("settings edit override_days 3").await;
    let after = agent.snapshot(&mut line).await;
    assert_eq!((before.override_days, after.override_days), (7, 3));
    commands.json("settings edit fresh_days 90").await;
    let after = agent.snapshot(&mut line).await;
    assert_eq!(after.fresh_until.since(after.version.issued_at).as_secs(), 90 * 86_400);
    commands.json("settings edit notice_days 5").await;
    commands.json("settings edit override_days 3").await;
    assert_eq!(hub.hub.store().show_site(site).await.unwrap().revision, after.version.revision, "neither concerns it");
}

#[tokio::test]
async fn an_edit_survives_a_restart_wins_over_the_file_and_can_be_taken_back() {
    let hub = TestHub::start().await;
    Commands::of(&hub).json("settings edit notice_days 90").await;
    let (data_dir, _folder) = hub.stop().await;
    std::fs::write(data_dir.join("hub.toml"), "notice_days = 10\n").unwrap();
    let keys = sitewarden_hub::keys::Keys::load(&data_dir.join("keys")).unwrap();
    let hub = TestHub { hub: start(config(&data_dir)).await.unwrap(), data_dir, keys, folder: _folder };
    let commands = Commands::of(&hub);
    let shown = commands.json("settings show notice_days").await;
    assert_eq!((&shown["value"], &shown["configured"]), (&json!(90), &json!({ "value": 10, "source": "file" })));
    assert!(commands.text("settings show notice_days").await.contains("edited by local administrator"));
    let back = commands.json("settings reset notice_days").await;
    assert_eq!((&back["value"], &back["edited"]), (&json!(10), &Value::Null));
    commands.json("settings reset notice_days").await;
    let rows = commands.json("audit list").await;
    let told = |row: &Value| {
        let (before, after) = (row["before"]["value"].clone(), row["after"]["value"].clone());
        (row["action"].as_str().unwrap().to_owned(), before, after)
    };
    let of_it = |row: &&Value| row["subject"] == json!("setting notice_days");
    let rows: Vec<_> = rows.as_array().unwrap().iter().filter(of_it).map(told).collect();
    let expected = [("setting.reset", 90, 10), ("setting.edit", 30, 90)];
    assert_eq!(rows, expected.map(|(action, before, after)| (action.to_owned(), json!(before), json!(after))));
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_can() {
    let hub = TestHub::start().await;
    let commands = Commands::of(&hub);
    let (_, tokens) = log_in(&hub, "admin", "a long password").await;
    let admin = text(&tokens["access_token"]);
    let put = async |key: &str, value: Value| {
        call(&hub, "PUT", &format!("/api/v1/admin/settings/{key}"), admin, json!({ "value": value })).await
    };
    for key in Key::ALL {
        let (least, most) = (i64::from(*key.bounds().start()), i64::from(*key.bounds().end()));
        for value in [json!(least - 1), json!(most + 1), json!("5"), json!(1.5), Value::Null] {
            let (status, answer) = put(key.name(), value.clone()).await;
            let message = format!("{} must be a whole number from {least} to {most}", key.name());
            assert_eq!((status, &answer["error"]["message"]), (400, &json!(message)), "{value}");
            assert_eq!(answer["error"]["details"], json!({ "field": "value" }));
        }
        for value in [least, most] {
            let (status, answer) = put(key.name(), json!(value)).await;
            assert_eq!((status, &answer["value"]), (200, &json!(value)), "{}: {answer}", key.name());
            // So that the test itself is let in.
            commands.json(&format!("settings reset {}", key.name())).await;
        }
    }
    let (code, told) = commands.fails("settings edit notice_days 366").await;
    assert!(code == 1 && told.contains("a whole number from 1 to 365"), "{told}");
    let (status, answer) = put("https", json!(5)).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("CONFLICT")), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("hub.toml"), "{answer}");
    assert_eq!(put("sync", json!(5)).await.0, 404);
    assert_eq!(call(&hub, "GET", "/api/v1/admin/settings/nothing", admin, json!({})).await.0, 404);
    let table = commands.text("settings list").await;
    for line in ["notice_days", "api.public_per_minute", "webhooks.allowed_networks", "sync.idle_seconds"] {
        assert!(table.contains(line), "{table}");
    }
}

/// A hub in a process of its own, which has an environment.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_environment_wins_over_the_file_and_an_edit_over_both() {
    let hub = TestHub::start().await;
    let commands = Commands::of(&hub);
    let (data_dir, _folder) = hub.stop().await;
    std::fs::write(data_dir.join("hub.toml"), "notice_days = 10\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sitewarden-hub"));
    command.arg("serve").arg("--data-dir").arg(&data_dir).args(["--https", "127.0.0.1:0", "--sync", "127.0.0.1:0"]);
    command.env("SITEWARDEN_HUB_NOTICE_DAYS", "20").stderr(Stdio::null());
    let _process = Process(command.spawn().unwrap());
    until("the hub serves", || data_dir.join("run/sync.addr").exists()).await;
    let shown = commands.json("settings show notice_days").await;
    assert_eq!((&shown["value"], &shown["configured"]["source"]), (&json!(20), &json!("environment")));
    let https = commands.json("settings show https").await;
    assert_eq!((&https["value"], &https["configured"]["source"]), (&json!("127.0.0.1:0"), &json!("flag")));
    assert_eq!(commands.json("settings edit notice_days 30").await["value"], json!(30));
}
