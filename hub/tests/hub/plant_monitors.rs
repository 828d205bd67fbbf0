//! The fleet's view of monitors, in the manner of the plant licence API.

use crate::command::Commands;
use crate::plant_world::{Request, World, error};
use reqwest::Method;
use serde_json::json;
use sitewarden_hub::store::Role;
use sitewarden_protocol::id::SiteId;
use sitewarden_protocol::message::ToHub;
use sitewarden_protocol::record::{Body, MonitorChange};

const LIST: &str = "/_config/monitors/_list";

fn reserved(app: &str, monitor: &str) -> Body {
    Body::MonitorReserved(MonitorChange { app: app.to_owned(), monitor: monitor.to_owned() })
}

impl World {
    /// A connected agent that reserved these; answers its id.
    async fn reserves(&self, monitors: &[(&str, &str)]) -> sitewarden_protocol::id::AgentId {
        let mut agent = self.hub().agent_at(self.site).await;
        let (mut line, _) = agent.session(self.hub()).await;
        let bodies: Vec<_> = monitors.iter().map(|(app, monitor)| reserved(app, monitor)).collect();
        let batch = agent.batch_of(&bodies);
        line.send(ToHub::Batch(batch)).await;
        agent.receipt(&mut line).await;
        agent.id
    }
}

#[tokio::test]
async fn monitors_that_an_agent_reserved_are_listed_in_pages() {
    let world = World::new().await;
    let agent = world.reserves(&[("EMS", "b"), ("EMS", "a"), ("CBM", "a")]).await;
    let base = format!("{LIST}?site_id={}", world.site);
    let (status, all) = world.get(&format!("{base}&plant_id={}", world.plant)).await;
    assert_eq!(
        (status, &all["in_use"], &all["app"], &all["next"]),
        (200, &json!(3), &json!(null), &json!(null)),
        "{all}"
    );
    let since = all["monitors"][0]["since"].as_i64().unwrap();
    let first = json!({ "monitor_id": "a", "app": "CBM", "agent_id": agent, "since": since });
    assert_eq!(all["monitors"][0], first);
    let (_, page) = world.get(&format!("{base}&app=EMS&limit=1")).await;
    assert_eq!((&page["in_use"], &page["monitors"][0]["monitor_id"]), (&json!(2), &json!("a")));
    let (_, page) = world.get(&format!("{base}&app=EMS&limit=100000&after={}", page["next"].as_str().unwrap())).await;
    assert_eq!((&page["monitors"][0]["monitor_id"], &page["next"]), (&json!("b"), &json!(null)));
    let listed = Commands::of(world.hub()).json(&format!("monitor list --site {} --app EMS", world.site)).await;
    assert_eq!((listed.as_array().map(Vec::len), &listed[1]["monitor"]), (Some(2), &json!("b")));
}

#[tokio::test]
async fn wrong_questions_about_monitors_are_told() {
    let world = World::new().await;
    let site = world.site;
    for (query, answer) in [
        (String::new(), error(400, "Insufficient inputs")),
        ("?site_id=%20".to_owned(), error(400, "Insufficient inputs")),
        ("?site_id=x".to_owned(), error(400, "Plant id or Site id not found")),
        (format!("?site_id={}", SiteId::from_bytes([9; 16])), error(400, "Plant id or Site id not found")),
        (format!("?site_id={site}&plant_id={site}"), error(400, "Plant id or Site id not found")),
        (format!("?site_id={site}&app=NONE"), error(400, "Invalid application name")),
        (format!("?site_id={site}&limit=many"), error(400, "Invalid input data type")),
        (format!("?site_id={site}&after=x"), error(400, "Invalid input data type")),
    ] {
        assert_eq!(world.get(&format!("{LIST}{query}")).await, answer, "{query}");
    }
}

#[tokio::test]
async fn a_user_sees_the_monitors_of_his_scope_only() {
    let world = World::new().await;
    world.user("vera", Role::Viewer, true).await;
    world.elsewhere("eve").await;
    let path = format!("{LIST}?site_id={}", world.site);
    let list = |user| Request { path: &path, user, ..Request::default() };
    assert_eq!(world.call(list("vera")).await.0, 200);
    assert_eq!(world.call(list("eve")).await, error(400, "Plant id or Site id not found"));
    assert_eq!(world.call(list("")).await, error(401, "Unauthorised"));
}

#[tokio::test]
async fn monitors_are_reserved_and_released_at_the_plant_only() {
    let world = World::new().await;
    for (method, path) in [
        (Method::PUT, "/_config/monitors/pump-1?app=EMS"),
        (Method::DELETE, "/_config/monitors/pump-1?app=EMS"),
        (Method::GET, "/_config/monitors/pump-1?app=EMS"),
        (Method::POST, "/_config/monitors/_bulk"),
        (Method::PUT, LIST),
    ] {
        let request = Request { method: method.clone(), path, ..Request::default() };
        assert_eq!(world.call(request.clone()).await, error(405, "Method not allowed"), "{method} {path}");
        let stranger = Request { user: "", ..request };
        assert_eq!(world.call(stranger).await, error(401, "Unauthorised"), "{method} {path}");
    }
}
