//! A user who is limited to a customer or a site gets, at each endpoint of telemetry, the answer that he would get if
//! nothing else existed: no row, no sum, no cursor tells of others.

use crate::plant_world::{Request, World};
use crate::telemetry::{api_key, take, user};
use serde_json::{Value, json};
use sitewarden_hub::store::{NewApiKey, Scope};
use sitewarden_protocol::id::SiteId;
use sitewarden_protocol::message::ToHub;
use sitewarden_protocol::record::{Body, Transmission};
use sitewarden_protocol::time::UnixMillis;

/// 2026-01-31 08:00 UTC.
const THEN: i64 = 1_769_846_400_000;
const BASE: &str = "/api/v1/telemetry";

async fn ask(world: &World, user: &str, path: &str) -> Value {
    let path = format!("{BASE}/{path}");
    let (status, answer) = world.call(Request { path: &path, user, ..Request::default() }).await;
    assert_eq!(status, 200, "{user} {path}: {answer}");
    answer
}

async fn export(world: &World, user: &str, filter: &str) -> Vec<Value> {
    let url = world.hub().url(&format!("{BASE}/export?format=jsonl{filter}"));
    let request = world.hub().client().get(url).basic_auth(user, Some("a long password"));
    let text = request.send().await.unwrap().text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All pages of one row each.
async fn one_by_one(world: &World, user: &str, filter: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ask(world, user, &format!("records?limit=1{filter}{cursor}")).await;
        rows.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

async fn report(world: &World, site: SiteId) {
    let mut agent = world.hub().agent_at(site).await;
    let sent = |number| {
        let (due, started) = (UnixMillis(THEN), UnixMillis(THEN));
        Body::Transmission(Transmission { number, due, manual: true, started, records: 7, retries: 0, error: None })
    };
    let (mut line, _) = agent.session(world.hub()).await;
    let batch = agent.batch_of(&[sent(1), sent(2), sent(3)]);
    line.send(ToHub::Batch(batch)).await;
    agent.receipt(&mut line).await;
}

#[tokio::test]
async fn each_endpoint_answers_a_limited_user_as_if_nothing_else_existed() {
    let world = World::new().await;
    let (store, act) = (world.store(), crate::support::act());
    let ours = api_key(&world).await;
    let other = store.add_customer(&act, "Another", None).await.unwrap();
    let their_plant = store.add_plant(&act, "Theirs", other.id).await.unwrap();
    let their_site = store.add_site(&act, "Line", their_plant.id).await.unwrap().id;
    let our_second = store.add_site(&act, "Second", world.plant).await.unwrap().id;
    let mut keys = vec![ours.clone()];
    for (customer, site) in
        [(ours.customer.unwrap(), world.site), (ours.customer.unwrap(), our_second), (other.id, their_site)]
    {
        let new = NewApiKey::telemetry("k", customer, Some(site));
        keys.push(store.add_api_key(&act, new).await.unwrap().1);
    }
    for (number, key) in (0..).zip(&keys) {
        take(&world, key, THEN + number, ("data_group", "temperature")).await;
    }
    for site in [world.site, our_second, their_site] {
        report(&world, site).await;
    }
    user(&world, "customers", Scope { customer: ours.customer, site: None }).await;
    user(&world, "others", Scope { customer: Some(other.id), site: None }).await;
    user(&world, "sites", Scope { customer: None, site: Some(world.site) }).await;
    let unknown = SiteId::from_bytes([9; 16]);
    for (name, sites, measurements) in [
        ("admin", vec![world.site, our_second, their_site], 4),
        ("customers", vec![world.site, our_second], 3),
        ("others", vec![their_site], 1),
        ("sites", vec![world.site], 1),
    ] {
        let everything = one_by_one(&world, name, "").await;
        assert_eq!(everything.len(), measurements + 3 * sites.len(), "{name}");
        for row in &everything {
            let site = row["site"].as_str().map(ToOwned::to_owned);
            assert!(site.is_none_or(|site| sites.iter().any(|mine| mine.to_string() == site)), "{name}: {row}");
        }
        assert_eq!(export(&world, name, "").await, everything, "{name}");
        let points = ask(&world, name, "series?group=temperature&granularity=month").await["points"].clone();
        assert_eq!(points[0]["count"], json!(measurements), "{name}");
        for site in [world.site, our_second, their_site, unknown] {
            let (seen, filter) = (sites.contains(&site), format!("&site={site}"));
            assert_eq!(one_by_one(&world, name, &filter).await.is_empty(), !seen, "{name} {site}");
            assert_eq!(export(&world, name, &filter).await.is_empty(), !seen, "{name} {site}");
            let series = ask(&world, name, &format!("series?group=temperature{filter}")).await;
            assert_eq!(series["points"].as_array().unwrap().is_empty(), !seen, "{name} {site}");
            let sent = ask(&world, name, &format!("transmissions?site={site}&limit=2")).await;
            assert_eq!(sent["items"].as_array().unwrap().len(), if seen { 2 } else { 0 }, "{name} {site}");
            assert_eq!(sent["next"].is_null(), !seen, "{name} {site}");
        }
        // Whatever else is asked: what is not his looks as what is not there.
        for filter in [format!("&plant={}", their_plant.id), format!("&customer={}", other.id)] {
            let seen = sites.contains(&their_site);
            assert_eq!(one_by_one(&world, name, &filter).await.is_empty(), !seen, "{name} {filter}");
        }
    }
    // A cursor out of another's list leads nowhere else.
    let theirs = ask(&world, "others", "records?limit=1").await["next"].as_str().unwrap().to_owned();
    let rows = ask(&world, "sites", &format!("records?cursor={theirs}")).await;
    for row in rows["items"].as_array().unwrap() {
        assert_eq!(row["site"], json!(world.site), "{row}");
    }
}
