//! The order of telemetry, page by page, across agents, customers and both ways in; and what a page costs.

use crate::store::testing::{Fixture, NOW, Plant, act, event};
use crate::store::{NewApiKey, Scope, TelemetryFilter, TelemetryRow};
use sitewarden_protocol::{
    api_key::ApiKeyDigest,
    id::SiteId,
    record::{Body, Denial, EventTotal, Folded, Measurement, Record, Sent, Total, kind},
    telemetry::Fields,
    time::UnixMillis,
};

const HOUR: i64 = 3_600_000;

/// A generator whose numbers are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

fn body(group: &str, product: &str) -> String {
    format!(
        r#"{{"data_type": "numeric-single-value", "numeric_data_single_value": 5, "product_id": "{product}",
            "user_identifier": "u", "license_key": "", "activation_identifier": "", "product_version": "1",
            "data_group": "{group}"}}"#
    )
}

/// Two customers; the first has two plants, and a site with two agents. Records of some hours, in no order of time.
async fn fleet() -> (Fixture, Vec<SiteId>) {
    let mut fixture = Fixture::new().await;
    let other = fixture.store.add_customer(&act(), "Other", None).await.unwrap();
    let south = fixture.store.add_plant(&act(), "South", 1).await.unwrap();
    let theirs = fixture.store.add_plant(&act(), "Theirs", other.id).await.unwrap();
    let mut sites = vec![fixture.site, fixture.site];
    for plant in [south.id, theirs.id] {
        sites.push(fixture.store.add_site(&act(), "Line", plant).await.unwrap().id);
    }
    let mut numbers = Numbers(7);
    for (seed, site) in (1..).zip(&sites) {
        fixture.site = *site;
        let mut plant = fixture.agent(seed).await;
        (0..60).for_each(|_| record(&mut plant, &mut numbers));
        fixture.store.ingest(NOW, plant.batch(0, 25, 0)).await.unwrap();
        fixture.store.ingest(NOW, plant.batch(25, 60, 0)).await.unwrap();
    }
    for (customer, site) in [(1, None), (1, Some(sites[0])), (other.id, None)] {
        let new = NewApiKey::telemetry("n", customer, site);
        let (_, key) = fixture.store.add_api_key(&act(), new).await.unwrap();
        for _ in 0..10 {
            let text = body(["g", "h"][numbers.below(2) as usize], ["CBM", "EMS", "?"][numbers.below(3) as usize]);
            let at = UnixMillis(NOW.0 + numbers.below(5 * HOUR as u64) as i64);
            let parsed = Fields::read(None, text.as_bytes()).parse();
            fixture.store.take_measurement(at, &key, parsed).await.unwrap();
        }
    }
    (fixture, sites)
}

fn record(plant: &mut Plant, numbers: &mut Numbers) {
    // Few moments, so that many rows are of the same one.
    let at = UnixMillis(NOW.0 + numbers.below(40) as i64 * HOUR / 8);
    let body = match numbers.below(8) {
        0 => Body::Denial(Denial { app: "CBM".into(), action: "reserve".into(), cause: "quota".into() }),
        1 | 2 => {
            let reading = Fields::read(None, body("g", "EMS").as_bytes()).parse().reading;
            Body::Measurement(Measurement::Sent(Box::new(Sent { key: ApiKeyDigest::of("k"), license: None, reading })))
        }
        3 => Body::Folded(Folded {
            set: numbers.below(1 << 30) + 1,
            place: 1,
            total: Total::Events(EventTotal {
                hour: at,
                app: ["CBM", "EMS"][numbers.below(2) as usize].into(),
                kind: "login".into(),
                environment: "production".into(),
                outcome: "success".into(),
                events: 3,
                count: 4,
            }),
        }),
        other => event(["CBM", "EMS"][other as usize % 2], 1),
    };
    plant.raw(&Record::encode(at, &body).unwrap());
}

async fn all(fixture: &Fixture, filter: &TelemetryFilter, limit: usize) -> Vec<TelemetryRow> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = fixture.store.list_telemetry(filter.clone(), after, limit).await.unwrap();
        assert!(page.rows.len() <= limit);
        rows.extend(page.rows);
        after = page.next.map(|cursor| cursor.to_string().parse().unwrap());
        if after.is_none() {
            return rows;
        }
    }
}

fn at(row: &TelemetryRow) -> UnixMillis {
    match row {
        TelemetryRow::Measured(row) => row.at,
        TelemetryRow::Reported(row) => row.record.at,
    }
}

/// The rule once more, as simple as can be.
fn is_wanted(
    filter: &TelemetryFilter,
    plants: &[(SiteId, sitewarden_protocol::id::PlantId)],
    row: &TelemetryRow,
) -> bool {
    let (customer, site, app, is, group, flagged) = match row {
        TelemetryRow::Measured(row) => {
            let group = Some(row.group.as_str());
            (row.customer, row.site, Some(row.app.as_str()), kind::MEASUREMENT, group, Some(!row.signs.is_empty()))
        }
        TelemetryRow::Reported(row) => {
            (row.customer, Some(row.site), row.record.app.as_deref(), row.record.kind, None, None)
        }
    };
    let plant = plants.iter().find(|(known, _)| Some(*known) == site).map(|(_, plant)| *plant);
    [filter.customer, filter.scope.customer].iter().all(|wanted| wanted.is_none_or(|wanted| wanted == customer))
        && [filter.site, filter.scope.site].iter().all(|wanted| wanted.is_none() || *wanted == site)
        && (filter.plant.is_none() || filter.plant == plant)
        && filter.app.as_deref().is_none_or(|wanted| app == Some(wanted))
        && filter.kind.is_none_or(|wanted| wanted == is)
        && filter.group.as_deref().is_none_or(|wanted| group == Some(wanted))
        && filter.flagged.is_none_or(|wanted| flagged == Some(wanted))
        && filter.from.is_none_or(|from| from <= at(row))
        && filter.to.is_none_or(|to| at(row) < to)
}

fn some<T>(numbers: &mut Numbers, of: &[T]) -> Option<T>
where
    T: Clone,
{
    (numbers.below(3) == 0).then(|| of[numbers.below(of.len() as u64) as usize].clone())
}

#[tokio::test]
async fn whatever_is_asked_the_pages_are_one_list_in_the_order_of_time() {
    let (fixture, sites) = fleet().await;
    let everything = all(&fixture, &TelemetryFilter::default(), 1_000).await;
    assert_eq!(everything.len(), 4 * 60 + 30);
    assert!(everything.is_sorted_by(|newer, older| at(newer) >= at(older)));
    let agents = everything.iter().filter_map(|row| match row {
        TelemetryRow::Reported(row) => Some(row.record.agent),
        TelemetryRow::Measured(_) => None,
    });
    let turns = agents.collect::<Vec<_>>().windows(2).filter(|two| two[0] != two[1]).count();
    assert!(turns > 20, "agents take turns in it: {turns}");
    let mut plants = Vec::new();
    for site in &sites {
        plants.push((*site, fixture.store.show_site(*site).await.unwrap().plant));
    }
    let moments: Vec<_> = (0..12).map(|half| UnixMillis(NOW.0 + half * HOUR / 2)).collect();
    let mut numbers = Numbers(11);
    for round in 0..250 {
        let scope = Scope { customer: some(&mut numbers, &[1, 2]), site: some(&mut numbers, &sites) };
        let filter = TelemetryFilter {
            scope: if numbers.below(3) == 0 { scope } else { Scope::default() },
            customer: some(&mut numbers, &[1, 2]),
            plant: some(&mut numbers, &plants).map(|(_, plant)| plant),
            site: some(&mut numbers, &sites),
            app: some(&mut numbers, &["CBM".to_owned(), "EMS".to_owned(), "LM".to_owned()]),
            kind: some(&mut numbers, &[kind::EVENT, kind::DENIAL, kind::MEASUREMENT, kind::FOLDED, kind::OVERRIDE]),
            group: some(&mut numbers, &["g".to_owned(), "h".to_owned(), String::new()]),
            from: some(&mut numbers, &moments),
            to: some(&mut numbers, &moments),
            flagged: some(&mut numbers, &[true, false]),
        };
        let expected: Vec<_> = everything.iter().filter(|row| is_wanted(&filter, &plants, row)).cloned().collect();
        let limit = [1, 2, 7, 100, 1_000][numbers.below(5) as usize];
        let found = all(&fixture, &filter, limit).await;
        assert!(found == expected, "round {round}, {limit} a page: {filter:?}: {} of {}", found.len(), expected.len());
    }
}

#[tokio::test]
async fn what_is_rare_is_found_at_once_among_much_that_is_not_asked_for() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    let denied = Body::Denial(Denial { app: "LM".into(), action: "reserve".into(), cause: "quota".into() });
    plant.record(&denied);
    fixture.store.ingest(NOW, plant.batch(0, 1, 0)).await.unwrap();
    // More events than a page looks at, over a month.
    let filled = fixture.store.write(|tx| {
        tx.execute_batch(
            "WITH RECURSIVE n (n) AS (VALUES (2) UNION ALL SELECT n + 1 FROM n WHERE n < 60000)
                INSERT INTO records SELECT 1, 1, n, 1769846400000 + n * 43200, 0, 1, 'EMS', x'' FROM n;
             INSERT INTO usage_hourly SELECT site, at / 3600000, 'EMS', 1, 'login', count(*), count(*)
                FROM records JOIN agents ON agents.id = agent WHERE kind = 1 GROUP BY site, at / 3600000;",
        )?;
        Ok(())
    });
    filled.await.unwrap();
    for filter in [
        TelemetryFilter { kind: Some(kind::DENIAL), ..TelemetryFilter::default() },
        TelemetryFilter { app: Some("LM".into()), ..TelemetryFilter::default() },
        TelemetryFilter { kind: Some(kind::DENIAL), app: Some("LM".into()), ..TelemetryFilter::default() },
    ] {
        let page = fixture.store.list_telemetry(filter, None, 10).await.unwrap();
        assert_eq!((page.rows.len(), page.next), (1, None), "in one page");
    }
    let page = fixture.store.list_telemetry(TelemetryFilter::default(), None, 10).await.unwrap();
    assert_eq!(page.rows.len(), 10);
}
