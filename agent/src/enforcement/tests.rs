//! Enforcement over a real journal.

mod overages;
pub(crate) mod seats;

use super::*;
use crate::clock::{self, Clock, Machine};
use crate::credentials::Credentials;
use crate::journal::{Counters, Settings};
use sitewarden_protocol::id::{AgentId, LicenseId, PlantId, SiteId};
use sitewarden_protocol::license::{KeyDigest, Kind, Limits, Policy, Status, Term};
use sitewarden_protocol::message::NEWEST_VERSION;
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::snapshot::{Snapshot, Trust, Version};
use sitewarden_protocol::time::UnixMillis;
use tempfile::TempDir;

pub(crate) const SITE: SiteId = SiteId::from_bytes([1; 16]);

fn hub() -> PrivateKey {
    PrivateKey::from_seed(&[9; 32])
}

fn snapshot(revision: u64, quota: u32) -> snapshot::Signed {
    sold(revision, Limits { monitors: Some(quota), ..Limits::default() })
}

fn sold(revision: u64, limits: Limits) -> snapshot::Signed {
    sign(&plain(revision, limits))
}

pub(crate) fn sign(snapshot: &Snapshot) -> snapshot::Signed {
    snapshot::Signed::make(snapshot, NEWEST_VERSION, &hub())
}

/// With one licence, L1 for EMS; its key is `the key`.
pub(crate) fn plain(revision: u64, limits: Limits) -> Snapshot {
    let license = License {
        id: LicenseId::from_bytes([2; 16]),
        name: "L1".into(),
        description: String::new(),
        app: "EMS".into(),
        kind: Kind::Subscription,
        term: Term::Validity("1y".parse().unwrap()),
        limits,
        features: vec![],
        policy: Policy::default(),
        status: Status::Inactive,
        activated_at: None,
        expires_at: None,
        created_at: UnixMillis(1),
        key: KeyDigest::of(SITE, "the key"),
        key_hint: String::new(),
        revision: 1,
    };
    Snapshot {
        site: SITE,
        site_name: "Site".into(),
        plant: PlantId::from_bytes([3; 16]),
        plant_name: "Plant".into(),
        customer: 1,
        customer_name: "Customer".into(),
        version: Version { revision, issued_at: UnixMillis(1) },
        fresh_until: UnixMillis(i64::MAX),
        licenses: vec![license],
        trust: Trust { authorities: vec![], signing_keys: vec![hub().public()] },
        override_days: 7,
        administrators: vec![],
        api_keys: vec![],
        sealing_key: None,
        certificate: vec![],
    }
}

pub(crate) struct Running {
    pub(crate) enforcement: Enforcement,
    pub(crate) journal: Journal,
    pub(crate) clock: Clock,
    task: tokio::task::JoinHandle<()>,
}

fn prepare(quota: u32) -> (TempDir, Folder) {
    prepare_with(&snapshot(1, quota))
}

pub(crate) fn prepare_with(snapshot: &snapshot::Signed) -> (TempDir, Folder) {
    let temporary = TempDir::new().unwrap();
    let folder = Folder::at(temporary.path());
    folder.make("state").unwrap();
    secret_file::write(&folder.state("snapshot.bin"), &codec::encode(snapshot)).unwrap();
    (temporary, folder)
}

fn start(folder: &Folder) -> Running {
    start_with(folder, Settings { quota: 1 << 40, reserve: 0 }, Box::new(Machine::new()))
}

/// With a journal that takes nothing.
fn start_full(folder: &Folder) -> Running {
    start_with(folder, Settings { quota: 1, reserve: 0 }, Box::new(Machine::new()))
}

fn start_with(folder: &Folder, settings: Settings, source: Box<dyn clock::Source>) -> Running {
    let acknowledged = remembered_acknowledgement(folder).unwrap();
    let agent = AgentId::from_bytes([4; 16]);
    let journal =
        Journal::open(&folder.journal(), agent, settings, acknowledged, Arc::new(Counters::default()), clock::wall())
            .unwrap();
    let trusted = vec![hub().public()];
    let snapshot = stored_snapshot(folder, &trusted).unwrap();
    let clock = Clock::start(folder, clock::wall(), Default::default(), source).unwrap();
    let anonymity = Arc::new(Anonymity::load(folder, Arc::default()).unwrap());
    // Names are compared below with what is read back.
    anonymity.switches().set_anonymize(false);
    let recorder = (journal.clone(), anonymity);
    let (enforcement, task) =
        Enforcement::start(folder, recorder, clock.clone(), snapshot, Credentials::believing(trusted)).unwrap();
    Running { enforcement, journal, clock, task }
}

/// Ends the process's part in it. Without a checkpoint, as after SIGKILL, unless it is asked for.
async fn stop(folder: &Folder, running: Running, checkpoint: bool) {
    let Running { enforcement, journal, task, .. } = running;
    if checkpoint {
        drop(enforcement);
        task.await.unwrap();
    } else {
        task.abort();
        drop(task.await);
        drop(enforcement);
    }
    drop(journal);
    let file = std::fs::read_dir(folder.journal())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap()
        .join("db");
    let file = std::fs::File::open(file).unwrap();
    while file.try_lock().is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_callers_never_pass_the_quota_and_yes_is_not_forgotten() {
    let (_temporary, folder) = prepare(100);
    let running = start(&folder);
    running.enforcement.activate("the key".into(), false, "operator".into()).await.unwrap();
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let enforcement = running.enforcement.clone();
            tokio::spawn(async move {
                let mut granted = 0;
                for number in 0..10 {
                    granted += u32::from(enforcement.reserve("EMS".into(), format!("{caller}-{number}")).await.is_ok());
                }
                granted
            })
        })
        .collect();
    let mut granted = 0;
    for caller in callers {
        granted += caller.await.unwrap();
    }
    assert_eq!(granted, 100);
    stop(&folder, running, false).await;
    let running = start(&folder);
    assert_eq!(running.enforcement.state().used("EMS").in_use, 100);
    assert_eq!(running.enforcement.monitors("EMS".into()).await.unwrap().len(), 100);
    assert!(matches!(
        running.enforcement.reserve("EMS".into(), "one more".into()).await,
        Err(ReserveError::Denied(Denied::Quota(_)))
    ));
}

#[tokio::test]
async fn the_state_is_the_same_from_a_checkpoint_from_records_and_from_both() {
    let (_temporary, folder) = prepare(10);
    let running = start(&folder);
    running.enforcement.activate("the key".into(), false, "operator".into()).await.unwrap();
    running.enforcement.reserve("EMS".into(), "a".into()).await.unwrap();
    stop(&folder, running, true).await;
    let running = start(&folder);
    running.enforcement.reserve("EMS".into(), "b".into()).await.unwrap();
    assert!(running.enforcement.release("EMS".into(), "a".into()).await.unwrap());
    assert!(!running.enforcement.release("EMS".into(), "a".into()).await.unwrap());
    stop(&folder, running, false).await;
    let running = start(&folder);
    assert_eq!(running.enforcement.monitors("EMS".into()).await.unwrap(), ["b"]);
    assert!(running.enforcement.state().access("EMS", clock::wall()).is_ok());
}

#[tokio::test]
async fn only_newer_snapshots_of_this_hub_and_site_are_taken() {
    let (_temporary, folder) = prepare(10);
    let running = start(&folder);
    let enforcement = &running.enforcement;
    assert!(enforcement.install(snapshot(2, 20)).await.unwrap());
    assert!(!enforcement.install(snapshot(2, 20)).await.unwrap());
    assert!(matches!(enforcement.install(snapshot(1, 10)).await, Err(InstallError::Older { .. })));
    let mut forged = snapshot(3, 1_000);
    forged.signature =
        PrivateKey::from_seed(&[8; 32]).sign(sitewarden_protocol::signing::Purpose::Snapshot, &forged.bytes);
    assert!(matches!(enforcement.install(forged).await, Err(InstallError::Unacceptable(_))));
    stop(&folder, running, false).await;
    assert_eq!(start(&folder).enforcement.state().snapshot.version.revision, 2);
}

#[tokio::test]
async fn nothing_is_granted_before_activation_and_nothing_unknown_activates() {
    let (_temporary, folder) = prepare(10);
    let running = start(&folder);
    let denied = running.enforcement.reserve("EMS".into(), "a".into()).await;
    assert!(matches!(denied, Err(ReserveError::Denied(Denied::Access(_)))), "{denied:?}");
    let wrong = running.enforcement.activate("another key".into(), false, "operator".into()).await;
    assert!(matches!(wrong, Err(ActivateError::Refused(_))), "{wrong:?}");
    let license = running.enforcement.activate("the key".into(), false, "operator".into()).await.unwrap();
    assert_eq!(license.status, Status::Active);
    assert_eq!(
        running.enforcement.reserve("EMS".into(), "a".into()).await.unwrap(),
        Reserved { before: false, in_use: 1, quota: Some(10) }
    );
    assert!(running.enforcement.reserve("EMS".into(), "a".into()).await.unwrap().before);
}

#[tokio::test]
async fn several_monitors_are_reserved_all_or_nothing_or_as_many_as_fit() {
    let (_temporary, folder) = prepare(3);
    let running = start(&folder);
    running.enforcement.activate("the key".into(), false, "operator".into()).await.unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let ask = |monitors, all| running.enforcement.reserve_some("EMS".into(), monitors, all);
    assert!(matches!(ask(names(&["a", "b", "c", "d"]), true).await, Err(ReserveError::Denied(Denied::Quota(_)))));
    assert!(running.enforcement.monitors("EMS".into()).await.unwrap().is_empty());
    assert_eq!(ask(names(&["a", "b"]), true).await.unwrap().in_use, 2);
    let some = ask(names(&["b", "c", "d", "e"]), false).await.unwrap();
    assert_eq!((some.reserved, some.refused, some.in_use), (names(&["b", "c"]), names(&["d", "e"]), 3));
    stop(&folder, running, false).await;
    assert_eq!(start(&folder).enforcement.monitors("EMS".into()).await.unwrap(), names(&["a", "b", "c"]));
}

#[tokio::test]
async fn what_the_hub_has_is_remembered_over_restarts_without_a_hub() {
    let (_temporary, folder) = prepare(3);
    let running = start(&folder);
    let head = *running.journal.head().borrow();
    running.enforcement.acknowledged(head).await;
    stop(&folder, running, true).await;
    for _ in 0..2 {
        assert_eq!(remembered_acknowledgement(&folder).unwrap(), head);
        let running = start(&folder);
        running.enforcement.activate("the key".into(), true, "operator".into()).await.ok();
        stop(&folder, running, true).await;
    }
}

#[tokio::test]
async fn an_override_that_a_full_journal_does_not_take_has_not_begun_and_used_up_no_day() {
    let (_temporary, folder) = prepare(1);
    let running = start_full(&folder);
    let refused = running.enforcement.begin_override(2, "why".into(), "operator".into()).await;
    assert!(matches!(refused, Err(OverrideError::Journal(AppendError::Full(_)))), "{refused:?}");
    let now = clock::wall();
    assert_eq!(running.enforcement.state().reliefs.until(now, 7), None);
    stop(&folder, running, true).await;
    let running = start(&folder);
    assert_eq!(running.enforcement.state().reliefs.days_left(7, now), 7);
    assert!(running.enforcement.begin_override(7, "why".into(), "operator".into()).await.is_ok());
}

#[tokio::test]
async fn the_beginning_of_an_overage_outlasts_a_release_that_a_full_journal_does_not_take() {
    let (_temporary, folder) = prepare(2);
    let running = start(&folder);
    running.enforcement.activate("the key".into(), false, "operator".into()).await.unwrap();
    for monitor in ["a", "b"] {
        running.enforcement.reserve("EMS".into(), monitor.into()).await.unwrap();
    }
    running.enforcement.install(snapshot(2, 1)).await.unwrap();
    // The overage is noted after the snapshot's answer; an answer to what comes after says that it is.
    running.enforcement.monitors("EMS".into()).await.unwrap();
    stop(&folder, running, false).await;
    let running = start_full(&folder);
    let over = running.enforcement.state().used("EMS");
    assert!(over.over_since.is_some());
    let refused = running.enforcement.release("EMS".into(), "a".into()).await;
    assert!(matches!(refused, Err(AppendError::Full(_))), "{refused:?}");
    // A change that nobody needs written is answered; and the state behind it is what it was.
    assert!(running.enforcement.reserve("EMS".into(), "a".into()).await.unwrap().before);
    assert_eq!(running.enforcement.state().used("EMS"), over);
    stop(&folder, running, false).await;
    let running = start(&folder);
    assert_eq!(running.enforcement.state().used("EMS"), over);
    assert!(running.enforcement.release("EMS".into(), "a".into()).await.unwrap());
    assert_eq!(running.enforcement.state().used("EMS").over_since, None);
}

#[tokio::test]
async fn an_overage_that_a_full_journal_does_not_take_refuses_nothing_that_runs() {
    let (_temporary, folder) = prepare(2);
    let running = start(&folder);
    running.enforcement.activate("the key".into(), false, "operator".into()).await.unwrap();
    for monitor in ["a", "b"] {
        running.enforcement.reserve("EMS".into(), monitor.into()).await.unwrap();
    }
    stop(&folder, running, false).await;
    let running = start_full(&folder);
    assert!(running.enforcement.install(snapshot(2, 1)).await.unwrap());
    assert!(running.enforcement.reserve("EMS".into(), "a".into()).await.unwrap().before);
    let state = running.enforcement.state();
    assert_eq!((state.used("EMS").in_use, state.used("EMS").over_since), (2, None));
    assert!(state.access("EMS", clock::wall()).is_ok());
    stop(&folder, running, true).await;
    let running = start(&folder);
    running.enforcement.reserve("EMS".into(), "a".into()).await.unwrap();
    assert!(running.enforcement.state().used("EMS").over_since.is_some(), "it is told when there is room again");
}
