//! Machines in folders that look like `/`.

use super::*;
use crate::clock::{self, Machine as RealClocks};
use crate::journal::{Counters, Settings};
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::record::Record;
use tempfile::TempDir;

struct Plant {
    root: TempDir,
    folder: Folder,
    journal: Journal,
    clock: Clock,
    _data: TempDir,
}

impl Plant {
    fn new(files: &[(&str, &str)], quota: u64) -> Self {
        let (root, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let folder = Folder::at(data.path());
        folder.make("state").unwrap();
        let settings = Settings { quota, reserve: 0 };
        let (agent, counters) = (AgentId::from_bytes([4; 16]), Arc::new(Counters::default()));
        let journal =
            Journal::open(&folder.journal(), agent, settings, Position::default(), counters, clock::wall()).unwrap();
        let clock = Clock::start(&folder, clock::wall(), Default::default(), Box::new(RealClocks::new())).unwrap();
        let plant = Self { root, folder, journal, clock, _data: data };
        files.iter().for_each(|(path, content)| plant.has(path, content));
        enrol(&plant.folder, &host::fingerprint_below(plant.root.path())).unwrap();
        plant
    }

    /// Replaces a part.
    fn has(&self, path: &str, content: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Looks as after a start.
    async fn look(&self) -> Standing {
        let machine = Machine::default();
        let anonymity = Arc::new(Anonymity::load(&self.folder, Arc::default()).unwrap());
        let recorder = (self.journal.clone(), anonymity);
        machine.look(self.folder.state(FILE), self.root.path().to_owned(), &recorder, &self.clock).await;
        Standing::clone(&machine.standing())
    }

    /// What was recorded: whether it is the same machine, and what changed.
    fn told(&self) -> Vec<(bool, String)> {
        let Some(draft) = self.journal.read_after(Position { epoch: 1, seq: 1 }).unwrap() else { return vec![] };
        let told = |bytes| match Record::decode(bytes).unwrap().decode_body().unwrap() {
            Body::Fingerprint(change) => (change.same_machine, change.changed.join(" ")),
            other => panic!("{other:?}"),
        };
        draft.records.iter().map(told).collect()
    }
}

const MACHINE_ID: &str = "etc/machine-id";
const UUID: &str = "sys/class/dmi/id/product_uuid";
const MAC: &str = "sys/class/net/eth0/address";
const SERVER: [(&str, &str); 3] = [(MACHINE_ID, "0123abcd"), (UUID, "4c4c-4544"), (MAC, "3c:ec:ef:00:00:01")];

#[tokio::test]
async fn a_replaced_card_is_recorded_once_and_known_from_then_on() {
    let plant = Plant::new(&SERVER, 1 << 40);
    assert_eq!(plant.look().await, Standing::default());
    plant.has(MAC, "3c:ec:ef:00:00:02");
    assert_eq!(plant.look().await, Standing { same_machine: true, changed: vec!["mac".into()] });
    assert_eq!(plant.look().await, Standing::default(), "after a restart it is as it is known");
    assert_eq!(plant.told(), [(true, "mac".to_owned())]);
}

#[tokio::test]
async fn another_machine_is_recorded_once_shown_always_and_never_becomes_the_known_one() {
    let plant = Plant::new(&SERVER, 1 << 40);
    plant.look().await;
    plant.has(MACHINE_ID, "ffff0000");
    plant.has(UUID, "9999-0000");
    for _ in 0..3 {
        assert!(!plant.look().await.same_machine);
    }
    plant.has(MACHINE_ID, SERVER[0].1);
    plant.has(UUID, SERVER[1].1);
    for _ in 0..2 {
        assert!(plant.look().await.same_machine);
    }
    assert_eq!(plant.told(), [(false, "machine_id product_uuid".to_owned()), (true, String::new())]);
}

#[tokio::test]
async fn a_container_without_firmware_works_and_is_known_by_what_it_has() {
    let plant = Plant::new(&[], 1 << 40);
    assert_eq!(plant.look().await, Standing::default());
    assert_eq!(plant.look().await, Standing::default());
    assert_eq!(plant.told(), []);
}

#[tokio::test]
async fn what_was_kept_at_enrolment_counts_at_the_first_start() {
    let plant = Plant::new(&SERVER, 1 << 40);
    let elsewhere = Plant::new(&[(MACHINE_ID, "eeee1111"), (UUID, "1111-eeee"), (MAC, "3c:ec:ef:00:00:09")], 1 << 40);
    enrol(&plant.folder, &host::fingerprint_below(elsewhere.root.path())).unwrap();
    assert!(!plant.look().await.same_machine);
}

#[tokio::test]
async fn a_change_that_a_full_journal_does_not_take_is_found_again() {
    let plant = Plant::new(&SERVER, 1);
    plant.look().await;
    plant.has(MAC, "3c:ec:ef:00:00:02");
    for _ in 0..2 {
        assert_eq!(plant.look().await.changed, ["mac"]);
    }
}

#[tokio::test]
async fn what_is_damaged_is_set_aside_and_the_machine_taken_as_it_is() {
    let plant = Plant::new(&SERVER, 1 << 40);
    fs::write(plant.folder.state(FILE), "{").unwrap();
    assert_eq!(plant.look().await, Standing::default());
    assert!(plant.folder.state("fingerprint.json.damaged").exists());
    plant.has(MAC, "3c:ec:ef:00:00:02");
    assert_eq!(plant.look().await.changed, ["mac"]);
}

#[tokio::test]
async fn a_machine_of_which_nothing_is_known_is_told_so_that_the_hub_can_compare() {
    let plant = Plant::new(&[("etc/machine-id", "1f0e2d3c4b5a69788796a5b4c3d2e1f0")], 1 << 40);
    plant.look().await;
    assert_eq!(plant.told(), []);
    fs::remove_file(plant.folder.state(FILE)).unwrap();
    plant.look().await;
    assert_eq!(plant.told(), [(true, String::new())]);
    plant.look().await;
    assert_eq!(plant.told().len(), 1);
}
