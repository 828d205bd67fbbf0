//! Stories of the agent's state machine that the simulation found, each told once by itself.
#![allow(clippy::unwrap_used, reason = "a test ends where what it relies on is not so")]

use sitewarden_protocol::batch::{Draft, Signed};
use sitewarden_protocol::chain::{Chain, Cursor, Position};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{EpochExtent, Hello, LiveStatus, ToAgent, ToHub, Welcome};
use sitewarden_protocol::receipt::{self, Receipt};
use sitewarden_protocol::record::Run;
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::snapshot::Version;
use sitewarden_protocol::sync::agent::{Action, Agent, Hold, Release};
use sitewarden_protocol::sync::backoff::Backoff;
use sitewarden_protocol::time::UnixMillis;
use std::time::Duration;

const AGENT: AgentId = AgentId::from_bytes([7; 16]);
const NOW: Duration = Duration::from_secs(100);

fn hub() -> PrivateKey {
    PrivateKey::from_seed(&[9; 32])
}

fn at(epoch: u64, seq: u64) -> Position {
    Position { epoch, seq }
}

fn cursor(epoch: u64, seq: u64) -> Cursor {
    let chain = (0..seq).fold(Chain::start(AGENT, epoch), |chain, _| chain.then(b"r"));
    Cursor { position: at(epoch, seq), chain }
}

fn receipt(through: Cursor) -> receipt::Signed {
    receipt::Signed::make(&Receipt { agent: AGENT, through, hub_time: UnixMillis(0) }, &hub())
}

/// One record after a position.
fn batch(after: Cursor) -> (Cursor, Signed) {
    let mut records = Run::default();
    records.push(b"r");
    let draft = Draft { after, lost: 0, records };
    let (header, signed) = Signed::make(AGENT, &draft, UnixMillis(0), &PrivateKey::from_seed(&[3; 32])).unwrap();
    (header.end(), signed)
}

/// An agent whose hub has answered its hello.
fn greeted(epochs: &[Cursor], hub_has: &[Cursor]) -> Agent {
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    let head = epochs.last().unwrap().position;
    let mut agent = Agent::new(AGENT, vec![hub().public()], backoff, Position::default(), head);
    agent.handle_timeout(NOW, 0);
    assert_eq!(agent.poll_action(NOW), Some(Action::Dial));
    agent.handle_connected(NOW, hello(epochs));
    assert!(matches!(agent.poll_action(NOW), Some(Action::Send(_))));
    let receipts = hub_has.iter().copied().map(receipt).collect();
    agent.handle_message(NOW, 0, ToAgent::Welcome(Welcome { version: 1, receipts }));
    agent
}

fn hello(epochs: &[Cursor]) -> Hello {
    Hello {
        oldest_version: 1,
        newest_version: 1,
        agent: AGENT,
        program: String::new(),
        boot_id: [0; 16],
        epochs: epochs.iter().map(|head| EpochExtent { oldest: 1, head: *head }).collect(),
        snapshot: Version::default(),
    }
}

fn next(agent: &mut Agent) -> Option<Action> {
    std::iter::from_fn(|| agent.poll_action(NOW)).find(|action| !matches!(action, Action::Acknowledge(_)))
}

fn is_batch(action: Option<Action>) -> bool {
    matches!(action, Some(Action::Send(message)) if matches!(*message, ToHub::Batch(_)))
}

#[test]
fn a_new_epoch_waits_until_the_hub_has_all_of_the_one_before() {
    let mut agent = greeted(&[cursor(1, 1), cursor(2, 1)], &[]);
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 0))));
    agent.handle_read(NOW, at(1, 0), Some(batch(cursor(1, 0))));
    assert!(is_batch(next(&mut agent)));
    // The batch of epoch 1 may be lost or refused; were epoch 2 sent now, its receipt would cover both.
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 1))));
    agent.handle_read(NOW, at(1, 1), Some(batch(cursor(2, 0))));
    assert_eq!(next(&mut agent), None);
    agent.handle_message(NOW, 0, ToAgent::Receipt(receipt(cursor(1, 1))));
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 1))));
    agent.handle_read(NOW, at(1, 1), Some(batch(cursor(2, 0))));
    assert!(is_batch(next(&mut agent)));
}

#[test]
fn a_hub_with_more_of_an_epoch_whose_end_was_damaged_is_no_sign_of_a_copy() {
    let mut agent = greeted(&[cursor(1, 3), cursor(2, 1)], &[cursor(1, 5)]);
    assert_eq!(agent.hold(), None);
    // Its last record goes once more: a copy of this machine could have told another history of the same numbers.
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 2))));
    agent.handle_read(NOW, at(1, 2), Some(batch(cursor(1, 2))));
    assert!(is_batch(next(&mut agent)));
    agent.handle_message(NOW, 0, ToAgent::Receipt(receipt(cursor(1, 5))));
    assert_eq!((agent.hold(), agent.acknowledged()), (None, at(1, 5)));
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 5))));
}

#[test]
fn a_receipt_for_what_was_never_recorded_here_is_a_sign_of_a_copy() {
    let mut agent = greeted(&[cursor(1, 3)], &[cursor(1, 2)]);
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 2))));
    agent.handle_read(NOW, at(1, 2), Some(batch(cursor(1, 2))));
    agent.handle_message(NOW, 0, ToAgent::Receipt(receipt(cursor(1, 4))));
    assert_eq!((agent.hold(), agent.acknowledged()), (Some(Hold::Fork), at(1, 2)));
}

#[test]
fn a_batch_may_hold_more_than_the_journal_had_when_it_was_asked_for() {
    let mut agent = greeted(&[cursor(1, 3)], &[cursor(1, 2)]);
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 2))));
    agent.handle_read(NOW, at(1, 2), Some((cursor(1, 5), batch(cursor(1, 2)).1)));
    agent.handle_message(NOW, 0, ToAgent::Receipt(receipt(cursor(1, 5))));
    assert_eq!((agent.hold(), agent.acknowledged()), (None, at(1, 5)));
}

#[test]
fn a_receipt_of_another_history_holds_what_follows_and_is_answered_with_the_record_in_dispute() {
    let mut agent = greeted(&[cursor(1, 9)], &[cursor(1, 5)]);
    agent.handle_foreign(at(1, 5), at(1, 2));
    assert_eq!((agent.hold(), agent.acknowledged()), (Some(Hold::Fork), at(1, 2)));
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 4))));
    agent.handle_read(NOW, at(1, 4), Some(batch(cursor(1, 4))));
    assert!(is_batch(next(&mut agent)));
    assert_eq!(next(&mut agent), None);
}

#[test]
fn a_hub_with_more_of_the_newest_epoch_is_a_sign_of_a_rollback() {
    let mut agent = greeted(&[cursor(1, 3)], &[cursor(1, 5)]);
    assert_eq!(agent.hold(), Some(Hold::Fork));
    // One batch goes, so that the hub has the other half of the proof; then nothing until an administrator has spoken.
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 2))));
    agent.handle_read(NOW, at(1, 2), Some(batch(cursor(1, 2))));
    assert!(is_batch(next(&mut agent)));
    assert_eq!(next(&mut agent), None);
}

#[test]
fn a_read_that_found_nothing_does_not_hide_what_was_appended_meanwhile() {
    let mut agent = greeted(&[cursor(1, 1)], &[]);
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 0))));
    agent.handle_appended(at(1, 2));
    agent.handle_read(NOW, at(1, 0), None);
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 0))));
    agent.handle_read(NOW, at(1, 0), None);
    assert_eq!(next(&mut agent), None);
}

#[test]
fn what_is_not_released_stays_in_the_journal_and_everything_else_goes_on() {
    let mut agent = greeted(&[cursor(1, 2)], &[]);
    agent.handle_release(Release::Nothing);
    assert_eq!(next(&mut agent), None);
    agent.handle_status(LiveStatus::default());
    assert!(matches!(next(&mut agent), Some(Action::Send(message)) if matches!(*message, ToHub::Status(_))));
    agent.handle_release(Release::Through(at(1, 1)));
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 0))));
    agent.handle_read(NOW, at(1, 0), Some(batch(cursor(1, 0))));
    assert!(is_batch(next(&mut agent)));
    assert_eq!(next(&mut agent), None, "the second record is not released");
    agent.handle_appended(at(1, 3));
    assert_eq!(next(&mut agent), None);
    agent.handle_release(Release::Live);
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 1))));
}

#[test]
fn a_release_that_is_taken_back_holds_also_in_the_next_session() {
    let mut agent = greeted(&[cursor(1, 1)], &[]);
    agent.handle_release(Release::Through(at(1, 1)));
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 0))));
    agent.handle_release(Release::Nothing);
    agent.handle_closed(NOW, 0);
    assert_eq!(next(&mut agent), None);
    let later = NOW + Duration::from_secs(120);
    agent.handle_timeout(later, 0);
    assert_eq!(agent.poll_action(later), Some(Action::Dial));
    agent.handle_connected(later, hello(&[cursor(1, 1)]));
    assert!(matches!(agent.poll_action(later), Some(Action::Send(_))));
    agent.handle_message(later, 0, ToAgent::Welcome(Welcome { version: 1, receipts: vec![] }));
    assert_eq!(agent.poll_action(later), None);
}

#[test]
fn a_session_that_is_renewed_is_begun_again_at_once_and_without_a_failure() {
    let mut agent = greeted(&[cursor(1, 1)], &[]);
    assert_eq!(next(&mut agent), Some(Action::Read(at(1, 0))));
    agent.handle_renew(NOW);
    assert!(matches!(next(&mut agent), Some(Action::Hangup(_))));
    assert_eq!((agent.is_up(), agent.failures()), (false, 0));
    agent.handle_timeout(NOW, 0);
    assert_eq!(next(&mut agent), Some(Action::Dial));
    agent.handle_renew(NOW);
    assert_eq!(next(&mut agent), None, "one is being begun already");
    agent.handle_closed(NOW, u64::MAX);
    agent.handle_renew(NOW);
    assert_eq!(agent.poll_timeout(), Some(NOW), "no back-off is waited for");
}
