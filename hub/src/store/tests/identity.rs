//! Keys that were stolen, machines that were copied, and what is kept to show it.

use crate::store::testing::{Fixture, NOW, Plant, act};
use crate::store::{Error, IngestOutcome, Revocation, Scope};
use sitewarden_protocol::{
    batch::Header,
    chain::{Chain, Cursor, Position},
    codec,
    message::{EpochExtent, Hello, LiveStatus, NEWEST_VERSION, OLDEST_VERSION, Refusal},
    record::{Body, EpochBegun},
    snapshot::Version,
    time::UnixMillis,
};
use std::net::Ipv4Addr;

const SECOND: i64 = 1_000;

fn from(seq: u64) -> Revocation {
    Revocation { reason: Some("its laptop was stolen".to_owned()), from: Some(Position { epoch: 1, seq }) }
}

#[tokio::test]
async fn key_stolen() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 8);
    fixture.store.ingest(NOW, plant.batch(0, 2, 0)).await.unwrap();
    let revoked = fixture.store.revoke_agent(&act(), plant.id, from(5)).await.unwrap();
    assert_eq!(revoked.revoked_from.as_deref(), Some("1:5"));
    assert_eq!(revoked.revoke_reason.as_deref(), Some("its laptop was stolen"));
    // What was signed before is taken in, however late; what was signed from there on is kept, once, and not believed.
    let earlier = fixture.store.ingest(NOW, plant.batch(2, 4, 0)).await.unwrap();
    assert!(matches!(earlier, IngestOutcome::Stored { new: 2, .. }), "{earlier:?}");
    for _ in 0..2 {
        let later = fixture.store.ingest(NOW, plant.batch(4, 8, 0)).await.unwrap();
        assert_eq!(later, IngestOutcome::Refused(Refusal::Revoked));
    }
    assert_eq!(fixture.number("SELECT count(*) FROM records").await, 4);
    assert_eq!(
        fixture.number("SELECT count(*) FROM batches WHERE state = 'set_aside' AND payload IS NOT NULL").await,
        1
    );
}

#[tokio::test]
async fn what_a_stolen_key_brought_in_before_it_was_known_is_flagged() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 8);
    fixture.store.ingest(NOW, plant.batch(0, 8, 0)).await.unwrap();
    fixture.store.revoke_agent(&act(), plant.id, from(5)).await.unwrap();
    let flags = fixture.store.list_flags(Scope::default(), true, None, None, 10).await.unwrap();
    assert_eq!((flags[0].kind.as_str(), &flags[0].details["stored_before"]), ("revoked", &4.into()));
    let silent = Revocation { reason: Some(" ".to_owned()), from: None };
    let refused = fixture.store.revoke_agent(&act(), plant.id, silent).await;
    assert!(matches!(refused, Err(Error::Invalid { what: "reason", .. })), "{refused:?}");
}

#[tokio::test]
async fn a_copy_that_cuts_its_batches_elsewhere_is_a_fork_too_and_flagged_once() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 6);
    let mut clone = plant.fork(2);
    clone.events("CBM", 4);
    fixture.store.ingest(NOW, plant.batch(0, 6, 0)).await.unwrap();
    for last in 3..=5 {
        let refused = fixture.store.ingest(NOW, clone.batch(1, last, 0)).await.unwrap();
        assert_eq!(refused, IngestOutcome::Refused(Refusal::Fork), "{last}");
    }
    let repeat = fixture.store.ingest(NOW, plant.batch(1, 4, 0)).await.unwrap();
    assert!(matches!(repeat, IngestOutcome::Stored { new: 0, .. }), "{repeat:?}");
    assert_eq!(fixture.number("SELECT count(*) FROM red_flags WHERE kind = 'fork'").await, 1);

    let flag = fixture.store.list_flags(Scope::default(), true, None, None, 10).await.unwrap()[0].id;
    let evidence = fixture.store.fork_evidence(flag).await.unwrap();
    evidence.fork.verify(&evidence.signing_key).unwrap();
    let half = &evidence.stored[0];
    let header: Header = codec::decode(&half.header).unwrap();
    let records = half.records.iter().map(Vec::as_slice);
    assert_eq!(Chain::from_bytes(*header.prev.as_bytes()).then_all(records), header.head);
    assert_eq!(header.prev, Cursor::start(plant.id, 1).chain);
    assert!(matches!(fixture.store.fork_evidence(flag + 1).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn what_was_damaged_since_a_fork_is_counted_although_the_hub_has_another_history_of_the_same_numbers() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 8);
    fixture.store.ingest(NOW, plant.batch(0, 8, 0)).await.unwrap();
    let lost = Body::EpochBegun(EpochBegun { previous: 1, kept: 5, written: 7, cause: "damaged".into() });
    // An epoch that was cut by damage alone: what had come is no loss.
    fixture.store.ingest(NOW, plant.beginning(2, &lost)).await.unwrap();
    let counted = "SELECT coalesce(sum(lost), 0) FROM agent_epochs";
    assert_eq!(fixture.number(counted).await, 0);
    let cleared = fixture.store.clear_agent(&act(), plant.id, "rolled back").await.unwrap();
    assert_eq!(cleared.id, plant.id);
    fixture.store.ingest(NOW, plant.beginning(3, &lost)).await.unwrap();
    assert_eq!(fixture.number(counted).await, 2);
}

#[tokio::test]
async fn a_cleared_agent_goes_on_in_an_epoch_that_is_newer_than_its_own() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 3);
    fixture.store.ingest(NOW, plant.batch(0, 3, 0)).await.unwrap();
    // The fork is in epoch 1; the agent has begun others since, of which the hub has nothing.
    let extent = EpochExtent { oldest: 1, head: Cursor::start(plant.id, 4) };
    let hello = Hello {
        oldest_version: OLDEST_VERSION,
        newest_version: NEWEST_VERSION,
        agent: plant.id,
        program: String::new(),
        boot_id: [0; 16],
        epochs: vec![extent],
        snapshot: Version::default(),
    };
    fixture.store.greet_agent(NOW, &hello, Ipv4Addr::LOCALHOST.into()).await.unwrap();
    fixture.store.clear_agent(&act(), plant.id, "rolled back").await.unwrap();
    let clearance = fixture.store.clearance(plant.id, 4).await.unwrap();
    assert_eq!(clearance.map(|clearance| clearance.epoch), Some(5));
}

impl Fixture {
    async fn came(&self, plant: &Plant, boot: u8, seconds: i64) -> Vec<&'static str> {
        let hello = Hello {
            oldest_version: OLDEST_VERSION,
            newest_version: NEWEST_VERSION,
            agent: plant.id,
            program: String::new(),
            boot_id: [boot; 16],
            epochs: vec![],
            snapshot: Version::default(),
        };
        let now = UnixMillis(NOW.0 + seconds * SECOND);
        self.store.greet_agent(now, &hello, Ipv4Addr::LOCALHOST.into()).await.unwrap()
    }

    async fn speaks(&self, plant: &Plant, boot: u8, seconds: i64) -> i64 {
        let now = UnixMillis(NOW.0 + seconds * SECOND);
        self.store.report_status(plant.id, now, [boot; 16], LiveStatus::default()).await.unwrap();
        self.number("SELECT count(*) FROM red_flags WHERE kind = 'clone'").await
    }
}

#[tokio::test]
async fn vm_cloned() {
    let fixture = Fixture::new().await;
    let plant = fixture.agent(1).await;
    fixture.came(&plant, 1, 0).await;
    fixture.came(&plant, 2, 100).await;
    // What the first said before it went down may be late; what it says long after is said by another machine.
    assert_eq!(fixture.speaks(&plant, 1, 110).await, 0);
    assert_eq!(fixture.speaks(&plant, 2, 300).await, 0);
    assert_eq!(fixture.speaks(&plant, 1, 301).await, 1);
    // The same two are one observation, also when they take turns later.
    assert_eq!(fixture.speaks(&plant, 1, 400).await, 1);
    assert_eq!(fixture.came(&plant, 1, 500).await, [""; 0]);
    assert_eq!(fixture.speaks(&plant, 2, 900).await, 1);
}
