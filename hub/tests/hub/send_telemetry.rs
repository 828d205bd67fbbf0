//! `send-telemetry-data` against its document: each encoding, each answer, and bodies of all sorts.

use crate::command::Commands;
use crate::plant_world::World;
use crate::support::{act, config, now};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sitewarden_protocol::signing::{PublicKey, Signature};

const PATH: &str = "/api/v1/send-telemetry-data";

/// The documented sample, with another key.
pub fn sample(key: &str) -> Value {
    json!({
        "api_key": key, "data_type": "numeric-single-value", "numeric_data_single_value": "50", "product_id": "1",
        "user_identifier": "554dddsqfqs4dqd5qsd74q", "license_key": "9cc2cc83-4c74-49f9-98f5-f0e1c1eb1541",
        "activation_identifier": "12135644", "product_version": "1.0.1", "data_group": "test_group",
    })
}

pub async fn key(world: &World) -> String {
    let site = world.store().show_site(world.site).await.unwrap();
    let customer = world.store().show_plant(site.plant).await.unwrap().customer;
    let made = Commands::of(world.hub()).json(&format!("apikey add --customer {customer} --name p")).await;
    made["key"].as_str().unwrap().to_owned()
}

async fn published(world: &World) -> PublicKey {
    let known: Value = world.hub().get("/.well-known/sitewarden").await.json().await.unwrap();
    let key = &known["keys"][0];
    assert_eq!((&key["kid"], &key["x"], &key["crv"]), (&json!("global"), &known["signing_key"], &json!("Ed25519")));
    assert!(known["certificates"][0].as_str().unwrap().starts_with("MII"));
    let raw = URL_SAFE_NO_PAD.decode(known["signing_key"].as_str().unwrap()).unwrap();
    PublicKey::from_bytes(raw.try_into().unwrap()).unwrap()
}

/// The response in the envelope, which must be signed.
fn opened(envelope: &Value, key: PublicKey) -> Value {
    let field = |name: &str| envelope[name].as_str().unwrap_or_else(|| panic!("no {name} in {envelope}"));
    assert_eq!(field("private_key_used"), "global");
    let bytes = STANDARD.decode(field("response_base64")).unwrap();
    let signature = Signature(STANDARD.decode(field("signature")).unwrap().try_into().unwrap());
    key.verify_object(&bytes, &signature).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), envelope["response"]);
    envelope["response"].clone()
}

async fn answered(response: reqwest::Response, key: PublicKey) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    (status, opened(&response.json().await.unwrap(), key))
}

async fn post(world: &World, content_type: &str, body: Vec<u8>, key: PublicKey) -> (u16, Value) {
    let client = world.hub().client();
    let request = client.post(world.hub().url(PATH)).header("content-type", content_type).body(body);
    answered(request.send().await.unwrap(), key).await
}

#[tokio::test]
async fn each_encoding_is_saved_and_answered_as_documented() {
    let world = World::new().await;
    let (api_key, public) = (key(&world).await, published(&world).await);
    let sample = sample(&api_key);
    let pairs: Vec<_> =
        sample.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap())).collect();
    let form = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let part = |(name, value): &(&String, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart = pairs.iter().map(part).collect::<String>() + "--b--\r\n";
    for (content_type, body) in [
        ("application/json", sample.to_string()),
        ("application/x-www-form-urlencoded", form),
        ("multipart/form-data; boundary=b", multipart),
    ] {
        let (status, answer) = post(&world, content_type, body.into_bytes(), public).await;
        let told = (status, &answer["code"], &answer["message"], &answer["errors"]);
        assert_eq!(told, (200, &json!(830), &json!("Correct format data saved"), &json!([])), "{content_type}");
        assert!(answer["timestamp"].as_i64().unwrap() >= now().seconds() - 60);
    }
    let wrong = json!({ "api_key": api_key, "product_id": "999" });
    let (status, answer) = post(&world, "application/json", wrong.to_string().into_bytes(), public).await;
    assert_eq!(
        (status, &answer["code"], &answer["message"]),
        (200, &json!(831), &json!("Incorrect format data saved"))
    );
    let documented = json!({
        "product_id": ["The selected product id is invalid."],
        "user_identifier": ["The user identifier field is required."],
        "license_key": ["The license key field is required."],
        "activation_identifier": ["The activation identifier field is required."],
        "product_version": ["The product version field is required."],
        "data_type": ["The data type field is required."],
        "data_group": ["The data group field is required."],
    });
    assert_eq!(answer["errors"], documented);
    let (_, all) = world.get("/api/v1/telemetry/records?kind=measurement").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 4, "saved in both cases");
}

#[tokio::test]
async fn only_a_key_that_counts_is_let_in_and_the_refusal_is_signed_too() {
    let world = World::new().await;
    let (api_key, public) = (key(&world).await, published(&world).await);
    let commands = Commands::of(world.hub());
    let send = async |key: &str| post(&world, "application/json", sample(key).to_string().into_bytes(), public).await;
    let refused = |answer: &Value, told: &str| {
        assert_eq!((&answer["code"], &answer["errors"]["api_key"][0]), (&json!(401), &json!(told)));
    };
    let (status, answer) = send("2964c3c9-0b5d-4d89-b3ac-4668f30bc492").await;
    assert_eq!(status, 401);
    refused(&answer, "The selected api key is invalid.");
    let (status, answer) = send("").await;
    assert_eq!(status, 401);
    refused(&answer, "The api key field is required.");
    let (status, answer) = post(&world, "application/json", b"{".to_vec(), public).await;
    assert_eq!(status, 401);
    refused(&answer, "The api key field is required.");
    let in_header = world.hub().client().post(world.hub().url(PATH)).header("x-api-key", &api_key);
    let (status, answer) = answered(in_header.body("{").send().await.unwrap(), public).await;
    assert_eq!((status, &answer["code"]), (200, &json!(831)), "what cannot be read is saved too");

    let rotated = commands.json("apikey rotate 1 --overlap 1").await;
    let new = rotated["key"].as_str().unwrap();
    assert_eq!((send(&api_key).await.0, send(new).await.0), (200, 200));
    commands.json("apikey revoke 1").await;
    assert_eq!((send(&api_key).await.0, send(new).await.0), (401, 200));
    let second = commands.json("apikey rotate 2 --overlap 0").await;
    assert_eq!((send(new).await.0, send(second["key"].as_str().unwrap()).await.0), (401, 200));
    let list = commands.text("apikey list").await;
    assert!(list.contains("revoked") && list.contains("active") && list.contains("expired"), "{list}");
    for secret in [&api_key, new, "9cc2cc83-4c74-49f9-98f5-f0e1c1eb1541"] {
        assert!(!list.contains(secret) && crate::log::lines_with(secret).is_empty());
        let database = std::fs::read(world.hub().data_dir.join("hub.sqlite-wal")).unwrap();
        assert!(!database.windows(secret.len()).any(|window| window == secret.as_bytes()), "in the database");
    }
    assert_eq!(world.store().broken_audit_row().await.unwrap(), None);
}

#[tokio::test]
async fn a_body_without_end_and_a_key_that_runs_away_are_refused_in_the_envelope() {
    let world = World::new().await;
    let (api_key, public) = (key(&world).await, published(&world).await);
    let huge = format!(r#"{{"api_key": "{api_key}", "text_data": "{}"}}"#, "x".repeat(70_000));
    let (status, answer) = post(&world, "application/json", huge.into_bytes(), public).await;
    assert_eq!((status, &answer["code"]), (413, &json!(413)));
    let strangers =
        async || post(&world, "application/json", sample("swk_no").to_string().into_bytes(), public).await.0;
    let mut last = 401;
    for _ in 0..150 {
        last = strangers().await;
    }
    assert_eq!(last, 429);
    let (status, _) = post(&world, "application/json", sample(&api_key).to_string().into_bytes(), public).await;
    assert_eq!(status, 200, "who has a key is not hindered by who has none");
}

#[tokio::test]
async fn plain_http_takes_it_too_and_it_is_there_after_a_restart() {
    let hub = crate::support::TestHub::start_with(|config| config.http = "127.0.0.1:0".parse().ok()).await;
    let site = hub.site().await;
    let made =
        Commands::of(&hub).json(&format!("apikey add --customer 1 --site {site} --expires 2999-01-01T00:00:00Z")).await;
    let url = format!("http://{}{PATH}", hub.hub.http_addr().unwrap());
    let body = sample(made["key"].as_str().unwrap()).to_string();
    let answer: Value = hub.client().post(url).body(body).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["response"]["code"], 830);
    let crate::support::TestHub { hub, data_dir, folder: _folder, .. } = hub;
    hub.shutdown().await.unwrap();
    let again = sitewarden_hub::start(config(&data_dir)).await.unwrap();
    let filter = sitewarden_hub::store::TelemetryFilter { site: Some(site), ..Default::default() };
    assert_eq!(again.store().list_telemetry(filter, None, 10).await.unwrap().rows.len(), 1);
    assert!(
        again
            .store()
            .add_api_key(
                &act(),
                sitewarden_hub::store::NewApiKey {
                    expires_at: Some(now()),
                    ..sitewarden_hub::store::NewApiKey::telemetry("x", 1, None)
                }
            )
            .await
            .is_err()
    );
}

/// A body made of what the document knows and of what it does not.
fn bodies() -> impl Strategy<Value = (String, Vec<u8>)> {
    let value = prop_oneof![
        Just(json!("50")),
        Just(json!(1e308)),
        Just(json!("NaN")),
        Just(json!(null)),
        Just(json!([1])),
        Just(json!("")),
        Just(json!("text")),
        Just(json!("numeric-xy-axis")),
        Just(json!("\u{0}\u{202e}😀")),
        Just(json!("x".repeat(300))),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,40}".prop_map(|text| json!(text)),
    ];
    let name = prop::sample::select(vec![
        "data_type",
        "numeric_data_single_value",
        "numeric_data_x",
        "numeric_data_y",
        "text_data",
        "product_id",
        "user_identifier",
        "license_key",
        "activation_identifier",
        "product_version",
        "data_group",
        "other",
    ]);
    let fields = prop::collection::vec((name, value), 0..12);
    let json = fields.prop_map(|fields| {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
        ("application/json".to_owned(), Value::Object(fields.collect()).to_string().into_bytes())
    });
    let noise = (
        prop::sample::select(vec![
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=b",
            "multipart/form-data",
            "text/plain",
            "?",
        ]),
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "(--b\r\n|\r\n|name=\"data_group\"|Content-Disposition: form-data;|--|x){0,12}"
                .prop_map(String::into_bytes),
            "([a-z_]{1,12}=[%0-9a-fA-F+]{0,9}&){0,5}".prop_map(String::into_bytes),
        ],
    );
    prop_oneof![json, noise.prop_map(|(kind, body)| (kind.to_owned(), body))]
}

#[tokio::test(flavor = "multi_thread")]
async fn any_body_gets_a_signed_answer_and_none_harms_the_hub() {
    let world = World::new().await;
    let (api_key, public) = (key(&world).await, published(&world).await);
    let (client, url) = (world.hub().client(), world.hub().url(PATH));
    let runtime = tokio::runtime::Handle::current();
    let cases = 300;
    let fuzzing = tokio::task::spawn_blocking(move || {
        let mut runner =
            TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
        runner.run(&bodies(), |(content_type, body)| {
            let request =
                client.post(&url).header("content-type", content_type).header("x-api-key", &api_key).body(body);
            let (status, answer) = runtime.block_on(async { answered(request.send().await.unwrap(), public).await });
            prop_assert!(status == 200 && (answer["code"] == 830 || answer["code"] == 831), "{} {}", status, answer);
            Ok(())
        })
    });
    fuzzing.await.unwrap().unwrap();
    let list = async |after| world.store().list_telemetry(Default::default(), after, 1_000).await.unwrap();
    let page = list(None).await;
    assert_eq!(page.rows.len(), cases as usize, "each is saved");
}
