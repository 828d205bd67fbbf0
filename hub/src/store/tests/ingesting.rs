use crate::store::{
    Error, IngestOutcome, LicenseSelector,
    testing::{Fixture, NOW, event},
};
use sitewarden_protocol::{
    chain::Cursor,
    license::Status,
    message::Refusal,
    record::{Activation, Body},
    time::UnixMillis,
};

fn stored(through: Cursor, new: u64) -> IngestOutcome {
    IngestOutcome::Stored { through, new }
}

#[tokio::test]
async fn repeats_and_overlaps_store_each_record_once() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 10);
    let store = &fixture.store;
    assert_eq!(store.ingest(NOW, plant.batch(0, 6, 0)).await.unwrap(), stored(plant.cursor(6), 6));
    assert_eq!(store.ingest(NOW, plant.batch(0, 6, 0)).await.unwrap(), stored(plant.cursor(6), 0));
    assert_eq!(store.ingest(NOW, plant.batch(0, 3, 0)).await.unwrap(), stored(plant.cursor(6), 0));
    assert_eq!(store.ingest(NOW, plant.batch(4, 10, 0)).await.unwrap(), stored(plant.cursor(10), 4));
    assert_eq!(fixture.number("SELECT count(*) FROM records").await, 10);
    assert_eq!(store.count_records(plant.id).await.unwrap(), 10);
    assert_eq!(fixture.number("SELECT sum(total) FROM usage_hourly WHERE app = 'EMS' AND event = 'login'").await, 10);
    assert_eq!(store.cursors(plant.id, &[1, 2]).await.unwrap(), [plant.cursor(10)]);
}

#[tokio::test]
async fn a_batch_that_came_too_early_is_refused_until_the_loss_is_signed() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 10);
    fixture.store.ingest(NOW, plant.batch(0, 2, 0)).await.unwrap();
    let early = fixture.store.ingest(NOW, plant.batch(5, 10, 0)).await.unwrap();
    assert_eq!(early, IngestOutcome::Refused(Refusal::Missing(plant.cursor(2))));
    let bridged = fixture.store.ingest(NOW, plant.batch(5, 10, 3)).await.unwrap();
    assert_eq!(bridged, stored(plant.cursor(10), 5));
    assert_eq!(fixture.number("SELECT count(*) FROM red_flags WHERE kind = 'gap'").await, 1);
    let page = fixture.store.show_agent(plant.id).await.unwrap();
    assert_eq!((page.agent.records_received, page.agent.records_lost), (7, 3));
    assert_eq!((page.epochs[0].through, page.epochs[0].records, page.epochs[0].lost), (10, 7, 3));
}

#[tokio::test]
async fn a_fork_is_refused_and_both_halves_are_kept_once() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 6);
    let mut clone = plant.fork(3);
    clone.events("CBM", 4);
    fixture.store.ingest(NOW, plant.batch(0, 6, 0)).await.unwrap();
    for _ in 0..2 {
        let refused = fixture.store.ingest(NOW, clone.batch(3, 7, 0)).await.unwrap();
        assert_eq!(refused, IngestOutcome::Refused(Refusal::Fork));
    }
    assert_eq!(fixture.number("SELECT count(*) FROM records").await, 6);
    assert_eq!(fixture.number("SELECT count(*) FROM batches WHERE state = 'fork' AND payload IS NOT NULL").await, 1);
    assert_eq!(fixture.number("SELECT count(*) FROM batches WHERE state = 'stored'").await, 1);
    assert_eq!(fixture.number("SELECT count(*) FROM red_flags WHERE kind = 'fork'").await, 1);
}

#[tokio::test]
async fn a_copy_that_has_fallen_behind_is_a_fork_where_a_batch_ended_and_no_repeat() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 6);
    let mut clone = plant.fork(1);
    clone.events("CBM", 2);
    fixture.store.ingest(NOW, plant.batch(0, 3, 0)).await.unwrap();
    fixture.store.ingest(NOW, plant.batch(3, 6, 0)).await.unwrap();
    let refused = fixture.store.ingest(NOW, clone.batch(1, 3, 0)).await.unwrap();
    assert_eq!(refused, IngestOutcome::Refused(Refusal::Fork));
    let repeat = fixture.store.ingest(NOW, plant.batch(1, 3, 0)).await.unwrap();
    assert_eq!(repeat, stored(plant.cursor(6), 0));
}

#[tokio::test]
async fn a_signed_batch_that_cannot_be_read_is_set_aside_and_the_stream_goes_on() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 1);
    plant.raw(&[255, 255, 255]);
    plant.events("EMS", 1);
    assert_eq!(fixture.store.ingest(NOW, plant.batch(0, 2, 0)).await.unwrap(), stored(plant.cursor(2), 0));
    assert_eq!(fixture.store.ingest(NOW, plant.batch(0, 2, 0)).await.unwrap(), stored(plant.cursor(2), 0));
    assert_eq!(fixture.store.ingest(NOW, plant.batch(2, 3, 0)).await.unwrap(), stored(plant.cursor(3), 1));
    assert_eq!(
        fixture.number("SELECT count(*) FROM batches WHERE state = 'set_aside' AND payload IS NOT NULL").await,
        1
    );
    assert_eq!(fixture.number("SELECT count(*) FROM red_flags WHERE kind = 'set_aside'").await, 1);
}

#[tokio::test]
async fn a_count_to_the_end_of_numbers_does_not_stop_the_stream() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    (0..3).for_each(|_| plant.record(&event("EMS", u64::MAX)));
    fixture.store.ingest(NOW, plant.batch(0, 2, 0)).await.unwrap();
    assert_eq!(fixture.store.ingest(NOW, plant.batch(2, 3, 0)).await.unwrap(), stored(plant.cursor(3), 1));
    assert_eq!(fixture.number("SELECT total FROM usage_hourly").await, i64::MAX);
}

#[tokio::test]
async fn a_revoked_or_unknown_agent_is_refused() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 1);
    fixture.store.revoke_agent(&crate::store::testing::act(), plant.id, Default::default()).await.unwrap();
    let refused = fixture.store.ingest(NOW, plant.batch(0, 1, 0)).await.unwrap();
    assert_eq!(refused, IngestOutcome::Refused(Refusal::Revoked));
    let mut stranger = crate::store::testing::Plant::new(9);
    stranger.events("EMS", 1);
    let unknown = fixture.store.ingest(NOW, stranger.batch(0, 1, 0)).await;
    assert!(matches!(unknown, Err(Error::NotFound { what: "agent" })), "{unknown:?}");
}

#[tokio::test]
async fn what_was_stored_is_there_after_reopening() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 5);
    fixture.store.ingest(NOW, plant.batch(0, 3, 0)).await.unwrap();
    let closed = fixture.store.clone();
    let fixture = fixture.reopened().await;
    assert!(matches!(closed.ingest(NOW, plant.batch(3, 5, 0)).await, Err(Error::Unavailable)));
    assert!(matches!(closed.count_records(plant.id).await, Err(Error::Unavailable)));
    assert_eq!(fixture.store.cursors(plant.id, &[1]).await.unwrap(), [plant.cursor(3)]);
    assert_eq!(fixture.store.ingest(NOW, plant.batch(1, 5, 0)).await.unwrap(), stored(plant.cursor(5), 2));
    assert_eq!(fixture.number("SELECT count(*) FROM records").await, 5);
}

#[tokio::test]
async fn an_activation_is_applied_once_and_not_before_its_time() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    let old = fixture.store.issue_license(&crate::store::testing::act(), fixture.license("old")).await.unwrap().license;
    let new = fixture.store.issue_license(&crate::store::testing::act(), fixture.license("new")).await.unwrap().license;
    let activated = |license, replaces| Body::LicenseActivated(Activation { license, replaces, by: "operator".into() });
    plant.record(&activated(old.uuid, None));
    plant.record(&activated(new.uuid, Some(old.uuid)));
    plant.record(&activated(new.uuid, Some(old.uuid)));
    let mut changes = fixture.store.changes();
    // The hub's clock is behind: the term begins when the hub hears of it, not later.
    let hub_time = UnixMillis(NOW.0 - 1);
    fixture.store.ingest(hub_time, plant.batch(0, 2, 0)).await.unwrap();
    fixture.store.ingest(hub_time, plant.batch(1, 3, 0)).await.unwrap();
    assert_eq!(changes.try_recv(), Ok(fixture.site));
    let show = async |id| fixture.store.show_license(LicenseSelector::Number(id)).await.unwrap();
    let (old, new) = (show(old.id).await, show(new.id).await);
    assert_eq!((old.status, old.revision), (Status::Deactivated, 3));
    assert_eq!((new.status, new.revision, new.activated_at), (Status::Active, 2, Some(hub_time)));
    assert_eq!(new.expires_at, new.term.expiry(hub_time));
    assert_eq!(fixture.number("SELECT count(*) FROM license_starts").await, 2);
    assert_eq!(fixture.number("SELECT count(*) FROM red_flags").await, 0);
    assert_eq!(fixture.store.snapshot_of(fixture.site).await.unwrap().revision, 6);
    assert_eq!(fixture.store.broken_audit_row().await.unwrap(), None);
}

#[tokio::test]
async fn an_activation_of_a_license_that_cannot_be_is_flagged_and_stored() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    let nowhere = sitewarden_protocol::id::LicenseId::from_bytes([9; 16]);
    plant.record(&Body::LicenseActivated(Activation { license: nowhere, replaces: None, by: "operator".into() }));
    assert_eq!(fixture.store.ingest(NOW, plant.batch(0, 1, 0)).await.unwrap(), stored(plant.cursor(1), 1));
    assert_eq!(fixture.number("SELECT count(*) FROM red_flags WHERE kind = 'activation'").await, 1);
}
