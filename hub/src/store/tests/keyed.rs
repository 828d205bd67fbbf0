//! Requests under a key: done once, whatever is broken off where.

use crate::store::{
    Error, KeyOwner, KeyedRequest, Repeat, Store, Turn,
    testing::{Fixture, NOW, act},
};
use sitewarden_protocol::time::UnixMillis;
use std::time::Duration;
use zeroize::Zeroizing;

const DAY: Duration = Duration::from_secs(86_400);

fn asked(key: u64) -> KeyedRequest {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&key.to_le_bytes());
    KeyedRequest { owner: KeyOwner::Caller("user anna".into()), key: digest, request: [9; 32] }
}

async fn begin(store: &Store, asked: KeyedRequest, at: UnixMillis) -> Repeat {
    store.begin_keyed(asked, at).await.unwrap()
}

async fn first(store: &Store, asked: KeyedRequest, at: UnixMillis) -> Turn {
    let repeat = begin(store, asked, at).await;
    let Repeat::First(turn) = repeat else { panic!("{repeat:?}") };
    turn
}

fn answer() -> Option<(u16, Zeroizing<String>)> {
    Some((201, Zeroizing::new("{}".to_owned())))
}

async fn rows(fixture: &Fixture) -> i64 {
    fixture.number("SELECT count(*) FROM idempotency").await
}

/// What ends between its beginning and its answer: the process is another one afterwards.
#[tokio::test]
async fn after_a_crash_it_is_known_whether_it_was_done() {
    let fixture = Fixture::new().await;
    drop(first(&fixture.store, asked(1), NOW).await);
    let turn = first(&fixture.store, asked(2), NOW).await;
    turn.doing(fixture.store.add_customer(&act(), "Beta", None)).await.unwrap();
    drop(turn);
    let turn = first(&fixture.store, asked(3), NOW).await;
    let refused = turn.doing(fixture.store.add_customer(&act(), "Acme", None)).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    drop(turn);
    let turn = first(&fixture.store, asked(4), NOW).await;
    turn.doing(fixture.store.reaching_beyond()).await.unwrap();
    drop(turn);
    let fixture = fixture.reopened().await;
    let turn = first(&fixture.store, asked(1), NOW).await;
    turn.doing(fixture.store.add_customer(&act(), "Gamma", None)).await.unwrap();
    fixture.store.end_keyed(turn, answer()).await.unwrap();
    assert!(matches!(begin(&fixture.store, asked(1), NOW).await, Repeat::Done(201, _)), "it had changed nothing");
    assert!(matches!(begin(&fixture.store, asked(2), NOW).await, Repeat::Lost), "it had added a customer");
    drop(first(&fixture.store, asked(3), NOW).await);
    assert!(matches!(begin(&fixture.store, asked(4), NOW).await, Repeat::InDoubt), "files may have changed");
    let other = KeyedRequest { request: [8; 32], ..asked(2) };
    assert!(matches!(begin(&fixture.store, other, NOW).await, Repeat::Another));
}

#[tokio::test]
async fn what_fails_may_be_tried_again_if_it_changed_nothing() {
    let fixture = Fixture::new().await;
    let turn = first(&fixture.store, asked(1), NOW).await;
    fixture.store.end_keyed(turn, None).await.unwrap();
    let turn = first(&fixture.store, asked(1), NOW).await;
    assert!(matches!(begin(&fixture.store, asked(1), NOW).await, Repeat::InDoubt), "it is being done");
    turn.doing(fixture.store.add_customer(&act(), "Beta", None)).await.unwrap();
    assert!(matches!(begin(&fixture.store, asked(1), NOW).await, Repeat::InDoubt), "it is still being done");
    fixture.store.end_keyed(turn, None).await.unwrap();
    assert!(matches!(begin(&fixture.store, asked(1), NOW).await, Repeat::Lost));
}

#[tokio::test]
async fn what_has_no_record_any_more_is_not_done() {
    let fixture = Fixture::new().await;
    let turn = first(&fixture.store, asked(1), NOW).await;
    fixture.store.forget_old_keys(NOW.after(2 * DAY)).await.unwrap();
    let refused = turn.doing(fixture.store.add_customer(&act(), "Beta", None)).await;
    assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    assert_eq!(fixture.number("SELECT count(*) FROM customers").await, 1);
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day() {
    let fixture = Fixture::new().await;
    for key in 0..300 {
        let turn = first(&fixture.store, asked(key), NOW).await;
        fixture.store.end_keyed(turn, answer()).await.unwrap();
    }
    let later = NOW.after(DAY).after(Duration::from_millis(1));
    assert!(matches!(begin(&fixture.store, asked(299), NOW.after(DAY)).await, Repeat::Done(..)), "just a day old");
    // However many older ones there are, an old key is a new one; and each new one takes some of the old with it.
    drop(first(&fixture.store, asked(299), later).await);
    assert!(rows(&fixture).await <= 201, "{}", rows(&fixture).await);
    fixture.store.forget_old_keys(later).await.unwrap();
    assert_eq!(rows(&fixture).await, 1);
}

#[tokio::test]
async fn a_callers_keys_are_bounded_and_of_a_licence_the_newest_are_remembered() {
    let fixture = Fixture::new().await;
    let fill = "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
        INSERT INTO idempotency (caller, key, request, at, status, answer)
        SELECT caller, randomblob(32), zeroblob(32), ?1 - 20000 + n, 200, x'' FROM n,
            (SELECT 'user anna' AS caller UNION ALL SELECT 'license 1')";
    fixture.store.write(move |tx| Ok(tx.execute(fill, [NOW.0])?)).await.unwrap();
    assert!(matches!(begin(&fixture.store, asked(1), NOW).await, Repeat::TooMany));
    let of_license = |key| KeyedRequest { owner: KeyOwner::License(1), ..asked(key) };
    let turn = first(&fixture.store, of_license(1), NOW).await;
    fixture.store.end_keyed(turn, answer()).await.unwrap();
    assert!(matches!(begin(&fixture.store, of_license(1), NOW).await, Repeat::Done(..)));
    let of = "SELECT count(*) FROM idempotency WHERE caller = 'license 1'";
    assert_eq!(fixture.number(of).await, 9_001);
    let oldest = "SELECT min(at) FROM idempotency WHERE caller = 'license 1'";
    assert_eq!(fixture.number(oldest).await, NOW.0 - 18_999, "the oldest went");
    drop(first(&fixture.store, KeyedRequest { owner: KeyOwner::License(2), ..asked(1) }, NOW).await);
}
