//! Floating users over a real journal, with a clock that the test moves.

use super::*;
use sitewarden_protocol::fingerprint::digest;
use sitewarden_protocol::id::ActivationId;
use sitewarden_protocol::license::seats::{LAPSE, Refusal};
use sitewarden_protocol::record::{Body, SessionEnd, SessionEnded};
use sitewarden_protocol::trusted_time::Reading;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const KEY: &str = "the key";

/// A machine's clocks that go only when the test says so.
#[derive(Clone)]
pub(crate) struct Hand(Arc<AtomicU64>, UnixMillis);

impl Hand {
    pub(crate) fn new() -> Self {
        Self(Arc::default(), clock::wall())
    }

    pub(crate) fn forward(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl clock::Source for Hand {
    fn uptime(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn read(&self) -> Reading {
        let uptime = clock::Source::uptime(self);
        Reading { wall: self.1.after(uptime), uptime, boot: [5; 16] }
    }
}

fn floating(users: u32, activations: u32) -> (TempDir, Folder) {
    prepare_with(&sold(1, Limits { monitors: None, users: Some(users), activations: Some(activations) }))
}

pub(crate) fn start_by(folder: &Folder, hand: &Hand) -> Running {
    start_with(folder, Settings { quota: 1 << 40, reserve: 0 }, Box::new(hand.clone()))
}

fn pc(number: u8) -> NewMachine {
    let part = |kind: &str| (kind.to_owned(), digest(kind, &number.to_string()));
    NewMachine {
        hardware: ["mac_address", "cpu_id", "system_uuid"].map(part).into(),
        name: format!("PC-{number}"),
        app_version: "1.0.0".into(),
    }
}

async fn machines(enforcement: &Enforcement, count: u8) -> Vec<ActivationId> {
    enforcement.activate(KEY.into(), false, "operator".into()).await.unwrap();
    let mut activations = Vec::new();
    for number in 1..=count {
        let activated = enforcement.activate_machine(KEY.into(), pc(number), [number; 10]).await;
        activations.push(activated.unwrap().0);
    }
    activations
}

fn heartbeat(activation: ActivationId, users: u32) -> Claim {
    Claim { activation, users, features: Some(vec![("feature1".into(), 150)]) }
}

fn validation(activation: ActivationId, users: u32) -> Claim {
    Claim { activation, users, features: None }
}

fn users(enforcement: &Enforcement, now: UnixMillis) -> u32 {
    let state = enforcement.state();
    state.users(state.licensed(KEY).unwrap(), now)
}

fn bodies(journal: &Journal) -> Vec<Body> {
    let draft = journal.read_after(Position::default()).unwrap().unwrap();
    draft.records.iter().map(|bytes| Record::decode(bytes).unwrap().decode_body().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_claims_never_pass_the_limit_and_neither_users_nor_activations_are_forgotten() {
    let (_temporary, folder) = floating(100, 20);
    let hand = Hand::new();
    let running = start_by(&folder, &hand);
    let activations = machines(&running.enforcement, 20).await;
    let claims: Vec<_> = activations
        .iter()
        .map(|activation| {
            let (enforcement, activation) = (running.enforcement.clone(), *activation);
            tokio::spawn(async move {
                let mut granted = 0;
                while enforcement.claim(KEY.into(), validation(activation, granted + 1)).await.is_ok() {
                    granted += 1;
                }
                granted
            })
        })
        .collect();
    let mut granted = 0;
    for claim in claims {
        granted += claim.await.unwrap();
    }
    assert_eq!(granted, 100);
    let before = Arc::clone(&running.enforcement.state().machines);
    assert_eq!(users(&running.enforcement, hand.1), 100);
    stop(&folder, running, false).await;
    let running = start_by(&folder, &hand);
    assert_eq!(running.enforcement.state().machines, before);
    assert_eq!(running.enforcement.activate_machine(KEY.into(), pc(7), [99; 10]).await.unwrap().0, activations[6]);
    let one_more = running.enforcement.claim(KEY.into(), validation(activations[0], 101)).await;
    assert!(matches!(one_more, Err(SeatError::Refused(Refusal::TooManyUsers { .. }))), "{one_more:?}");
    let full = running.enforcement.activate_machine(KEY.into(), pc(21), [21; 10]).await;
    assert!(matches!(full, Err(SeatError::Refused(Refusal::TooManyMachines { permitted: 20 }))), "{full:?}");
}

#[tokio::test]
async fn the_machines_are_the_same_from_a_checkpoint_from_records_and_from_both() {
    let (_temporary, folder) = floating(10, 3);
    let hand = Hand::new();
    let running = start_by(&folder, &hand);
    let ids = machines(&running.enforcement, 3).await;
    running.enforcement.claim(KEY.into(), heartbeat(ids[0], 4)).await.unwrap();
    stop(&folder, running, true).await;
    let running = start_by(&folder, &hand);
    running.enforcement.claim(KEY.into(), heartbeat(ids[1], 5)).await.unwrap();
    running.enforcement.release_users(ids[0], "operator".into()).await.unwrap();
    running.enforcement.deactivate_machine(Some(KEY.into()), ids[2], "System upgrade".into()).await.unwrap();
    let before = Arc::clone(&running.enforcement.state().machines);
    assert_eq!(before.iter().count(), 2);
    stop(&folder, running, false).await;
    let running = start_by(&folder, &hand);
    assert_eq!(running.enforcement.state().machines, before);
    let again = running.enforcement.deactivate_machine(Some(KEY.into()), ids[2], String::new()).await;
    assert_eq!(again, Err(Refusal::UnknownActivation.into()));
}

#[tokio::test]
async fn a_session_lapses_when_its_heartbeat_stops_and_frees_its_users() {
    let (_temporary, folder) = floating(10, 3);
    let hand = Hand::new();
    let running = start_by(&folder, &hand);
    let ids = machines(&running.enforcement, 2).await;
    running.enforcement.claim(KEY.into(), heartbeat(ids[0], 10)).await.unwrap();
    hand.forward(LAPSE - Duration::from_secs(1));
    assert!(running.enforcement.claim(KEY.into(), heartbeat(ids[1], 1)).await.is_err());
    hand.forward(Duration::from_secs(1));
    running.enforcement.claim(KEY.into(), heartbeat(ids[1], 1)).await.unwrap();
    let ended =
        |body: &Body| matches!(body, Body::SessionEnded(SessionEnded { users: 10, cause: SessionEnd::Lapsed, .. }));
    assert_eq!(bodies(&running.journal).iter().filter(|body| ended(body)).count(), 1);
    let late = running.enforcement.claim(KEY.into(), heartbeat(ids[0], 10)).await;
    assert_eq!(late, Err(Refusal::TooManyUsers { claimed: 10, others: 1, permitted: 10 }.into()));
    running.enforcement.claim(KEY.into(), heartbeat(ids[0], 9)).await.unwrap();
}

#[tokio::test]
async fn a_lapsed_session_is_a_record_also_when_nobody_claims() {
    let (_temporary, folder) = floating(10, 3);
    let hand = Hand::new();
    let running = start_by(&folder, &hand);
    let ids = machines(&running.enforcement, 1).await;
    running.enforcement.claim(KEY.into(), heartbeat(ids[0], 10)).await.unwrap();
    let mut head = running.journal.head();
    head.mark_unchanged();
    hand.forward(LAPSE);
    tokio::time::timeout(Duration::from_secs(60), head.changed()).await.unwrap().unwrap();
    let last = bodies(&running.journal).pop().unwrap();
    assert!(matches!(last, Body::SessionEnded(SessionEnded { cause: SessionEnd::Lapsed, .. })), "{last:?}");
}

#[tokio::test]
async fn silence_while_the_agent_was_off_ends_no_session() {
    let (_temporary, folder) = floating(10, 3);
    let hand = Hand::new();
    let running = start_by(&folder, &hand);
    let ids = machines(&running.enforcement, 2).await;
    running.enforcement.claim(KEY.into(), heartbeat(ids[0], 10)).await.unwrap();
    stop(&folder, running, false).await;
    hand.forward(LAPSE * 4);
    let running = start_by(&folder, &hand);
    assert!(running.enforcement.claim(KEY.into(), heartbeat(ids[1], 1)).await.is_err());
    hand.forward(LAPSE);
    running.enforcement.claim(KEY.into(), heartbeat(ids[1], 1)).await.unwrap();
}

#[tokio::test]
async fn what_changes_nothing_and_what_is_refused_writes_nothing() {
    let (_temporary, folder) = floating(10, 3);
    let hand = Hand::new();
    let running = start_by(&folder, &hand);
    let ids = machines(&running.enforcement, 1).await;
    running.enforcement.claim(KEY.into(), validation(ids[0], 5)).await.unwrap();
    let head = || *running.journal.head().borrow();
    let before = head();
    running.enforcement.claim(KEY.into(), validation(ids[0], 5)).await.unwrap();
    running.enforcement.activate_machine(KEY.into(), pc(1), [9; 10]).await.unwrap();
    assert_eq!(head(), before);
    for _ in 0..5 {
        assert!(running.enforcement.claim(KEY.into(), validation(ids[0], 11)).await.is_err());
    }
    assert_eq!(head(), before);
}

#[tokio::test]
async fn who_asks_for_too_much_keeps_what_it_has_and_its_heartbeat_counts() {
    let (_temporary, folder) = floating(10, 3);
    let hand = Hand::new();
    let running = start_by(&folder, &hand);
    let ids = machines(&running.enforcement, 1).await;
    running.enforcement.claim(KEY.into(), heartbeat(ids[0], 5)).await.unwrap();
    hand.forward(LAPSE / 2);
    assert!(running.enforcement.claim(KEY.into(), heartbeat(ids[0], 11)).await.is_err());
    hand.forward(LAPSE / 2);
    assert_eq!(users(&running.enforcement, hand.1.after(LAPSE)), 5);
}

#[tokio::test]
async fn released_users_are_free_at_once_and_their_machine_is_told() {
    let (_temporary, folder) = floating(10, 3);
    let running = start_by(&folder, &Hand::new());
    let ids = machines(&running.enforcement, 2).await;
    running.enforcement.claim(KEY.into(), heartbeat(ids[0], 10)).await.unwrap();
    assert_eq!(running.enforcement.release_users(ids[0], "operator".into()).await, Ok(10));
    assert_eq!(running.enforcement.release_users(ids[0], "operator".into()).await, Ok(0));
    running.enforcement.claim(KEY.into(), heartbeat(ids[1], 6)).await.unwrap();
    let told = running.enforcement.claim(KEY.into(), heartbeat(ids[0], 4)).await;
    assert_eq!(told, Err(Refusal::Released { by: "operator".into() }.into()));
    running.enforcement.claim(KEY.into(), heartbeat(ids[0], 4)).await.unwrap();
}

#[tokio::test]
async fn a_claim_that_could_not_be_made_durable_has_no_effect() {
    let (_temporary, folder) = floating(10, 3);
    let hand = Hand::new();
    let running = start_by(&folder, &hand);
    let ids = machines(&running.enforcement, 1).await;
    running.enforcement.claim(KEY.into(), heartbeat(ids[0], 3)).await.unwrap();
    stop(&folder, running, true).await;
    let full = Settings { quota: 1 << 40, reserve: u64::MAX };
    let running = start_with(&folder, full, Box::new(hand.clone()));
    for claim in [heartbeat(ids[0], 5), heartbeat(ids[0], 2)] {
        let refused = running.enforcement.claim(KEY.into(), claim).await;
        assert!(matches!(refused, Err(SeatError::Journal(AppendError::Full(_)))), "{refused:?}");
    }
    assert_eq!(users(&running.enforcement, hand.1), 3);
    running.enforcement.claim(KEY.into(), validation(ids[0], 3)).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_not_of_this_site_does_nothing() {
    let (_temporary, folder) = floating(10, 3);
    let running = start_by(&folder, &Hand::new());
    let ids = machines(&running.enforcement, 1).await;
    let wrong = || "another key".to_owned();
    let claimed = running.enforcement.claim(wrong(), heartbeat(ids[0], 1)).await;
    assert_eq!(claimed, Err(SeatError::UnknownKey));
    let gone = running.enforcement.deactivate_machine(Some(wrong()), ids[0], String::new()).await;
    assert_eq!(gone, Err(SeatError::UnknownKey));
    let other = ActivationId::from_bytes([8; 16]);
    assert_eq!(
        running.enforcement.claim(KEY.into(), heartbeat(other, 1)).await,
        Err(Refusal::UnknownActivation.into())
    );
}

#[tokio::test]
async fn a_correction_of_the_clock_ends_no_session() {
    let (_temporary, folder) = floating(10, 3);
    let hand = Hand::new();
    let running = start_by(&folder, &hand);
    let ids = machines(&running.enforcement, 2).await;
    running.enforcement.claim(KEY.into(), heartbeat(ids[0], 8)).await.unwrap();
    running.clock.heard(hand.1.after(Duration::from_secs(86_400)));
    let refused = running.enforcement.claim(KEY.into(), heartbeat(ids[1], 5)).await;
    assert!(matches!(refused, Err(SeatError::Refused(Refusal::TooManyUsers { others: 8, .. }))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lapse_that_cannot_be_recorded_forgets_no_machine() {
    let (_temporary, folder) = floating(10, 3);
    let hand = Hand::new();
    let running = start_by(&folder, &hand);
    let ids = machines(&running.enforcement, 1).await;
    running.enforcement.claim(KEY.into(), heartbeat(ids[0], 3)).await.unwrap();
    stop(&folder, running, true).await;
    let full = Settings { quota: 1 << 40, reserve: u64::MAX };
    let running = start_with(&folder, full, Box::new(hand.clone()));
    hand.forward(LAPSE * 2);
    // The writer looks for lapses.
    tokio::time::advance(Duration::from_secs(30)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let refused = running.enforcement.claim(KEY.into(), heartbeat(ids[0], 3)).await;
    assert!(matches!(refused, Err(SeatError::Journal(AppendError::Full(_)))), "the machine is known: {refused:?}");
}
