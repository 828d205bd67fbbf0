use crate::store::testing::{Fixture, NOW, Plant};
use sitewarden_protocol::{
    message::{Hello, LiveStatus, NEWEST_VERSION, OLDEST_VERSION},
    snapshot::Version,
    time::UnixMillis,
};
use std::net::Ipv4Addr;

const HOUR: i64 = 3_600_000;

impl Fixture {
    async fn greeted(&self, plant: &Plant, boot: u8, after_hours: i64) -> Vec<&'static str> {
        self.greeted_with(plant, boot, after_hours, Version::default()).await
    }

    async fn greeted_with(&self, plant: &Plant, boot: u8, after_hours: i64, snapshot: Version) -> Vec<&'static str> {
        let hello = Hello {
            oldest_version: OLDEST_VERSION,
            newest_version: NEWEST_VERSION,
            agent: plant.id,
            program: "x".repeat(100),
            boot_id: [boot; 16],
            epochs: vec![],
            snapshot,
        };
        let now = UnixMillis(NOW.0 + after_hours * HOUR);
        self.store.greet_agent(now, &hello, Ipv4Addr::LOCALHOST.into()).await.unwrap()
    }
}

#[tokio::test]
async fn machines_that_take_turns_more_slowly_than_in_a_day_are_not_told_apart() {
    let fixture = Fixture::new().await;
    let plant = fixture.agent(1).await;
    for (boot, hours) in [(1, 0), (2, 1), (1, 26), (2, 51)] {
        assert_eq!(fixture.greeted(&plant, boot, hours).await, [""; 0], "{boot} after {hours} h");
    }
    assert_eq!(fixture.greeted(&plant, 1, 52).await, [""; 0], "its own last visit is too long ago");
    assert_eq!(fixture.greeted(&plant, 2, 53).await, ["clone"]);
    let length = fixture.number("SELECT length(program) FROM agents").await;
    assert_eq!(length, 64);
}

#[tokio::test]
async fn an_agent_that_wants_its_snapshot_anew_has_not_been_rolled_back() {
    let fixture = Fixture::new().await;
    let plant = fixture.agent(1).await;
    let version = |revision, issued_at| Version { revision, issued_at: UnixMillis(issued_at) };
    for (hours, claimed, flags) in [
        (0, version(5, NOW.0), &[][..]),
        (1, version(5, 0), &[]),
        (2, version(5, NOW.0 - 1), &["rollback"]),
        (3, version(5, NOW.0), &[]),
        (4, version(6, NOW.0), &[]),
        (5, version(5, 0), &["rollback"]),
    ] {
        assert_eq!(fixture.greeted_with(&plant, 1, hours, claimed).await, flags, "{claimed:?}");
    }
}

#[tokio::test]
async fn a_machine_that_was_connected_for_days_is_not_forgotten() {
    let fixture = Fixture::new().await;
    let plant = fixture.agent(1).await;
    fixture.greeted(&plant, 1, 0).await;
    let later = UnixMillis(NOW.0 + 30 * HOUR);
    fixture.store.report_status(plant.id, later, [1; 16], LiveStatus::default()).await.unwrap();
    assert_eq!(fixture.greeted(&plant, 2, 31).await, [""; 0]);
    assert_eq!(fixture.greeted(&plant, 1, 32).await, ["clone"]);
}

#[tokio::test]
async fn only_the_last_starts_of_a_machine_are_kept() {
    let fixture = Fixture::new().await;
    let plant = fixture.agent(1).await;
    for boot in 1..=100 {
        assert_eq!(fixture.greeted(&plant, boot, 0).await, [""; 0]);
    }
    assert_eq!(fixture.number("SELECT count(*) FROM agent_boots").await, 16);
    let stranger = Plant::new(9);
    assert_eq!(fixture.greeted(&stranger, 1, 0).await, [""; 0]);
}
