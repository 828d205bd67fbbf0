use crate::store::{
    LicenseEdit, LicenseSelector, Scope,
    testing::{Fixture, NOW, act},
};
use sitewarden_protocol::{
    license::{Rule, Rung, Verdict},
    message::{LiveStatus, Quota},
    record::{Body, Excess, Overage, Override},
    time::UnixMillis,
};

const DAY: i64 = 86_400_000;

fn day(number: i64) -> UnixMillis {
    UnixMillis(NOW.0 + number * DAY)
}

impl Fixture {
    /// A licence that is in force, with days of grace before each block; answers its number.
    async fn in_force(&self) -> LicenseSelector {
        let issued = self.store.issue_license(&act(), self.license("L1")).await.unwrap();
        let selector = LicenseSelector::Uuid(issued.license.uuid);
        let mut edit = LicenseEdit::default();
        edit.policy.overage = Some(Rule { grace_days: 7, then: Rung::Block });
        edit.policy.expiry = Some(Rule { grace_days: 0, then: Rung::Block });
        self.store.edit_license(&act(), selector, edit).await.unwrap().unwrap();
        self.store.activate_license(&act(), Scope::default(), &issued.key, false).await.unwrap().unwrap();
        selector
    }

    /// What is explained at a moment, which must be what is decided.
    async fn verdict(&self, at: UnixMillis) -> Verdict {
        let told = self.store.explain(Scope::default(), self.site, "EMS".into(), at, 30).await.unwrap();
        let may = self.store.may_use(Scope::default(), "EMS".into(), at, 30).await.unwrap();
        assert_eq!(told.allowed, may, "{told:?}");
        told.verdict
    }
}

#[tokio::test]
async fn the_grace_of_an_overage_ends_here_when_it_ends_at_the_site() {
    let fixture = Fixture::new().await;
    let selector = fixture.in_force().await;
    let license = fixture.store.show_license(selector).await.unwrap();
    let quota = license.limits.monitors.unwrap();
    let mut plant = fixture.agent(1).await;
    let quotas = vec![Quota { app: "EMS".into(), used: quota + 1, permitted: Some(quota) }];
    let mut status = LiveStatus { quotas, ..LiveStatus::default() };
    // The snapshot is fresh, so that nothing but the overage counts.
    status.snapshot.issued_at = day(1);
    fixture.store.report_status(plant.id, NOW, [1; 16], status).await.unwrap();
    let (app, license) = ("EMS".to_owned(), license.uuid);
    plant.record(&Body::Overage(Overage { app: app.clone(), license, in_use: quota + 1, quota }));
    plant.record(&Body::Excess(Excess { app: app.clone(), license, in_use: quota + 1, permitted: quota }));
    fixture.store.ingest(NOW, plant.batch(0, 2, 0)).await.unwrap();
    assert_ne!(fixture.verdict(day(6)).await, Verdict::Denied);
    assert_eq!(fixture.verdict(day(8)).await, Verdict::Denied);
    plant.record(&Body::Excess(Excess { app, license, in_use: quota, permitted: quota }));
    fixture.store.ingest(NOW, plant.batch(2, 3, 0)).await.unwrap();
    assert_ne!(fixture.verdict(day(8)).await, Verdict::Denied, "its end is told too");
}

#[tokio::test]
async fn an_override_counts_for_whoever_asks_the_hub() {
    let fixture = Fixture::new().await;
    let selector = fixture.in_force().await;
    let end = fixture.store.show_license(selector).await.unwrap().expires_at.unwrap();
    assert_eq!(fixture.verdict(end).await, Verdict::Denied);
    let mut plant = fixture.agent(1).await;
    let until = end.after(std::time::Duration::from_secs(86_400));
    plant.record(&Body::Override(Override { days: 1, until, reason: "the line is cut".into(), by: "operator".into() }));
    fixture.store.ingest(NOW, plant.batch(0, 1, 0)).await.unwrap();
    assert_eq!(fixture.verdict(end).await, Verdict::Warned);
    assert_eq!(fixture.verdict(until).await, Verdict::Denied);
}
