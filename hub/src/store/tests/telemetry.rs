//! Measurements on both ways in, what is asked of them, and how they go.

use crate::store::testing::{Fixture, NOW, act, event};
use crate::store::{
    ApiKey, Error, Granularity, NewApiKey, Purpose, Scope, SeriesQuery, TelemetryFilter, TelemetryRow, telemetry,
};
use sitewarden_protocol::{
    api_key::ApiKeyDigest,
    license::KeyDigest,
    record::{Body, Measured, Measurement, Part, Rest, Sent, Transmission, kind},
    telemetry::Fields,
    time::UnixMillis,
};
use std::time::Duration;

const DAY: i64 = 86_400_000;

fn body(change: &str) -> String {
    format!(
        r#"{{"data_type": "numeric-single-value", "numeric_data_single_value": 50, "product_id": 1, "user_identifier": "u",
            "license_key": "k", "activation_identifier": "12135644", "product_version": "1.0.1", "data_group": "g"{change}}}"#
    )
}

async fn key(fixture: &Fixture) -> (String, ApiKey) {
    let new = NewApiKey::telemetry("programs", 1, None);
    let (key, made) = fixture.store.add_api_key(&act(), new).await.unwrap();
    (key.to_string(), made)
}

async fn take(fixture: &Fixture, key: &ApiKey, at: i64, change: &str) -> usize {
    let parsed = Fields::read(None, body(change).as_bytes()).parse();
    fixture.store.take_measurement(UnixMillis(at), key, parsed).await.unwrap().len()
}

fn sent(site: sitewarden_protocol::id::SiteId, key: &str, change: &str) -> Sent {
    let reading = Fields::read(None, body(change).as_bytes()).parse().reading;
    Sent { key: ApiKeyDigest::of(key), license: Some(KeyDigest::of(site, "k")), reading }
}

fn series(granularity: Granularity) -> SeriesQuery {
    SeriesQuery {
        scope: Scope::default(),
        group: "g".into(),
        granularity,
        from: None,
        to: None,
        customer: None,
        site: None,
        flagged: None,
    }
}

async fn measured(fixture: &Fixture, filter: TelemetryFilter) -> Vec<telemetry::MeasuredRow> {
    let page = fixture.store.list_telemetry(filter, None, 1_000).await.unwrap();
    let row = |row| match row {
        TelemetryRow::Measured(row) => Some(*row),
        TelemetryRow::Reported(_) => None,
    };
    page.rows.into_iter().filter_map(row).collect()
}

#[tokio::test]
async fn a_key_counts_until_it_is_rotated_revoked_or_over_and_snapshots_know_it() {
    let fixture = Fixture::new().await;
    let (store, later) = (&fixture.store, UnixMillis(NOW.0 + 3_600_000));
    let recognised =
        async |key: &str, at| store.recognise_api_key(key, Purpose::Telemetry, at).await.unwrap().is_some();
    let told = async || store.snapshot_of(fixture.site).await.unwrap().api_keys;
    let (first, made) = key(&fixture).await;
    assert!(recognised(&first, NOW).await && !recognised("swk_wrong", NOW).await);
    assert_eq!(told().await, [ApiKeyDigest::of(&first)]);
    let revision = store.snapshot_of(fixture.site).await.unwrap().revision;
    let rotated = store.rotate_api_key(&act(), made.id, Duration::from_secs(3_600)).await.unwrap();
    assert!(recognised(&first, NOW).await && recognised(&rotated.key, NOW).await);
    assert!(!recognised(&first, later).await, "the overlap is over");
    assert_eq!(store.lapse_api_keys(NOW).await.unwrap(), 0);
    assert_eq!(store.lapse_api_keys(later).await.unwrap(), 1);
    assert_eq!(told().await, [ApiKeyDigest::of(&rotated.key)]);
    assert!(store.snapshot_of(fixture.site).await.unwrap().revision > revision + 1);
    assert!(matches!(
        store.rotate_api_key(&crate::store::Act { at: later, ..act() }, made.id, Duration::ZERO).await,
        Err(Error::Conflict { .. })
    ));
    store.revoke_api_key(&act(), rotated.new.id).await.unwrap();
    assert!(!recognised(&rotated.key, NOW).await);
    assert_eq!(told().await, []);
    assert_eq!(fixture.number("SELECT count(*) FROM audit_log WHERE action LIKE 'apikey.%'").await, 4);
    assert_eq!(store.broken_audit_row().await.unwrap(), None);
    let texts = "SELECT count(*) FROM audit_log WHERE before LIKE '%swk%' OR after LIKE '%swk%'";
    assert_eq!(fixture.number(texts).await, 0, "no key in the audit log");
}

#[tokio::test]
async fn a_site_is_told_of_a_hundred_keys_at_most() {
    let fixture = Fixture::new().await;
    for number in 0..100 {
        let site = (number % 2 == 0).then_some(fixture.site);
        let new = NewApiKey::telemetry("n", 1, site);
        fixture.store.add_api_key(&act(), new).await.unwrap();
    }
    let more = NewApiKey::telemetry("n", 1, Some(fixture.site));
    assert!(matches!(fixture.store.add_api_key(&act(), more).await, Err(Error::Invalid { .. })));
    assert_eq!(fixture.store.snapshot_of(fixture.site).await.unwrap().api_keys.len(), 100);
}

#[tokio::test]
async fn what_came_directly_and_what_came_through_an_agent_are_one_series() {
    let fixture = Fixture::new().await;
    let (text, key) = key(&fixture).await;
    assert_eq!(take(&fixture, &key, NOW.0, r#", "numeric_data_single_value": -1.5"#).await, 0);
    let mut plant = fixture.agent(1).await;
    for number in [2.0, 40.0] {
        let change = format!(r#", "numeric_data_single_value": {number}"#);
        plant.record(&Body::Measurement(Measurement::Sent(Box::new(sent(fixture.site, &text, &change)))));
    }
    // One batch overlaps the other: nothing counts twice.
    fixture.store.ingest(NOW, plant.batch(0, 1, 0)).await.unwrap();
    fixture.store.ingest(NOW, plant.batch(0, 2, 0)).await.unwrap();
    let points = fixture.store.series(series(Granularity::Day)).await.unwrap();
    let point = points[0];
    assert_eq!(
        (points.len(), point.count, point.sum, point.min, point.max, point.last),
        (1, 3, 40.5, -1.5, 40.0, 40.0)
    );
    assert_eq!(point.start.to_string(), "2026-01-31T00:00:00Z");
    let rows = measured(&fixture, TelemetryFilter { group: Some("g".into()), ..TelemetryFilter::default() }).await;
    let keys: Vec<_> = rows.iter().map(|row| (row.api_key, row.app.as_str(), row.agent.is_some())).collect();
    assert_eq!(keys, [(Some(1), "CBM", true), (Some(1), "CBM", true), (Some(1), "CBM", false)]);
    let at_site = SeriesQuery { site: Some(fixture.site), ..series(Granularity::Hour) };
    assert_eq!(fixture.store.series(at_site).await.unwrap()[0].count, 2);
    let strangers = SeriesQuery { scope: Scope { customer: Some(9), site: None }, ..series(Granularity::Hour) };
    assert_eq!(fixture.store.series(strangers).await.unwrap(), []);
    let all = fixture.store.list_telemetry(TelemetryFilter::default(), None, 1_000).await.unwrap();
    assert_eq!(all.rows.len(), 3, "two records of the agent and what came directly");
}

#[tokio::test]
async fn endless_sums_stop_and_do_not_stop_the_stream() {
    let fixture = Fixture::new().await;
    let (_, key) = key(&fixture).await;
    for number in ["1.7e308", "1.7e308", "-1.7e308", "-1.7e308", "-1.7e308"] {
        assert_eq!(take(&fixture, &key, NOW.0, &format!(r#", "numeric_data_single_value": "{number}""#)).await, 0);
    }
    let point = fixture.store.series(series(Granularity::Month)).await.unwrap()[0];
    assert!(point.sum.is_finite() && point.count == 5, "{point:?}");
}

#[tokio::test]
async fn what_a_tampered_agent_signed_does_not_stop_the_stream() {
    let fixture = Fixture::new().await;
    let (text, _) = key(&fixture).await;
    let mut plant = fixture.agent(1).await;
    for value in [Measured::Number(f64::NAN), Measured::Point { x: 1.0, y: f64::INFINITY }] {
        let mut forged = sent(fixture.site, &text, "");
        forged.reading.value = value;
        plant.record(&Body::Measurement(Measurement::Sent(Box::new(forged))));
    }
    let rest = |back, part| Body::Measurement(Measurement::Rest(Rest { back, part, text: "x".repeat(3_000) }));
    plant.record(&rest(0, Part::Text));
    (0..4).for_each(|_| plant.record(&rest(u32::MAX, Part::Raw)));
    (0..4).for_each(|more| plant.record(&rest(8 + more - 1, Part::User)));
    let outcome = fixture.store.ingest(NOW, plant.batch(0, plant.records(), 0)).await.unwrap();
    assert!(matches!(outcome, crate::store::IngestOutcome::Stored { new: 11, .. }));
    let rows = measured(&fixture, TelemetryFilter { flagged: Some(true), ..TelemetryFilter::default() }).await;
    assert!(rows.iter().all(|row| row.value == Measured::Nothing && row.errors[0].1.ends_with("must be a number.")));
    assert!(rows.iter().all(|row| row.user.len() <= 3_001));
    assert_eq!(fixture.store.series(series(Granularity::Hour)).await.unwrap(), []);
}

#[tokio::test]
async fn what_smells_is_stored_and_flagged_once_for_each_observation() {
    let fixture = Fixture::new().await;
    let (text, key) = key(&fixture).await;
    let count = async |kind: &str| {
        let flags = fixture.store.list_flags(Scope::default(), false, None, None, 1_000).await.unwrap();
        flags.iter().filter(|flag| flag.kind == kind).count()
    };
    for _ in 0..3 {
        assert_eq!(take(&fixture, &key, NOW.0, "").await, 0);
    }
    assert_eq!((count("unknown_key").await, count("unknown_activation").await), (1, 1));
    assert_eq!(take(&fixture, &key, NOW.0, r#", "license_key": "another""#).await, 0);
    assert_eq!(count("unknown_key").await, 2);

    let issued = fixture.store.issue_license(&act(), fixture.license("L")).await.unwrap();
    let with_key = format!(r#", "license_key": {}"#, serde_json::json!(issued.key));
    take(&fixture, &key, NOW.0, &with_key).await;
    assert_eq!((count("unknown_key").await, count("revoked_key").await), (2, 0));
    let status = crate::store::LicenseEdit {
        status: Some(sitewarden_protocol::license::Status::Invalid),
        ..crate::store::LicenseEdit::default()
    };
    let which = crate::store::LicenseSelector::Number(issued.license.id);
    fixture.store.edit_license(&act(), which, status).await.unwrap().unwrap();
    take(&fixture, &key, NOW.0, &with_key).await;
    assert_eq!(count("revoked_key").await, 1);

    assert_eq!(count("unreleased_version").await, 0);
    fixture.store.add_app_version(&act(), "CBM", "2.0").await.unwrap();
    take(&fixture, &key, NOW.0, "").await;
    take(&fixture, &key, NOW.0, r#", "product_id": "CBM", "product_version": "2.0""#).await;
    assert_eq!(count("unreleased_version").await, 1);

    let mut plant = fixture.agent(1).await;
    for _ in 0..2 {
        plant.record(&Body::Measurement(Measurement::Sent(Box::new(sent(fixture.site, &text, "")))));
    }
    fixture.store.ingest(NOW, plant.batch(0, 2, 0)).await.unwrap();
    assert_eq!((count("unknown_key").await, count("unreleased_version").await), (3, 2), "the agent's own observation");
    let flagged = TelemetryFilter { flagged: Some(true), ..TelemetryFilter::default() };
    assert_eq!(measured(&fixture, flagged).await.len(), 10, "each, for its activation at least");
    assert_eq!(fixture.number("SELECT count(*) FROM red_flags WHERE details LIKE '%another%'").await, 0);
}

#[tokio::test]
async fn malformed_data_is_kept_and_a_burst_of_it_is_a_flag() {
    let fixture = Fixture::new().await;
    let (_, key) = key(&fixture).await;
    let flags = async || fixture.number("SELECT count(*) FROM red_flags WHERE kind = 'malformed'").await;
    for _ in 0..9 {
        assert_eq!(take(&fixture, &key, NOW.0, r#", "numeric_data_single_value": "NaN", "product_id": 99"#).await, 2);
    }
    assert_eq!(flags().await, 0);
    for _ in 0..3 {
        take(&fixture, &key, NOW.0, r#", "data_type": "?""#).await;
    }
    assert_eq!(flags().await, 1);
    let rows = measured(&fixture, TelemetryFilter { flagged: Some(true), ..TelemetryFilter::default() }).await;
    let first = rows.last().unwrap();
    assert_eq!(
        (rows.len(), &first.value, first.raw["numeric_data_single_value"].as_str()),
        (12, &Measured::Nothing, Some("NaN"))
    );
    assert_eq!(first.errors[0].1, "The selected product id is invalid.");
    assert_eq!(fixture.store.series(series(Granularity::Hour)).await.unwrap(), []);
}

#[tokio::test]
async fn texts_that_take_several_records_are_put_together_across_batches() {
    let fixture = Fixture::new().await;
    let (text, _) = key(&fixture).await;
    let long = "😀".repeat(2_000);
    let change = format!(r#", "data_type": "text", "text_data": "{long}""#);
    let run = sent(fixture.site, &text, &change).into_records(NOW).unwrap();
    assert!(run.count() > 2);
    let mut plant = fixture.agent(1).await;
    run.iter().for_each(|record| plant.raw(record));
    fixture.store.ingest(NOW, plant.batch(0, 2, 0)).await.unwrap();
    fixture.store.ingest(NOW, plant.batch(0, plant.records(), 0)).await.unwrap();
    let rows =
        measured(&fixture, TelemetryFilter { kind: Some(kind::MEASUREMENT), ..TelemetryFilter::default() }).await;
    assert_eq!((rows.len(), &rows[0].value), (1, &Measured::Text(long)));
}

#[tokio::test]
async fn pages_join_without_gap_or_repeat() {
    let fixture = Fixture::new().await;
    let (text, key) = key(&fixture).await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 5);
    plant.record(&Body::Measurement(Measurement::Sent(Box::new(sent(fixture.site, &text, "")))));
    fixture.store.ingest(NOW, plant.batch(0, 6, 0)).await.unwrap();
    for second in 0..5 {
        take(&fixture, &key, NOW.0 + second * 1_000, "").await;
    }
    let read = async |filter: TelemetryFilter| {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = fixture.store.list_telemetry(filter.clone(), after, 2).await.unwrap();
            ids.extend(page.rows.iter().map(|row| format!("{row:?}")));
            after = page.next.map(|cursor| cursor.to_string().parse().unwrap());
            if after.is_none() {
                return ids;
            }
        }
    };
    let all = read(TelemetryFilter::default()).await;
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (11, 11));
    let span = TelemetryFilter {
        from: Some(UnixMillis(NOW.0 + 1_000)),
        to: Some(UnixMillis(NOW.0 + 3_000)),
        group: Some("g".into()),
        ..TelemetryFilter::default()
    };
    assert_eq!(read(span).await.len(), 2);
    let of_app = TelemetryFilter { app: Some("EMS".into()), ..TelemetryFilter::default() };
    assert_eq!(read(of_app).await.len(), 5);
    let here = TelemetryFilter { site: Some(fixture.site), ..TelemetryFilter::default() };
    assert_eq!(read(here).await.len(), 6);
    let elsewhere = TelemetryFilter { scope: Scope { customer: Some(2), site: None }, ..TelemetryFilter::default() };
    assert_eq!(read(elsewhere).await, [""; 0]);
    assert!("m.1".parse::<telemetry::TelemetryCursor>().is_err());
}

#[tokio::test]
async fn transmissions_are_listed_for_their_site() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    let sent = |number, error: Option<&str>| {
        let error = error.map(str::to_owned);
        Transmission { number, due: NOW, manual: false, started: NOW, records: 5, retries: 0, error }
    };
    for (number, error) in [(1, None), (2, Some("Connection timeout")), (3, None)] {
        plant.record(&Body::Transmission(sent(number, error)));
    }
    fixture.store.ingest(NOW, plant.batch(0, 3, 0)).await.unwrap();
    let first = fixture.store.list_transmissions(fixture.site, None, 2).await.unwrap();
    assert_eq!(first.transmissions.iter().map(|row| row.what.number).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(first.transmissions[1].what, sent(2, Some("Connection timeout")));
    let after = crate::store::Store::transmission_cursor(&first.next.unwrap()).ok();
    let second = fixture.store.list_transmissions(fixture.site, after, 2).await.unwrap();
    assert_eq!((second.transmissions[0].what.number, second.next), (1, None));
}

#[tokio::test]
async fn raw_data_goes_when_its_customer_wants_it_and_sums_stay() {
    let fixture = Fixture::new().await;
    let (_, key) = key(&fixture).await;
    let mut plant = fixture.agent(1).await;
    plant.record(&event("EMS", 1));
    plant.record(&Body::EpochBegun(sitewarden_protocol::record::EpochBegun {
        previous: 0,
        kept: 0,
        written: 0,
        cause: "enrolled".into(),
    }));
    plant.events("EMS", 3_000);
    fixture.store.ingest(NOW, plant.batch(0, 3_002, 0)).await.unwrap();
    take(&fixture, &key, NOW.0, "").await;
    plant.events("EMS", 2);
    fixture.store.ingest(UnixMillis(NOW.0 + 5 * DAY), plant.batch(3_002, 3_004, 0)).await.unwrap();
    take(&fixture, &key, NOW.0 + 5 * DAY, "").await;
    let late = UnixMillis(NOW.0 + 10 * DAY);
    assert_eq!(fixture.store.remove_old_telemetry(late).await.unwrap(), 0, "kept unless somebody says otherwise");
    let sums = "SELECT sum(records) FROM usage_hourly";
    let before = fixture.number(sums).await;
    fixture.store.set_raw_days(&act(), 1, Some(7)).await.unwrap();
    assert_eq!(fixture.store.remove_old_telemetry(late).await.unwrap(), 3_002);
    assert_eq!(fixture.store.remove_old_telemetry(late).await.unwrap(), 0);
    assert_eq!(fixture.number("SELECT count(*) FROM records").await, 3, "one that is no telemetry, two that are new");
    assert_eq!(fixture.number("SELECT count(*) FROM measurements").await, 1);
    assert_eq!(fixture.number(sums).await, before);
    assert_eq!(fixture.store.series(series(Granularity::Month)).await.unwrap().iter().map(|p| p.count).sum::<u64>(), 2);
    assert_eq!(fixture.store.raw_days(1).await.unwrap(), (Some(7), 2));
    assert!(fixture.store.set_raw_days(&act(), 1, Some(0)).await.is_err());
}

#[tokio::test]
async fn every_question_is_answered_by_an_index() {
    let fixture = Fixture::new().await;
    for sql in telemetry::test_queries() {
        let plan = fixture.store.read(move |connection| {
            let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let nothing = vec![0_i64; query.parameter_count()];
            let rows = query.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3))?;
            Ok((rows.collect::<Result<Vec<_>, _>>()?.join("; "), sql))
        });
        let (plan, sql) = plan.await.unwrap();
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE") && plan.contains("SEARCH"), "{sql}\n{plan}");
    }
}

/// What a year by day costs does not depend on how much was measured: the raw rows are not even opened.
#[tokio::test]
async fn a_series_is_read_from_the_sums_alone() {
    let fixture = Fixture::new().await;
    for sql in telemetry::series_queries() {
        let tables = fixture.store.read(move |connection| {
            let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let nothing = vec![0_i64; query.parameter_count()];
            let rows = query.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        });
        let plan = tables.await.unwrap();
        assert!(plan.len() == 1 && plan[0].starts_with("SEARCH series_hourly USING INDEX series_"), "{plan:?}");
    }
    // Not a word of it changes when the raw rows are gone.
    let (_, key) = key(&fixture).await;
    for number in 0..50 {
        take(&fixture, &key, NOW.0 + number * DAY / 2, "").await;
    }
    let before = fixture.store.series(series(Granularity::Day)).await.unwrap();
    let gone = fixture.store.write(|tx| Ok(tx.execute("DELETE FROM measurements", [])?)).await.unwrap();
    assert_eq!((gone, before.len()), (50, 25));
    assert_eq!(fixture.store.series(series(Granularity::Day)).await.unwrap(), before);
}
