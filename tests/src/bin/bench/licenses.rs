//! Lists, searches and statistics of the licence server with 100,000 licences, 1,000,000 activations and sums that stand for
//! 50,000,000 heartbeats, each beside what the same question takes of a store with one licence and no use.
//!
//! Licences are issued by the store, so that their keys can be shown; activations and sums are put into the database as the
//! store would have them (triggers count them), because a year of heartbeats cannot be lived through.

use super::table::{Row, Table, Target};
use anyhow::{Result, ensure};
use rusqlite::Connection;
use sitewarden_hub::store::{
    Act, ActivationFilter, Granularity, Holder, LicenseFilter, LicenseSelector, LicenseStanding, NewLicense, Store,
    StoreSecrets, UsageOf, UsageSpan,
};
use sitewarden_protocol::{
    license::{Kind, Limits, Policy, Term},
    time::UnixMillis,
};
use std::{
    env,
    path::{Path, PathBuf},
    time::Instant,
};
use tokio::task::JoinSet;

/// Activations of each licence.
const EACH: u64 = 10;
/// Licences of each customer.
const OF_CUSTOMER: u64 = 100;
const HEARTBEATS: u64 = 50_000_000;
const FEATURES: u64 = 20;
/// 2026-01-01, the day after the year of which there are sums.
const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
const DAY: i64 = 86_400_000;
const QUESTIONS: usize = 21;
/// At the median.
const MOST_MS: f64 = 50.0;

struct Hub {
    store: Store,
    key: String,
    licenses: u64,
    /// Whether there are machines and sums.
    full: bool,
}

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    let licenses = env::var("SITEWARDEN_BENCH_LICENSES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = tempfile::tempdir()?;
        let (few, many) = (folder.path().join("few.sqlite"), folder.path().join("many.sqlite"));
        let few = Hub::with(few, 1, false).await?;
        let begun = Instant::now();
        let many = Hub::with(many, licenses, true).await?;
        let what = format!("{licenses} licences, {} activations put in", licenses * EACH);
        table.add(Row { what, figure: (begun.elapsed().as_secs_f64(), "s"), yardstick: None, target: Target::None });
        for (number, what) in QUESTION_NAMES.iter().enumerate() {
            let yardstick = few.median(number).await?;
            let figure = many.median(number).await?;
            table.add(Row {
                what: (*what).to_owned(),
                figure: (figure, "ms"),
                yardstick: Some((yardstick, "ms with one licence and no use")),
                target: Target::Below(MOST_MS),
            });
        }
        few.store.close().await;
        many.store.close().await;
        Ok(())
    })
}

const QUESTION_NAMES: [&str; 18] = [
    "licences, the first page",
    "licences, the last page by number",
    "licences, the last page after a row",
    "licences that are active, a late page",
    "licences of a customer that are revoked",
    "the licence with a key",
    "a licence with machines and a year of use",
    "activations, the newest page",
    "activations, 100,000 rows deep",
    "activations that were given back, of a month",
    "activations of a licence",
    "statistics, 30 days",
    "statistics of a year",
    "statistics of a customer",
    "usage of a year by hour",
    "usage of a licence, a year by week",
    "features of 30 days",
    "features of a year, with the year before",
];

fn span(days: i64) -> Result<UsageSpan> {
    Ok(UsageSpan::new(UnixMillis(NOW.0 - days * DAY), NOW)?)
}

impl Hub {
    async fn with(path: PathBuf, licenses: u64, full: bool) -> Result<Self> {
        let secrets = || StoreSecrets { license_key: [7; 32].into() };
        let store = Store::create(&path, secrets()).await?;
        let key = issue(&store, licenses).await?;
        store.close().await;
        if full {
            let file = path.clone();
            tokio::task::spawn_blocking(move || fill(&file, licenses)).await??;
        }
        Ok(Self { store: Store::open(&path, secrets()).await?, key, licenses, full })
    }

    async fn median(&self, number: usize) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..QUESTIONS {
            let begun = Instant::now();
            self.ask(number).await?;
            times.push(begun.elapsed().as_secs_f64() * 1_000.0);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[QUESTIONS / 2])
    }

    async fn ask(&self, number: usize) -> Result<()> {
        let licenses = self.licenses;
        let (middle, late) = (i64::try_from(licenses / 2 + 1)?, (licenses * 9 / 10).saturating_sub(50));
        let customer = Some(i64::try_from(licenses / 2 / OF_CUSTOMER + 1)?);
        let standing = |standing| LicenseFilter { standing: Some(standing), ..LicenseFilter::default() };
        let of = UsageOf { customer, ..UsageOf::default() };
        let of_license = UsageOf { license: Some(middle), ..UsageOf::default() };
        match number {
            0 => self.list(LicenseFilter::default(), 0, licenses).await,
            1 => self.list(LicenseFilter::default(), licenses.saturating_sub(50), licenses).await,
            2 => {
                let after = Some(i64::try_from(licenses.saturating_sub(50))?);
                self.list(LicenseFilter { after, ..LicenseFilter::default() }, 0, licenses).await
            }
            3 => self.list(standing(LicenseStanding::Active), late, licenses).await,
            4 => {
                let filter = LicenseFilter { customer, ..standing(LicenseStanding::Revoked) };
                self.store.license_page(filter, 0, 50).await.map(drop).map_err(Into::into)
            }
            5 => self.list(LicenseFilter { key: Some(self.key.clone()), ..LicenseFilter::default() }, 0, 1).await,
            6 => {
                let which = LicenseSelector::Number(middle);
                let detail = self.store.license_detail(Default::default(), which).await?;
                ensure!(!self.full || detail.machines.len() as u64 == EACH, "{} machines", detail.machines.len());
                Ok(())
            }
            7 => self.activations(ActivationFilter::default(), 0, licenses * EACH).await,
            8 => self.activations(ActivationFilter::default(), 100_000, licenses * EACH).await,
            9 => {
                let from = Some(UnixMillis(NOW.0 - 30 * DAY));
                let filter = ActivationFilter { active: Some(false), from, to: Some(NOW), ..Default::default() };
                self.store.activation_page(filter, 0, 50).await.map(drop).map_err(Into::into)
            }
            10 => self.activations(ActivationFilter { of: of_license, ..Default::default() }, 0, EACH).await,
            11 => self.store.statistics(UsageOf::default(), span(30)?).await.map(drop).map_err(Into::into),
            12 => self.store.statistics(UsageOf::default(), span(365)?).await.map(drop).map_err(Into::into),
            13 => self.store.statistics(of, span(365)?).await.map(drop).map_err(Into::into),
            14 => {
                let usage = self.store.usage(UsageOf::default(), span(365)?, Granularity::Hour).await?;
                let whole = usage.heartbeats >= HEARTBEATS && usage.points.len() == 8_760;
                ensure!(!self.full || whole, "{} heartbeats", usage.heartbeats);
                Ok(())
            }
            15 => self.store.usage(of_license, span(365)?, Granularity::Week).await.map(drop).map_err(Into::into),
            16 => self.store.feature_usage(UsageOf::default(), span(30)?).await.map(drop).map_err(Into::into),
            _ => {
                let features = self.store.feature_usage(UsageOf::default(), span(365)?).await?;
                ensure!(!self.full || features.len() as u64 == FEATURES, "{} features", features.len());
                Ok(())
            }
        }
    }

    async fn list(&self, filter: LicenseFilter, offset: u64, total: u64) -> Result<()> {
        let counted = filter.standing.is_none();
        let page = self.store.license_page(filter, offset, 50).await?;
        ensure!(!counted || page.total == total, "{} of {total} licences", page.total);
        Ok(())
    }

    async fn activations(&self, filter: ActivationFilter, offset: u64, total: u64) -> Result<()> {
        let page = self.store.activation_page(filter, offset, 50).await?;
        ensure!(!self.full || page.total == total, "{} of {total} activations", page.total);
        Ok(())
    }
}

/// Issues licences; answers the key of one.
async fn issue(store: &Store, licenses: u64) -> Result<String> {
    let act = Act::local(UnixMillis(NOW.0 - 365 * DAY));
    for number in 0..licenses.div_ceil(OF_CUSTOMER) {
        store.add_customer(&act, &format!("Customer {number}"), None).await?;
    }
    let mut key = String::new();
    for first in (0..licenses).step_by(1_000) {
        let mut issuing = JoinSet::new();
        for number in first..licenses.min(first + 1_000) {
            let (store, act) = (store.clone(), act.clone());
            let new = NewLicense {
                holder: Holder::Customer(i64::try_from(number / OF_CUSTOMER + 1)?),
                app: "GENERAL".into(),
                name: format!("L{number}"),
                kind: Kind::Subscription,
                term: Term::Endless,
                limits: Limits { monitors: None, users: Some(10), activations: Some(20) },
                features: vec!["feature1".into(), "feature2".into()],
                policy: Policy::default(),
                thresholds: vec![],
                description: String::new(),
            };
            issuing.spawn(async move { store.issue_license(&act, new).await });
        }
        for issued in issuing.join_all().await {
            key = issued?.key;
        }
    }
    Ok(key)
}

/// What the store would have after a year. Of ten licences seven are active and one is revoked; of ten machines one was given
/// back.
fn fill(path: &Path, licenses: u64) -> Result<()> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    let began = NOW.0 - 365 * DAY;
    let (first_hour, first_day) = (began / 3_600_000, began / DAY);
    connection.execute_batch(&format!(
        "BEGIN;
         UPDATE licenses SET status = CASE WHEN id % 10 < 7 THEN 'Active' WHEN id % 10 = 7 THEN 'Invalid' ELSE 'Inactive' END,
            activated_at = CASE WHEN id % 10 < 8 THEN {began} END;
         WITH RECURSIVE n (n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM n WHERE n + 1 < {activations})
         INSERT INTO activations (id, license, customer, hardware, machine, app_version, activated_at, heard, last_heartbeat,
                users, most_users, hour, hour_users, deactivated_at)
            SELECT randomblob(16), n / {EACH} + 1, n / {EACH} / {OF_CUSTOMER} + 1, '[]', 'PC-' || n, '1.0.0',
                {began} + n * ({year} / {activations}), {now}, {now}, 5, 8, {first_hour} + 8759, 5,
                CASE WHEN n % 10 = 9 THEN {now} END FROM n;
         INSERT INTO features (name) WITH RECURSIVE f (f) AS (VALUES (1) UNION ALL SELECT f + 1 FROM f WHERE f < {FEATURES})
            SELECT 'feature' || f FROM f;
         CREATE TEMP TABLE scopes AS SELECT 'all' AS scope, 8760 AS hours UNION ALL SELECT 'license {middle}', 8760
            UNION ALL SELECT 'customer {customer}', 8760
            UNION ALL SELECT 'customer ' || id, 720 FROM customers WHERE id != {customer}
            UNION ALL SELECT 'license ' || id, 10 FROM licenses WHERE id != {middle};
         WITH RECURSIVE h (h) AS (VALUES (0) UNION ALL SELECT h + 1 FROM h WHERE h < 8759)
         INSERT INTO machine_hours (scope, hour, heartbeats, users_told, active_users, new_activations, given_back)
            SELECT scope, {first_hour} + 8759 - h, {HEARTBEATS} / 8760 + 1, {HEARTBEATS} / 1752, 500000, 0, 0
                FROM scopes JOIN h ON h < hours WHERE true
            ON CONFLICT (scope, hour) DO UPDATE SET heartbeats = excluded.heartbeats, users_told = excluded.users_told,
                active_users = excluded.active_users;
         WITH RECURSIVE d (d) AS (VALUES (0) UNION ALL SELECT d + 1 FROM d WHERE d < 364)
         INSERT INTO feature_days (scope, day, feature, used)
            SELECT scope, {first_day} + d, features.id, 1000 FROM d JOIN features JOIN scopes
                WHERE features.id > 1 AND hours = 8760;
         WITH RECURSIVE d (d) AS (VALUES (0) UNION ALL SELECT d + 1 FROM d WHERE d < 364)
         INSERT INTO machine_sets (scope, day, feature, machines)
            SELECT scope, {first_day} + d, features.id - 1,
                CAST(char(2) || replace(hex(zeroblob(1024)), '0', char(5)) AS BLOB)
                FROM d JOIN scopes JOIN (SELECT 1 AS id UNION ALL SELECT id + 1 FROM features WHERE id > 0) AS features
                WHERE hours = 8760;
         COMMIT;",
        activations = licenses * EACH,
        year = 365 * DAY,
        now = NOW.0,
        middle = licenses / 2 + 1,
        customer = licenses / 2 / OF_CUSTOMER + 1,
    ))?;
    Ok(())
}
