//! Totals and counts from sites that had no room for each report.

use crate::store::IngestOutcome;
use crate::store::testing::{Fixture, NOW, act, event};
use crate::store::{Granularity, NewApiKey, Purpose, Role, Scope, SeriesQuery};
use sitewarden_protocol::{
    api_key::ApiKeyDigest,
    license::KeyDigest,
    record::{Body, Dropped, EventTotal, Folded, ReadingTotal, Total, kind},
    time::UnixMillis,
};

const HOUR: i64 = 3_600_000;

fn events(place: u32, events: u64, count: u64) -> Body {
    let total = EventTotal {
        hour: UnixMillis(NOW.0 / HOUR * HOUR),
        app: "EMS".into(),
        kind: "login".into(),
        environment: "production".into(),
        outcome: "success".into(),
        events,
        count,
    };
    Body::Folded(Folded { set: 1, place, total: Total::Events(total) })
}

fn readings(key: &str, license: Option<KeyDigest>, count: u64, sum: f64) -> Body {
    let total = ReadingTotal {
        hour: UnixMillis(NOW.0 / HOUR * HOUR),
        key: ApiKeyDigest::of(key),
        license,
        product: "EMS".into(),
        version: "1".into(),
        group: "g".into(),
        points: false,
        count,
        sum,
        min: -1.0,
        max: 9.0,
        last: 3.0,
        last_at: NOW,
    };
    Body::Folded(Folded { set: 1, place: 9, total: Total::Readings(Box::new(total)) })
}

#[tokio::test]
async fn totals_count_in_the_same_sums_as_what_they_stand_for() {
    let fixture = Fixture::new().await;
    let (purpose, role, customer) = (Purpose::Telemetry, Role::Viewer, Some(1));
    let new = NewApiKey { name: "programs".into(), purpose, role, customer, site: None, expires_at: None };
    let (key, _) = fixture.store.add_api_key(&act(), new).await.unwrap();
    let mut plant = fixture.agent(1).await;
    plant.record(&event("EMS", 1));
    plant.record(&events(0, 300, 700));
    plant.record(&readings(&key, None, 4, 10.0));
    plant.record(&readings(&key, Some(KeyDigest::of(fixture.site, "stolen")), 2, 5.0));
    plant.record(&readings(&key, None, 1, f64::NAN));
    let outcome = fixture.store.ingest(NOW, plant.batch(0, 5, 0)).await.unwrap();
    assert_eq!(outcome, IngestOutcome::Stored { through: plant.cursor(5), new: 5 });
    // The same again changes nothing.
    fixture.store.ingest(NOW, plant.batch(0, 5, 0)).await.unwrap();
    let of_events =
        "SELECT records * 10000 + total FROM usage_hourly WHERE kind = 1 AND app = 'EMS' AND event = 'login'";
    assert_eq!(fixture.number(of_events).await, 301 * 10_000 + 701);
    let query = |flagged| SeriesQuery {
        scope: Scope::default(),
        group: "g".into(),
        granularity: Granularity::Day,
        from: None,
        to: None,
        customer: None,
        site: None,
        flagged: Some(flagged),
    };
    let points = fixture.store.series(query(false)).await.unwrap();
    let [point] = points[..] else { panic!("{points:?}") };
    assert_eq!((point.count, point.sum, point.min, point.max, point.last), (4, 10.0, -1.0, 9.0, 3.0));
    let points = fixture.store.series(query(true)).await.unwrap();
    assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), 2, "with a key that nobody knows");
    assert_eq!(fixture.number("SELECT count(*) FROM red_flags WHERE kind = 'unknown_key'").await, 1);
}

#[tokio::test]
async fn what_a_site_dropped_is_counted_and_flagged() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    let dropped =
        |count| Dropped { since: NOW, until: NOW, counts: vec![(kind::EVENT, count), (kind::MEASUREMENT, 1)] };
    plant.record(&Body::Dropped(dropped(300)));
    plant.record(&Body::Dropped(dropped(u64::MAX)));
    fixture.store.ingest(NOW, plant.batch(0, 1, 0)).await.unwrap();
    let agent = async || fixture.store.show_agent(plant.id).await.unwrap().agent;
    assert_eq!(agent().await.records_dropped, 301);
    assert_eq!(fixture.number("SELECT count(*) FROM red_flags WHERE kind = 'dropped'").await, 1);
    fixture.store.ingest(NOW, plant.batch(0, 2, 0)).await.unwrap();
    assert_eq!(agent().await.records_dropped, i64::MAX as u64, "it stops at the end of numbers");
}
