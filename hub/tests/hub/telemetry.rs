//! What is asked of telemetry over HTTP: who sees what, pages, series, files.

use crate::command::Commands;
use crate::plant_world::{Answer, Request, World};
use crate::send_telemetry::{key, sample};
use serde_json::{Value, json};
use sitewarden_hub::store::{ApiKey, NewApiKey, Role, Scope, User};
use sitewarden_protocol::record::{Body, Transmission};
use sitewarden_protocol::telemetry::Fields;
use sitewarden_protocol::time::UnixMillis;

const RECORDS: &str = "/api/v1/telemetry/records";

/// 2026-01-31 08:00 UTC.
const THEN: i64 = 1_769_846_400_000;

pub async fn take(world: &World, key: &ApiKey, at: i64, change: (&str, &str)) {
    let mut body = sample("");
    body[change.0] = json!(change.1);
    let parsed = Fields::read(None, body.to_string().as_bytes()).parse();
    world.store().take_measurement(UnixMillis(at), key, parsed).await.unwrap();
}

pub async fn api_key(world: &World) -> ApiKey {
    let text = key(world).await;
    world
        .store()
        .recognise_api_key(&text, sitewarden_hub::store::Purpose::Telemetry, UnixMillis(THEN))
        .await
        .unwrap()
        .unwrap()
}

fn items(answer: &Answer) -> &Vec<Value> {
    answer.1["items"].as_array().unwrap_or_else(|| panic!("{answer:?}"))
}

pub async fn user(world: &World, name: &str, scope: Scope) {
    let administrator = world.store().user("admin").await.unwrap().unwrap();
    let user = User { name: name.into(), role: Role::Viewer, scope, password_hash: administrator.password_hash };
    world.store().add_user(&crate::support::act(), user, false).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_user_sees_his_customer_or_site_and_nothing_else() {
    let world = World::new().await;
    let (store, act) = (world.store(), crate::support::act());
    let ours = api_key(&world).await;
    let other = store.add_customer(&act, "Another", None).await.unwrap();
    let new = NewApiKey::telemetry("theirs", other.id, None);
    let (_, theirs) = store.add_api_key(&act, new).await.unwrap();
    let new = NewApiKey::telemetry("here", ours.customer.unwrap(), Some(world.site));
    let (_, here) = store.add_api_key(&act, new).await.unwrap();
    for key in [&ours, &theirs, &here] {
        take(&world, key, THEN, ("data_group", "temperature")).await;
    }
    let mut agent = world.hub().agent_at(world.site).await;
    agent.good_session(world.hub()).await;
    user(&world, "customers", Scope { customer: ours.customer, site: None }).await;
    user(&world, "others", Scope { customer: Some(other.id), site: None }).await;
    user(&world, "sites", Scope { customer: None, site: Some(world.site) }).await;
    let ask = async |user: &str, path: &str| {
        let answer = world.call(Request { path, user, ..Request::default() }).await;
        assert_eq!(answer.0, 200, "{answer:?}");
        answer
    };
    for (name, measurements, all, count) in
        [("admin", 3, 6, 3), ("customers", 2, 5, 2), ("others", 1, 1, 1), ("sites", 1, 4, 1)]
    {
        assert_eq!(items(&ask(name, RECORDS).await).len(), all, "{name}");
        for filter in ["kind=measurement", "group=temperature", "flagged=true"] {
            assert_eq!(items(&ask(name, &format!("{RECORDS}?{filter}")).await).len(), measurements, "{name} {filter}");
        }
        let series = ask(name, "/api/v1/telemetry/series?group=temperature&granularity=week").await.1;
        assert_eq!(series["points"][0]["count"], count, "{name}");
        let of_other = format!("{RECORDS}?customer={}", other.id);
        assert_eq!(items(&ask(name, &of_other).await).len(), usize::from(matches!(name, "admin" | "others")), "{name}");
        let at_site = format!("{RECORDS}?site={}", world.site);
        assert_eq!(items(&ask(name, &at_site).await).len(), if name == "others" { 0 } else { 4 }, "{name}");
        let in_plant = format!("{RECORDS}?plant={}&group=temperature", world.plant);
        assert_eq!(items(&ask(name, &in_plant).await).len(), usize::from(name != "others"), "{name}");
    }
    let stranger = world.call(Request { path: RECORDS, user: "", ..Request::default() }).await;
    assert_eq!((stranger.0, &stranger.1["error"]["code"]), (401, &json!("UNAUTHORIZED")));
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_name() {
    let world = World::new().await;
    for (path, field) in [
        ("records?from=yesterday", "from"),
        ("records?limit=0", "limit"),
        ("records?limit=1001", "limit"),
        ("records?cursor=x", "cursor"),
        ("records?kind=nothing", "kind"),
        ("records?colour=red", "query"),
        ("records?site=5", "query"),
        ("series?granularity=day", "query"),
        ("series?group=g&granularity=year", "query"),
        ("export", "format"),
        ("export?format=xml", "format"),
        ("export?format=csv&limit=5", "cursor"),
        ("transmissions", "query"),
    ] {
        let (status, answer) = world.get(&format!("/api/v1/telemetry/{path}")).await;
        assert_eq!((status, &answer["error"]["details"]["field"]), (400, &json!(field)), "{path}: {answer}");
    }
    assert_eq!(world.get("/api/v1/telemetry/nothing").await.0, 404);
    let (status, _) = world.send(reqwest::Method::POST, RECORDS, "", "").await;
    assert_eq!(status, 405);
}

#[tokio::test]
async fn an_export_is_whole_in_both_forms() {
    let world = World::new().await;
    let key = api_key(&world).await;
    let count = 1_200;
    for number in 0..count {
        let value = format!("{}.5", number);
        take(&world, &key, THEN + number, ("numeric_data_single_value", &value)).await;
    }
    take(&world, &key, THEN + count, ("data_group", "a,\"b\"")).await;
    let get = async |format: &str| {
        let request = world.hub().client().get(world.hub().url(&format!("/api/v1/telemetry/export?format={format}")));
        request.basic_auth("admin", Some("a long password")).send().await.unwrap().text().await.unwrap()
    };
    let lines = get("jsonl").await;
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 1_201);
    let sum: f64 = rows[1..].iter().map(|row| row["value"].as_f64().unwrap()).sum();
    assert_eq!(sum, (0..count).map(|number| number as f64 + 0.5).sum::<f64>());
    let csv = get("csv").await;
    let mut csv = csv.split("\r\n");
    assert!(csv.next().unwrap().starts_with("at,received_at,kind,"));
    let first = csv.next().unwrap();
    assert!(first.contains(",\"a,\"\"b\"\"\",,50.0,,true,"), "{first}");
    assert_eq!(csv.filter(|line| !line.is_empty()).count(), 1_200);
}

#[tokio::test]
async fn transmissions_and_flags_of_a_site_are_listed() {
    let world = World::new().await;
    let mut agent = world.hub().agent_at(world.site).await;
    let (mut line, _) = agent.session(world.hub()).await;
    let sent = Transmission {
        number: 1,
        due: UnixMillis(THEN),
        manual: true,
        started: UnixMillis(THEN),
        records: 7,
        retries: 1,
        error: Some("Connection timeout".into()),
    };
    let batch = agent.batch_of(&[Body::Transmission(sent)]);
    line.send(sitewarden_protocol::message::ToHub::Batch(batch)).await;
    agent.receipt(&mut line).await;
    let (_, list) = world.get(&format!("/api/v1/telemetry/transmissions?site={}", world.site)).await;
    let row = &list["items"][0];
    assert_eq!(
        (&row["status"], &row["error"], &row["records"]),
        (&json!("failed"), &json!("Connection timeout"), &json!(7))
    );
    take(&world, &api_key(&world).await, THEN, ("product_id", "1")).await;
    let commands = Commands::of(world.hub());
    let flags = commands.json("flag list --open").await;
    let kinds: Vec<_> = flags.as_array().unwrap().iter().map(|flag| flag["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["unknown_activation", "unknown_key"]);
    assert!(commands.text("flag show 1").await.contains("no license of this customer"));
}

#[tokio::test]
async fn keys_apps_and_retention_are_managed_on_the_command_line() {
    let world = World::new().await;
    let commands = Commands::of(world.hub());
    key(&world).await;
    assert!(commands.fails("apikey add --customer 99").await.1.contains("no such customer"));
    assert!(commands.fails("apikey add --customer 1 --expires 2001-01-01T00:00:00Z").await.1.contains("in the future"));
    assert!(commands.fails("apikey revoke 99").await.1.contains("no such API key"));
    assert!(commands.text("customer retention 1").await.contains("for ever"));
    assert!(commands.text("customer retention 1 --raw-days 30").await.contains("30 days"));
    assert!(commands.fails("customer retention 1 --raw-days 0").await.1.contains("1 to 36500"));
    assert!(commands.text("customer retention 1 --for-ever").await.contains("for ever"));
    commands.json("app version add EMS 1.0.1").await;
    assert!(commands.fails("app version add EMS 1.0.1").await.1.contains("already"));
    let apps = commands.json("app list").await;
    assert_eq!(apps[1], json!({ "number": 2, "code": "EMS", "versions": ["1.0.1"] }));
}

#[tokio::test]
async fn a_connected_agent_learns_of_a_new_key_and_of_its_end() {
    let world = World::new().await;
    let agent = world.hub().agent_at(world.site).await;
    let (mut line, before) = agent.session(world.hub()).await;
    assert_eq!(before.api_keys, []);
    let text = key(&world).await;
    let told = agent.snapshot(&mut line).await;
    assert!(told.api_keys[0].matches(&text));
    Commands::of(world.hub()).json("apikey revoke 1").await;
    assert_eq!(agent.snapshot(&mut line).await.api_keys, []);
}
