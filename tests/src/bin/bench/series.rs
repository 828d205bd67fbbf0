//! A month of a million records at the hub, and a year by day that costs the same with ten times the raw rows.
//!
//! By the hub's ingest path in this process: batches are signed, verified, opened and stored as if they had come over a
//! line. What an agent does before that (taking in, queueing, sending) is measured beside it, by `events`, `memory` and
//! `drain`; its clock cannot be made to live through a year.

use super::table::{Row, Table, Target};
use anyhow::{Result, ensure};
use sitewarden_certs::token::secret_digest;
use sitewarden_hub::store::{
    Act, Granularity, IngestOutcome, NewEnrolment, Redemption, Scope, SeriesQuery, Shown, Store, StoreSecrets,
    TelemetryFilter, VerifiedBatch,
};
use sitewarden_protocol::{
    api_key::ApiKeyDigest,
    batch::{Draft, Signed},
    chain::Cursor,
    id::{AgentId, SiteId},
    record::{Body, Event, Measured, Measurement, Record, Run, Sent, Value, kind},
    signing::PrivateKey,
    telemetry::Reading,
    time::UnixMillis,
};
use std::time::{Duration, Instant};

const DAY: i64 = 86_400_000;
/// 2025-01-01.
const YEAR_BEGAN: i64 = 1_735_689_600_000;
const YEAR: i64 = 365 * DAY;
/// 2026-01-01.
const MONTH_BEGAN: i64 = YEAR_BEGAN + YEAR;
const MONTH: i64 = 31 * DAY;
/// Records of one batch.
const BATCH: u64 = 2_000;
/// Questions of which the quickest half counts.
const QUESTIONS: usize = 40;
/// How much longer a question may take with ten times the rows: about 1 is meant, the rest is for a busy machine.
const SAME: f64 = 1.5;

/// A hub's store with one agent that signs.
struct Hub {
    store: Store,
    site: SiteId,
    agent: AgentId,
    key: PrivateKey,
    cursor: Cursor,
    _folder: tempfile::TempDir,
}

/// Measures with so many records.
pub(crate) fn measure(records: u64, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut hub = Hub::new().await?;
        let begun = Instant::now();
        hub.fill(records, MONTH_BEGAN, MONTH, event).await?;
        let rate = records as f64 / begun.elapsed().as_secs_f64();
        add(table, format!("a month of {records} events stored"), (rate, "/s"), Target::None);
        let filter = TelemetryFilter { site: Some(hub.site), ..TelemetryFilter::default() };
        let page = hub.page(&filter).await?;
        add(table, "  their newest 100".to_owned(), (page, "ms"), Target::None);

        let (few, many) = (records / 10, records);
        hub.fill(few, YEAR_BEGAN, YEAR, measurement).await?;
        let with_few = hub.year(few).await?;
        add(table, format!("a year by day of {few} measurements"), (with_few, "ms"), Target::None);
        let begun = Instant::now();
        hub.fill(many - few, YEAR_BEGAN, YEAR, measurement).await?;
        let rate = (many - few) as f64 / begun.elapsed().as_secs_f64();
        add(table, "  nine times as many more stored".to_owned(), (rate, "/s"), Target::None);
        let with_many = hub.year(many).await?;
        add(table, format!("a year by day of {many} measurements"), (with_many, "ms"), Target::None);
        add(table, "  times the cost with a tenth".to_owned(), (with_many / with_few, "×"), Target::Below(SAME));
        let now = hub.page(&filter).await?;
        add(table, "newest 100 of what is there now".to_owned(), (now, "ms"), Target::None);
        let rare = TelemetryFilter { kind: Some(kind::OVERRIDE), ..filter };
        add(table, "  of a kind that is not there".to_owned(), (hub.page(&rare).await?, "ms"), Target::None);
        hub.store.close().await;
        Ok(())
    })
}

fn add(table: &mut Table, what: String, figure: (f64, &'static str), target: Target) {
    table.add(Row { what, figure, yardstick: None, target });
}

impl Hub {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let secrets = StoreSecrets { license_key: [7; 32].into() };
        let store = Store::create(&folder.path().join("hub.sqlite"), secrets).await?;
        let act = Act::local(UnixMillis(YEAR_BEGAN));
        let customer = store.add_customer(&act, "Acme", None).await?;
        let plant = store.add_plant(&act, "North", customer.id).await?;
        let site = store.add_site(&act, "Line 1", plant.id).await?.id;
        let (token, secret, agent) = ([1; 16], [2; 32], AgentId::from_bytes([3; 16]));
        let key = PrivateKey::from_seed(&[4; 32]);
        let expires = UnixMillis(YEAR_BEGAN + 1);
        let enrolment = NewEnrolment { token, secret_digest: secret_digest(&secret), site, expires, agent: None };
        store.add_enrolment(&act, enrolment).await?;
        let redemption = Redemption {
            token,
            shown: Shown::Secret(secret.into()),
            agent,
            signing_key: key.public(),
            tls_key: [5; 32],
            hostname: "bench".into(),
            program: "0".into(),
            fingerprint: vec![],
        };
        store.redeem(act.at, redemption, |_| Ok(vec![1])).await?;
        Ok(Self { store, site, agent, key, cursor: Cursor::start(agent, 1), _folder: folder })
    }

    /// Takes in so many records, evenly over a span.
    async fn fill(&mut self, records: u64, from: i64, span: i64, make: fn(u64) -> Body) -> Result<()> {
        let mut number = 0;
        while number < records {
            let mut run = Run::default();
            for number in number..records.min(number + BATCH) {
                let passed = i128::from(span) * i128::from(number) / i128::from(records);
                run.push(&Record::encode(UnixMillis(from + i64::try_from(passed)?), &make(number))?);
            }
            number += u64::from(run.count());
            let draft = Draft { after: self.cursor, lost: 0, records: run };
            let (header, signed) = Signed::make(self.agent, &draft, UnixMillis(from), &self.key)?;
            let batch = VerifiedBatch::prepare(signed, &[self.key.public()], &[])?;
            let outcome = self.store.ingest(UnixMillis(from + span), batch).await?;
            ensure!(matches!(outcome, IngestOutcome::Stored { .. }), "a batch was not stored: {outcome:?}");
            self.cursor = header.end();
        }
        Ok(())
    }

    /// How long a year by day takes, ms; checks that it is all there.
    async fn year(&self, measurements: u64) -> Result<f64> {
        let query = SeriesQuery {
            scope: Scope::default(),
            group: "temperature".into(),
            granularity: Granularity::Day,
            from: Some(UnixMillis(YEAR_BEGAN)),
            to: Some(UnixMillis(YEAR_BEGAN + YEAR)),
            customer: None,
            site: Some(self.site),
            flagged: None,
        };
        let mut times = Vec::new();
        for _ in 0..QUESTIONS {
            let begun = Instant::now();
            let points = self.store.series(query.clone()).await?;
            times.push(begun.elapsed());
            let count: u64 = points.iter().map(|point| point.count).sum();
            ensure!(points.len() == 365 && count == measurements, "{} points of {count} numbers", points.len());
        }
        Ok(quickest(times))
    }

    /// How long the newest hundred rows take, ms.
    async fn page(&self, filter: &TelemetryFilter) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..QUESTIONS {
            let begun = Instant::now();
            let page = self.store.list_telemetry(filter.clone(), None, 100).await?;
            times.push(begun.elapsed());
            ensure!(page.rows.len() == 100 || page.next.is_none(), "a page of {} rows", page.rows.len());
        }
        Ok(quickest(times))
    }
}

/// The average of the quicker half, ms: what the machine did beside it is in the other.
fn quickest(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.truncate(times.len().div_ceil(2));
    times.iter().sum::<Duration>().as_secs_f64() * 1_000.0 / times.len() as f64
}

fn event(number: u64) -> Body {
    Body::Event(Event {
        app: ["EMS", "CBM"][usize::from(number.is_multiple_of(3))].into(),
        kind: "reading".into(),
        environment: "production".into(),
        outcome: "success".into(),
        count: 1,
        attributes: vec![("pump".into(), Value::Text("north".into())), ("number".into(), Value::Integer(5))],
    })
}

fn measurement(number: u64) -> Body {
    let reading = Reading {
        group: "temperature".into(),
        value: Measured::Point { x: number as f64, y: (number % 400) as f64 / 4.0 },
        product: "EMS".into(),
        version: "1.0.1".into(),
        user: "u".into(),
        activation: String::new(),
        problems: vec![],
        raw: String::new(),
    };
    Body::Measurement(Measurement::Sent(Box::new(Sent { key: ApiKeyDigest::of("k"), license: None, reading })))
}
