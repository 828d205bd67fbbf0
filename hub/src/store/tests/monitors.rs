use crate::store::{
    MonitorFilter, MonitorPage, Scope,
    testing::{Fixture, NOW, Plant, act},
};
use sitewarden_protocol::{
    record::{Body, MonitorChange},
    time::UnixMillis,
};

fn change(app: &str, monitor: &str) -> MonitorChange {
    MonitorChange { app: app.into(), monitor: monitor.into() }
}

impl Plant {
    fn reserves(&mut self, app: &str, monitor: &str) {
        self.record(&Body::MonitorReserved(change(app, monitor)));
    }

    fn releases(&mut self, app: &str, monitor: &str) {
        self.record(&Body::MonitorReleased(change(app, monitor)));
    }
}

impl Fixture {
    async fn monitors(&self, app: Option<&str>) -> MonitorPage {
        let of = MonitorFilter { site: self.site, plant: None, app: app.map(str::to_owned) };
        self.store.list_monitors(Scope::default(), of, None, 100).await.unwrap()
    }

    async fn named(&self, app: Option<&str>) -> Vec<String> {
        self.monitors(app).await.monitors.into_iter().map(|one| format!("{} {}", one.app, one.monitor)).collect()
    }
}

#[tokio::test]
async fn the_list_follows_the_records_and_a_repeat_changes_nothing() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.reserves("EMS", "b");
    plant.reserves("EMS", "a");
    plant.reserves("CBM", "a");
    plant.releases("EMS", "b");
    plant.reserves("EMS", "a");
    plant.releases("EMS", "never reserved");
    fixture.store.ingest(NOW, plant.batch(0, 3, 0)).await.unwrap();
    assert_eq!(fixture.named(None).await, ["CBM a", "EMS a", "EMS b"]);
    assert_eq!(fixture.named(Some("EMS")).await, ["EMS a", "EMS b"]);
    // Overlaps what is here, and is sent twice: the reservation of b is not done again after its release.
    for _ in 0..2 {
        fixture.store.ingest(NOW, plant.batch(0, 6, 0)).await.unwrap();
        fixture.store.ingest(NOW, plant.batch(0, 3, 0)).await.unwrap();
        let page = fixture.monitors(Some("EMS")).await;
        assert_eq!((page.in_use, page.monitors.len(), page.next), (1, 1, None));
        let only = &page.monitors[0];
        assert_eq!((only.agent, only.since), (plant.id, UnixMillis(NOW.0 + 1)), "since it was reserved first");
    }
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.named(None).await, ["CBM a", "EMS a"]);
}

#[tokio::test]
async fn a_monitor_is_that_agents_who_reserved_it_last() {
    let fixture = Fixture::new().await;
    let (mut old, mut new) = (fixture.agent(1).await, fixture.agent(2).await);
    old.reserves("EMS", "a");
    old.reserves("EMS", "left behind");
    fixture.store.ingest(NOW, old.batch(0, 2, 0)).await.unwrap();
    new.reserves("EMS", "a");
    fixture.store.ingest(NOW, new.batch(0, 1, 0)).await.unwrap();
    old.releases("EMS", "a");
    fixture.store.ingest(NOW, old.batch(2, 3, 0)).await.unwrap();
    assert_eq!(fixture.named(None).await, ["EMS a", "EMS left behind"]);
    assert_eq!(fixture.monitors(None).await.monitors[0].agent, new.id);
    fixture.store.revoke_agent(&act(), old.id, Default::default()).await.unwrap();
    assert_eq!((fixture.named(None).await, fixture.monitors(None).await.in_use), (vec!["EMS a".to_owned()], 1));
}

#[tokio::test]
async fn pages_go_through_all_monitors() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    let mut all: Vec<_> =
        ["EMS", "CBM"].iter().flat_map(|app| (0..5).map(move |n| (*app, format!("m\"{n}")))).collect();
    for (app, monitor) in &all {
        plant.reserves(app, monitor);
    }
    fixture.store.ingest(NOW, plant.batch(0, 10, 0)).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let of = MonitorFilter { site: fixture.site, plant: None, app: None };
        let page = fixture.store.list_monitors(Scope::default(), of, after, 4).await.unwrap();
        assert_eq!(page.in_use, 10);
        seen.extend(page.monitors.into_iter().map(|one| (one.app, one.monitor)));
        let Some(next) = page.next else { break };
        after = Some(next.to_string().parse().unwrap());
    }
    all.sort();
    assert_eq!(seen.iter().map(|(app, monitor)| (app.as_str(), monitor.clone())).collect::<Vec<_>>(), all);
    assert!("nowhere".parse::<crate::store::MonitorCursor>().is_err());
}
