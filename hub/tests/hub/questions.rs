//! What agents ask in a session, and what they tell that the vendor has to look at.

use crate::support::{Agent, Line, PATIENCE, TestHub, act, now};
use sitewarden_hub::store::{Holder, Issued, LicenseEdit, LicenseSelector, NewLicense, Scope, SiteEdit};
use sitewarden_protocol::hub_time;
use sitewarden_protocol::id::SiteId;
use sitewarden_protocol::license::{ActivationError, Kind, Limits, Policy, Rule, Rung, Status, Term, Verdict};
use sitewarden_protocol::message::{Activate, Activated, ActivationOutcome, Hello, ToAgent, ToHub};
use sitewarden_protocol::record::{Body, FingerprintChange, Override};
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::trusted_time::{Cause, Change};
use tokio::time::timeout;

fn license(site: SiteId, name: &str, quota: u32) -> NewLicense {
    NewLicense {
        holder: Holder::Site(site),
        app: "EMS".to_owned(),
        name: name.to_owned(),
        kind: Kind::Subscription,
        term: Term::Validity("1y".parse().unwrap()),
        limits: Limits { monitors: Some(quota), ..Limits::default() },
        features: vec![],
        policy: Policy::default(),
        thresholds: vec![],
        description: String::new(),
    }
}

async fn issue(hub: &TestHub, site: SiteId, name: &str, quota: u32) -> Issued {
    hub.hub.store().issue_license(&act(), license(site, name, quota)).await.unwrap()
}

/// Types a key, and waits for the answer; snapshots that are pushed meanwhile are passed over.
async fn type_key(line: &mut Line, key: &str, replace: bool, in_use: u32) -> Activated {
    let in_use = vec![("EMS".to_owned(), in_use)];
    let ask = Activate { question: 7, key: key.to_owned(), replace, by: "ems-operator".to_owned(), in_use };
    line.send(ToHub::Activate(ask)).await;
    loop {
        match line.receive().await.expect("an answer") {
            ToAgent::Activated(activated) => return activated,
            ToAgent::Snapshot(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_key_is_activated_in_one_round_trip_and_the_snapshot_comes_with_the_answer() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let agent = hub.agent_at(site).await;
    let issued = issue(&hub, site, "L1", 10).await;
    let (mut line, _) = agent.session(&hub).await;
    let answer = type_key(&mut line, &issued.key, false, 0).await;
    assert_eq!((answer.question, answer.outcome), (7, ActivationOutcome::Activated(issued.license.uuid)));
    let snapshot = answer.snapshot.expect("it comes with the answer").read().unwrap();
    assert_eq!((snapshot.licenses[0].status, snapshot.override_days), (Status::Active, 7));
    assert!(snapshot.licenses[0].key_hint.ends_with(&issued.key[28..]));
    let stored = hub.hub.store().show_license(LicenseSelector::Uuid(issued.license.uuid)).await.unwrap();
    assert_eq!(stored.status, Status::Active);
    // The same key again is what it is at the plant too.
    let again = type_key(&mut line, &issued.key, false, 0).await;
    assert_eq!(again.outcome, ActivationOutcome::Refused(ActivationError::Spent));
}

#[tokio::test]
async fn a_key_is_refused_for_the_reasons_that_a_plant_has() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let store = hub.hub.store();
    let other = store.add_customer(&act(), "Other", None).await.unwrap();
    let plant = store.add_plant(&act(), "Plant", other.id).await.unwrap();
    let elsewhere = store.add_site(&act(), "Site", plant.id).await.unwrap().id;
    let agent = hub.agent_at(site).await;
    let (first, second) = (issue(&hub, site, "L1", 10).await, issue(&hub, site, "L2", 10).await);
    let foreign = issue(&hub, elsewhere, "L1", 10).await;
    let (mut line, _) = agent.session(&hub).await;
    let refused = |outcome| match outcome {
        ActivationOutcome::Refused(refused) => refused,
        other => panic!("{other:?}"),
    };
    for key in ["no such key", &foreign.key] {
        assert_eq!(refused(type_key(&mut line, key, false, 0).await.outcome), ActivationError::Unknown);
    }
    let too_many = refused(type_key(&mut line, &first.key, false, 11).await.outcome);
    assert_eq!(too_many, ActivationError::QuotaTooSmall { in_use: 11, permitted: 10 });
    type_key(&mut line, &first.key, false, 3).await;
    let asked = refused(type_key(&mut line, &second.key, false, 3).await.outcome);
    assert!(matches!(asked, ActivationError::Occupied { current, new } if current.name == "L1" && new.name == "L2"));
    let replaced = type_key(&mut line, &second.key, true, 3).await;
    assert_eq!(replaced.outcome, ActivationOutcome::Activated(second.license.uuid));
    let old = hub.hub.store().show_license(LicenseSelector::Uuid(first.license.uuid)).await.unwrap();
    assert_eq!(old.status, Status::Deactivated);
}

#[tokio::test]
async fn what_runs_stays_in_force_until_the_next_term_begins() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let agent = hub.agent_at(site).await;
    let running = issue(&hub, site, "L1", 10).await;
    let from = UnixMillis(now().0 + 86_400_000);
    let term = Term::Dates { from, until: UnixMillis(from.0 + 86_400_000) };
    let next = NewLicense { term, ..license(site, "L2", 10) };
    let store = hub.hub.store();
    let next = store.issue_license(&act(), next).await.unwrap();
    let (mut line, _) = agent.session(&hub).await;
    type_key(&mut line, &running.key, false, 0).await;
    let refused = type_key(&mut line, &next.key, true, 0).await.outcome;
    let told = ActivationError::NotBegun { app: "EMS".to_owned(), current: "L1".to_owned(), from };
    assert_eq!(refused, ActivationOutcome::Refused(told));
    for (issued, status) in [(running, Status::Active), (next, Status::Inactive)] {
        let stored = store.show_license(LicenseSelector::Uuid(issued.license.uuid)).await.unwrap();
        assert_eq!(stored.status, status, "{}", stored.name);
    }
}

#[tokio::test]
async fn a_refusal_brings_what_the_site_has_not_heard_of() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let agent = hub.agent_at(site).await;
    let until = UnixMillis(now().0 + 500);
    let new =
        NewLicense { term: Term::Dates { from: UnixMillis(until.0 - 86_400_000), until }, ..license(site, "L1", 10) };
    let issued = hub.hub.store().issue_license(&act(), new).await.unwrap();
    let (mut line, _) = agent.session(&hub).await;
    assert!(type_key(&mut line, &issued.key, false, 0).await.snapshot.is_some());
    let expired = async {
        loop {
            let answer = type_key(&mut line, &issued.key, false, 0).await;
            assert_eq!(answer.outcome, ActivationOutcome::Refused(ActivationError::Spent));
            if let Some(snapshot) = answer.snapshot {
                return snapshot.read().unwrap();
            }
        }
    };
    let snapshot = timeout(PATIENCE, expired).await.expect("the question itself has it expire");
    assert_eq!(snapshot.licenses[0].status, Status::Expired);
}

#[tokio::test]
async fn a_store_that_does_not_answer_costs_the_answer_and_not_the_session() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let agent = hub.agent_at(site).await;
    let issued = issue(&hub, site, "L1", 10).await;
    let (mut line, _) = agent.session(&hub).await;
    // As a backup tool may that holds on to the database.
    let other = rusqlite::Connection::open(hub.data_dir.join("hub.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = type_key(&mut line, &issued.key, false, 0).await;
    assert_eq!((answer.outcome, answer.snapshot), (ActivationOutcome::Unavailable, None));
    other.execute_batch("ROLLBACK").unwrap();
    let nonce: hub_time::Nonce = [5; 16];
    line.send(ToHub::AskTime(nonce)).await;
    while !matches!(line.receive().await.expect("the session goes on"), ToAgent::Time(_)) {}
}

#[tokio::test]
async fn an_agent_of_version_1_gets_the_layout_that_it_reads() {
    let hub = TestHub::start().await;
    let agent = hub.agent().await;
    let mut line = agent.connect(&hub).await;
    line.send(ToHub::Hello(Hello { newest_version: 1, ..agent.hello() })).await;
    let Some(ToAgent::Welcome(welcome)) = line.receive().await else { panic!("no welcome") };
    assert_eq!(welcome.version, 1);
    let Some(ToAgent::Snapshot(snapshot)) = line.receive().await else { panic!("no snapshot") };
    assert_eq!(snapshot.format, 1);
    snapshot.verify(&agent.trust.signing_keys).unwrap();
}

#[tokio::test]
async fn the_hub_signs_its_time_over_the_question() {
    let hub = TestHub::start().await;
    let agent = hub.agent().await;
    let (mut line, snapshot) = agent.session(&hub).await;
    let before = now();
    let nonce: hub_time::Nonce = [5; 16];
    line.send(ToHub::AskTime(nonce)).await;
    let Some(ToAgent::Time(signed)) = line.receive().await else { panic!("no time") };
    let at = signed.verify(&snapshot.trust.signing_keys, agent.id, &nonce).unwrap();
    assert!(before <= at && at <= now(), "{at}");
}

async fn told(hub: &TestHub, agent: &mut Agent, bodies: &[Body]) -> Vec<String> {
    let batch = agent.batch_of(bodies);
    let (mut line, _) = agent.session(hub).await;
    line.send(ToHub::Batch(batch)).await;
    agent.receipt(&mut line).await;
    let flags = hub.hub.store().list_flags(Scope::default(), true, None, None, 100).await.unwrap();
    flags.into_iter().rev().map(|flag| flag.kind).collect()
}

#[tokio::test]
async fn clocks_machines_and_overrides_are_flagged_and_the_machine_is_compared_here() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let clock = |cause| Body::Clock(Change { wall: UnixMillis(0), before: now(), after: now(), cause });
    let machine = |kind: &str| {
        let parts = vec![(kind.to_owned(), [9; 32])];
        // The agent's own word that all is well counts for nothing.
        Body::Fingerprint(FingerprintChange { same_machine: true, matched: 1, of: 1, changed: vec![], parts })
    };
    let until = UnixMillis(now().0 + 86_400_000);
    let begun = Override { days: 1, until, reason: "the line is cut".to_owned(), by: "operator".to_owned() };
    let flags = told(
        &hub,
        &mut agent,
        &[clock(Cause::SteppedForward), clock(Cause::SteppedBack), machine("machine_id"), Body::Override(begun)],
    )
    .await;
    assert_eq!(flags, ["clock", "fingerprint", "override"]);
    let all = hub.hub.store().list_flags(Scope::default(), true, None, None, 100).await.unwrap();
    let of_machine = all.iter().find(|flag| flag.kind == "fingerprint").unwrap();
    assert_eq!(of_machine.details["same_machine"], false);
}

#[tokio::test]
async fn access_is_explained_with_the_date_on_which_it_ends() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let agent = hub.agent_at(site).await;
    let issued = issue(&hub, site, "L1", 10).await;
    let (mut line, _) = agent.session(&hub).await;
    type_key(&mut line, &issued.key, false, 0).await;
    let store = hub.hub.store();
    let mut edit = LicenseEdit::default();
    edit.policy.expiry = Some(Rule { grace_days: 10, then: Rung::Block });
    let edited = store.edit_license(&act(), LicenseSelector::Uuid(issued.license.uuid), edit).await.unwrap().unwrap();
    let told = store.explain(Scope::default(), site, "EMS".to_owned(), now(), 30).await.unwrap();
    assert_eq!((told.verdict, told.license.as_deref()), (Verdict::Allowed, Some("L1")));
    let end = edited.expires_at.unwrap();
    let verdicts: Vec<_> = told.changes.iter().map(|change| (change.at, change.verdict)).collect();
    assert_eq!(verdicts, [(end, Verdict::Warned), (UnixMillis(end.0 + 10 * 86_400_000), Verdict::Denied)]);
    let none = store.explain(Scope::default(), site, "CBM".to_owned(), now(), 30).await.unwrap();
    assert_eq!(none.verdict, Verdict::Denied);
}

#[tokio::test]
async fn a_site_may_have_its_own_bounds_and_its_agent_is_told_at_once() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let agent = hub.agent_at(site).await;
    let (mut line, before) = agent.session(&hub).await;
    assert_eq!(before.override_days, 7);
    let edit = SiteEdit { fresh_days: Some(Some(400)), override_days: Some(Some(0)), ..SiteEdit::default() };
    hub.hub.store().edit_site(&act(), site, edit).await.unwrap();
    let after = agent.snapshot(&mut line).await;
    assert_eq!((after.override_days, after.version.revision), (0, before.version.revision + 1));
    assert_eq!(after.fresh_until.since(after.version.issued_at).as_secs(), 400 * 86_400);
    let wrong = SiteEdit { fresh_days: Some(Some(0)), ..SiteEdit::default() };
    assert!(hub.hub.store().edit_site(&act(), site, wrong).await.is_err());
}
