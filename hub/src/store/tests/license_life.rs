//! What happens to licences, in any order: by administrators, by keys at the hub, by records of agents, and by time.

use crate::store::{
    Act, Error, LicenseEdit, LicenseFilter, LicenseRefusal, LicenseRow, LicenseSelector, Scope,
    testing::{Fixture, NOW, Plant, act},
};
use proptest::prelude::*;
use sitewarden_protocol::{
    id::LicenseId,
    license::{ActivationError, Kind, Status, Term},
    record::{Activation, Body, Record},
    time::UnixMillis,
};
use std::{collections::BTreeMap, time::Duration};

fn days(count: u64) -> UnixMillis {
    NOW.after(Duration::from_secs(86_400 * count))
}

fn at(at: UnixMillis) -> Act {
    Act::user("tester", at)
}

fn term(validity: &str) -> Term {
    Term::Validity(validity.parse().unwrap())
}

fn to(status: Status) -> LicenseEdit {
    LicenseEdit { status: Some(status), ..LicenseEdit::default() }
}

impl Fixture {
    async fn issued(&self, name: &str) -> (LicenseRow, String) {
        let issued = self.store.issue_license(&act(), self.license(name)).await.unwrap();
        (issued.license, issued.key)
    }

    async fn activated(&self, name: &str, replace: bool) -> LicenseRow {
        let (_, key) = self.issued(name).await;
        self.store.activate_license(&act(), Scope::default(), &key, replace).await.unwrap().unwrap()
    }

    async fn edit(&self, id: i64, edit: LicenseEdit, when: UnixMillis) -> Result<LicenseRow, LicenseRefusal> {
        self.store.edit_license(&at(when), LicenseSelector::Number(id), edit).await.unwrap()
    }

    async fn row(&self, id: i64) -> LicenseRow {
        self.store.show_license(LicenseSelector::Number(id)).await.unwrap()
    }

    /// An activation made at the plant, which the hub hears of at `heard`.
    async fn hears(&self, plant: &mut Plant, license: LicenseId, replaces: Option<LicenseId>, times: [UnixMillis; 2]) {
        let body = Body::LicenseActivated(Activation { license, replaces, by: "bob".into() });
        plant.raw(&Record::encode(times[0], &body).unwrap());
        let last = plant.records();
        self.store.ingest(times[1], plant.batch(last - 1, last, 0)).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_activates_once_and_asks_before_it_replaces() {
    let fixture = Fixture::new().await;
    let first = fixture.activated("L1", false).await;
    assert_eq!((first.status, first.activated_at, first.expires_at), (Status::Active, Some(NOW), Some(days(365))));
    let (second, key) = fixture.issued("L2").await;
    let act = act();
    let activate = |replace| fixture.store.activate_license(&act, Scope::default(), &key, replace);
    assert!(matches!(activate(false).await.unwrap(), Err(ActivationError::Occupied { .. })));
    assert_eq!(activate(true).await.unwrap().unwrap().id, second.id);
    assert_eq!(fixture.row(first.id).await.status, Status::Deactivated);
    assert_eq!(activate(true).await.unwrap(), Err(ActivationError::Spent));
    let unknown = fixture.store.activate_license(&act, Scope::default(), "nothing", false).await.unwrap();
    assert_eq!(unknown, Err(ActivationError::Unknown));
    let elsewhere = Scope { customer: Some(99), site: None };
    let hidden = fixture.store.activate_license(&act, elsewhere, &key, false).await.unwrap();
    assert_eq!(hidden, Err(ActivationError::Unknown));
    assert_eq!(fixture.number("SELECT count(*) FROM license_starts").await, 2);
}

#[tokio::test]
async fn of_keys_that_race_for_one_app_one_wins() {
    let fixture = Fixture::new().await;
    let mut racing = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (_, key) = fixture.issued(&format!("L{number}")).await;
        let store = fixture.store.clone();
        racing
            .spawn(async move { store.activate_license(&act(), Scope::default(), &key, false).await.unwrap().is_ok() });
    }
    assert_eq!(racing.join_all().await.into_iter().filter(|won| *won).count(), 1);
    assert_eq!(fixture.number("SELECT count(*) FROM licenses WHERE status = 'Active'").await, 1);
}

#[tokio::test]
async fn time_expires_and_a_longer_term_renews() {
    let fixture = Fixture::new().await;
    let license = fixture.activated("L1", false).await;
    let before = fixture.store.snapshot_of(fixture.site).await.unwrap().revision;
    assert_eq!(fixture.store.expire_licenses(days(364)).await.unwrap(), 0);
    assert_eq!(fixture.store.snapshot_of(fixture.site).await.unwrap().revision, before);
    assert_eq!(fixture.store.expire_licenses(days(365)).await.unwrap(), 1);
    assert_eq!(fixture.row(license.id).await.status, Status::Expired);
    assert!(fixture.store.snapshot_of(fixture.site).await.unwrap().revision > before);
    let longer = LicenseEdit { term: Some(term("2y")), status: Some(Status::Expired), ..LicenseEdit::default() };
    let renewed = fixture.edit(license.id, longer, days(400)).await.unwrap();
    assert_eq!((renewed.status, renewed.expires_at), (Status::Active, Some(days(730))));
    let shorter = LicenseEdit { term: Some(term("1m")), ..LicenseEdit::default() };
    assert_eq!(fixture.edit(license.id, shorter, days(400)).await.unwrap().status, Status::Expired);
    let refused = fixture.edit(license.id, to(Status::Active), days(400)).await;
    assert_eq!(refused, Err(LicenseRefusal::Status { from: Status::Expired, to: Status::Active }));
}

#[tokio::test]
async fn an_edit_that_changes_nothing_makes_no_revision() {
    let fixture = Fixture::new().await;
    let (license, _) = fixture.issued("L1").await;
    let same = LicenseEdit { name: Some(" L1 ".into()), status: Some(Status::Inactive), ..LicenseEdit::default() };
    assert_eq!(fixture.edit(license.id, same, NOW).await.unwrap().revision, 1);
    let quota = LicenseEdit { monitors: Some(Some(5)), ..LicenseEdit::default() };
    assert_eq!(fixture.edit(license.id, quota, NOW).await.unwrap().revision, 2);
    let history = fixture.store.license_history(Scope::default(), LicenseSelector::Number(license.id)).await.unwrap();
    assert_eq!(history.iter().map(|one| (one.revision, one.changes.len())).collect::<Vec<_>>(), [(2, 1), (1, 0)]);
    assert_eq!((history[0].changes[0].field.as_str(), history[0].by.as_str()), ("limits", "tester"));
}

#[tokio::test]
async fn what_the_rules_forbid_is_refused_and_leaves_no_trace() {
    let fixture = Fixture::new().await;
    let active = fixture.activated("L1", false).await;
    let (other, _) = fixture.issued("L2").await;
    let renamed = LicenseEdit { name: Some("L1".into()), ..LicenseEdit::default() };
    assert_eq!(fixture.edit(other.id, renamed, NOW).await, Err(LicenseRefusal::NameTaken("L1".into())));
    assert_eq!(fixture.edit(other.id, to(Status::Active), NOW).await, Err(LicenseRefusal::AnotherActive("L1".into())));
    let back = LicenseRefusal::Status { from: Status::Active, to: Status::Inactive };
    assert_eq!(fixture.edit(active.id, to(Status::Inactive), NOW).await, Err(back));
    let moved = LicenseEdit { app: Some("CBM".into()), ..LicenseEdit::default() };
    assert_eq!(fixture.edit(active.id, moved.clone(), NOW).await, Err(LicenseRefusal::Bound));
    assert_eq!(fixture.edit(other.id, moved, NOW).await.unwrap().app, "CBM");
    fixture.edit(active.id, to(Status::Invalid), NOW).await.unwrap();
    for status in [Status::Inactive, Status::Active, Status::Expired, Status::Deactivated] {
        assert_eq!(fixture.edit(active.id, to(status), NOW).await, Err(LicenseRefusal::InvalidIsFinal));
    }
    assert_eq!(fixture.edit(active.id, to(Status::Invalid), NOW).await.unwrap().revision, 3);
    assert_eq!(fixture.row(active.id).await.revision, 3);
}

#[tokio::test]
async fn a_license_that_moves_before_its_activation_is_recognised_at_its_new_site() {
    let fixture = Fixture::new().await;
    let (license, key) = fixture.issued("L1").await;
    let plant = fixture.store.show_site(fixture.site).await.unwrap().plant;
    let there = fixture.store.add_site(&act(), "Line 2", plant).await.unwrap().id;
    let edit = LicenseEdit { site: Some(there), plant: Some(plant), ..LicenseEdit::default() };
    assert_eq!(fixture.edit(license.id, edit, NOW).await.unwrap().site, Some(there));
    assert!(fixture.store.snapshot_of(fixture.site).await.unwrap().licenses.is_empty());
    assert!(fixture.store.snapshot_of(there).await.unwrap().licenses[0].key.matches(there, &key));
    let nowhere =
        LicenseEdit { plant: Some(sitewarden_protocol::id::PlantId::from_bytes([9; 16])), ..Default::default() };
    assert_eq!(fixture.edit(license.id, nowhere, NOW).await, Err(LicenseRefusal::Place));
}

#[tokio::test]
async fn one_given_up_before_its_activation_begins_when_it_is_taken_up() {
    let fixture = Fixture::new().await;
    let (license, _) = fixture.issued("L1").await;
    fixture.edit(license.id, to(Status::Deactivated), NOW).await.unwrap();
    let taken_up = fixture.edit(license.id, to(Status::Active), days(1)).await.unwrap();
    assert_eq!((taken_up.activated_at, taken_up.expires_at), (Some(days(1)), Some(days(366))));
}

#[tokio::test]
async fn a_trial_has_an_end() {
    let fixture = Fixture::new().await;
    let mut trial = fixture.license("T");
    (trial.kind, trial.term) = (Kind::Trial, Term::Endless);
    let refused = fixture.store.issue_license(&act(), trial.clone()).await;
    assert!(matches!(refused, Err(Error::Invalid { what: "term", .. })), "{refused:?}");
    trial.term = term("30d");
    let license = fixture.store.issue_license(&act(), trial).await.unwrap().license;
    let sold = LicenseEdit { kind: Some(Kind::Subscription), term: Some(term("1y")), ..LicenseEdit::default() };
    assert_eq!(fixture.edit(license.id, sold, NOW).await.unwrap().kind, Kind::Subscription);
}

const FLAGS: &str = "SELECT count(*) FROM red_flags WHERE kind = 'activation'";

#[tokio::test]
async fn of_two_activations_of_one_app_the_later_one_is_in_force_and_it_is_flagged() {
    for (offline, expected) in
        [(days(1), [Status::Active, Status::Deactivated]), (days(3), [Status::Deactivated, Status::Active])]
    {
        let fixture = Fixture::new().await;
        let mut plant = fixture.agent(1).await;
        let ((at_hub, _), (at_plant, _)) = (fixture.issued("L1").await, fixture.issued("L2").await);
        fixture.edit(at_hub.id, to(Status::Active), days(2)).await.unwrap();
        fixture.hears(&mut plant, at_plant.uuid, None, [offline, days(4)]).await;
        let now = [fixture.row(at_hub.id).await, fixture.row(at_plant.id).await];
        assert_eq!(now.each_ref().map(|row| row.status), expected);
        assert_eq!(now[1].activated_at, Some(offline));
        assert_eq!(fixture.number(FLAGS).await, 1);
    }
}

#[tokio::test]
async fn what_the_hub_withdrew_meanwhile_stays_withdrawn() {
    for status in [Status::Invalid, Status::Deactivated] {
        let fixture = Fixture::new().await;
        let mut plant = fixture.agent(1).await;
        let old = fixture.activated("L1", false).await;
        let (new, _) = fixture.issued("L2").await;
        fixture.edit(new.id, to(status), days(2)).await.unwrap();
        fixture.hears(&mut plant, new.uuid, Some(old.uuid), [days(1), days(3)]).await;
        assert_eq!(fixture.row(new.id).await.status, status);
        assert_eq!(fixture.row(old.id).await.status, Status::Active);
        assert_eq!(fixture.number(FLAGS).await, 1);
    }
}

#[tokio::test]
async fn both_said_yes_and_the_earlier_moment_counts() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    let (license, _) = fixture.issued("L1").await;
    fixture.edit(license.id, to(Status::Active), days(2)).await.unwrap();
    for _ in 0..2 {
        fixture.hears(&mut plant, license.uuid, None, [days(1), days(3)]).await;
        let row = fixture.row(license.id).await;
        assert_eq!((row.activated_at, row.expires_at, row.revision), (Some(days(1)), Some(days(366)), 3));
    }
    assert_eq!(fixture.number(FLAGS).await, 0);
}

#[tokio::test]
async fn an_activation_heard_of_after_its_end_is_expired() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    let old = fixture.activated("L1", false).await;
    let (license, _) = fixture.issued("L2").await;
    fixture.hears(&mut plant, license.uuid, Some(old.uuid), [days(1), days(500)]).await;
    assert_eq!(fixture.row(license.id).await.status, Status::Expired);
    assert_eq!(fixture.number(FLAGS).await, 0);
}

/// One thing that somebody does.
#[derive(Debug, Clone)]
enum Step {
    Issue { app: u8 },
    Activate { which: usize, replace: bool },
    AtPlant { which: usize, replaces: Option<usize>, ago: u64 },
    Status { which: usize, status: Status },
    Term { which: usize, days: u64 },
    Revoke { which: usize },
    Days(u64),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop::sample::select(vec![
        Status::Inactive,
        Status::Active,
        Status::Expired,
        Status::Deactivated,
        Status::Invalid,
    ]);
    let which = 0..8_usize;
    prop_oneof![
        3 => (0..2_u8).prop_map(|app| Step::Issue { app }),
        4 => (which.clone(), any::<bool>()).prop_map(|(which, replace)| Step::Activate { which, replace }),
        4 => (which.clone(), prop::option::of(which.clone()), 0..40_u64)
            .prop_map(|(which, replaces, ago)| Step::AtPlant { which, replaces, ago }),
        4 => (which.clone(), status).prop_map(|(which, status)| Step::Status { which, status }),
        3 => (which.clone(), 1..90_u64).prop_map(|(which, days)| Step::Term { which, days }),
        1 => which.prop_map(|which| Step::Revoke { which }),
        2 => (1..40_u64).prop_map(Step::Days),
        1 => Just(Step::Expire),
    ]
}

/// What is known of a world in which steps are taken.
struct World {
    fixture: Fixture,
    plant: Plant,
    keys: Vec<(LicenseRow, String)>,
    day: u64,
    before: BTreeMap<i64, LicenseRow>,
    site_revision: u64,
}

impl World {
    async fn take(&mut self, step: Step) {
        let now = days(self.day);
        let known = self.keys.len().max(1);
        let pick = |which: usize| self.keys.get(which % known).cloned();
        match step {
            Step::Issue { app } => {
                let mut new = self.fixture.license(&format!("L{}", self.keys.len()));
                new.app = if app == 0 { "EMS".into() } else { "CBM".into() };
                new.term = term("30d");
                let issued = self.fixture.store.issue_license(&at(now), new).await.unwrap();
                self.keys.push((issued.license, issued.key));
            }
            Step::Activate { which, replace } => {
                let Some((_, key)) = pick(which) else { return };
                let _ = self.fixture.store.activate_license(&at(now), Scope::default(), &key, replace).await.unwrap();
            }
            Step::AtPlant { which, replaces, ago } => {
                let Some((license, _)) = pick(which) else { return };
                let replaces = replaces.and_then(pick).map(|(license, _)| license.uuid);
                let then = days(self.day.saturating_sub(ago));
                self.fixture.hears(&mut self.plant, license.uuid, replaces, [then, now]).await;
            }
            Step::Status { which, status } => self.edit(pick(which), to(status)).await,
            Step::Term { which, days } => {
                let edit = LicenseEdit { term: Some(term(&format!("{days}d"))), ..LicenseEdit::default() };
                self.edit(pick(which), edit).await;
            }
            Step::Revoke { which } => self.edit(pick(which), to(Status::Invalid)).await,
            Step::Days(count) => self.day += count,
            Step::Expire => drop(self.fixture.store.expire_licenses(now).await.unwrap()),
        }
    }

    async fn edit(&self, which: Option<(LicenseRow, String)>, edit: LicenseEdit) {
        // A refusal is fine; what must hold is looked at after each step.
        if let Some((license, _)) = which {
            let _ = self.fixture.edit(license.id, edit, days(self.day)).await;
        }
    }

    async fn check(&mut self) {
        let rows = self.fixture.store.license_page(LicenseFilter::default(), 0, 500).await.unwrap().licenses;
        let rows: Vec<_> = rows.into_iter().map(|listed| listed.issued.license).collect();
        let site_revision = self.fixture.store.snapshot_of(self.fixture.site).await.unwrap().revision;
        let mut active = BTreeMap::new();
        let mut changed = false;
        for row in &rows {
            if row.status == Status::Active {
                assert_eq!(active.insert((row.site, row.app.clone()), row.id), None, "two Active: {rows:#?}");
                assert!(row.activated_at.is_some());
            }
            let Some(before) = self.before.get(&row.id) else { continue };
            assert!(before.status != Status::Invalid || row.status == Status::Invalid, "Invalid is final");
            assert!(row.revision >= before.revision);
            assert_eq!(row.revision == before.revision, row == before, "a change is a revision");
            changed |= row != before;
        }
        assert!(site_revision >= self.site_revision + u64::from(changed), "the site is told");
        self.site_revision = site_revision;
        self.before = rows.into_iter().map(|row| (row.id, row)).collect();
        let missing =
            "SELECT (SELECT coalesce(sum(revision), 0) FROM licenses) - (SELECT count(*) FROM license_revisions)";
        assert_eq!(self.fixture.number(missing).await, 0, "every revision is kept");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_the_licenses_stay_in_order(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new().await;
            let plant = fixture.agent(1).await;
            let (keys, before) = (Vec::new(), BTreeMap::new());
            let mut world = World { fixture, plant, keys, day: 0, before, site_revision: 0 };
            for step in steps {
                world.take(step).await;
                world.check().await;
            }
            assert_eq!(world.fixture.store.broken_audit_row().await.unwrap(), None);
        });
    }
}
