//! What becomes of reports while there is little room, or none.

use super::*;
use sitewarden_protocol::record::{Body, Dropped, Event, Folded, Record, Total, kind};

const QUOTA: u64 = 16 << 20;
const SMALL: Settings = Settings { quota: QUOTA, reserve: 0 };

fn event(number: u64) -> Vec<u8> {
    let event = Event {
        app: "EMS".into(),
        kind: format!("kind {}", number % 3),
        environment: String::new(),
        outcome: String::new(),
        count: 2,
        attributes: vec![],
    };
    Record::encode(UnixMillis(1), &Body::Event(event)).unwrap()
}

fn events(count: u64) -> Run {
    (0..count).map(event).collect()
}

/// What nothing can be summed of.
fn large(count: usize) -> Run {
    std::iter::repeat_n([7; 3_000], count).collect()
}

async fn fill(journal: &Journal, until: &str) {
    for _ in 0..1_000 {
        if journal.pressure().name() == until {
            return;
        }
        journal.append(large(100)).await.unwrap();
    }
    panic!("never {until}");
}

fn give_room(journal: &Journal) {
    let head = *journal.head().borrow();
    journal.acknowledge(head);
    journal.checkpointed(head);
}

/// The bodies of everything behind a position.
fn bodies(journal: &Journal, mut after: Position) -> Vec<Body> {
    let mut bodies = Vec::new();
    while let Some(draft) = journal.read_after(after).unwrap() {
        after = draft.after.position;
        after.seq += u64::from(draft.records.count());
        let decoded = draft.records.iter().filter_map(|bytes| Record::decode(bytes).ok()?.decode_body().ok());
        bodies.extend(decoded);
    }
    bodies
}

fn folded_events(bodies: &[Body]) -> (u64, u64) {
    bodies.iter().fold((0, 0), |(events, count), body| match body {
        Body::Folded(Folded { total: Total::Events(total), .. }) => (events + total.events, count + total.count),
        _ => (events, count),
    })
}

/// Waits until everything that waited for room is in the journal.
async fn settled(journal: &Journal) {
    let settled = async {
        while !journal.folded().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.expect("totals become records by themselves");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_high_water_mark_reports_become_totals_and_no_count_is_lost() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, SMALL);
    fill(&journal, "folding").await;
    let (before, bytes) = (*journal.head().borrow(), journal.size().bytes);
    for _ in 0..20 {
        assert!(journal.report(events(300)).await.unwrap(), "they are folded");
    }
    assert_eq!(*journal.head().borrow(), before, "no record was made");
    assert!(journal.size().bytes < bytes + (256 << 10));
    assert_eq!(journal.folded().iter().map(Total::reports).sum::<u64>(), 6_000);
    assert_eq!(journal.shelf.counters.folded.get(), 6_000);
    // What is audited is a record of its own all the while.
    journal.append(large(1)).await.unwrap();
    // And all of it outlives the process.
    close(&folder, journal);
    let journal = open(&folder, SMALL);
    assert_eq!(journal.folded().iter().map(Total::reports).sum::<u64>(), 6_000);
    give_room(&journal);
    settled(&journal).await;
    assert_eq!(folded_events(&bodies(&journal, before)), (6_000, 12_000));
    assert!(!journal.report(events(1)).await.unwrap(), "with room each is a record again");
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_that_were_being_written_at_a_kill_become_records_once() {
    for present in [0_usize, 1, 3] {
        let folder = TempDir::new().unwrap();
        let journal = open(&folder, SMALL);
        fill(&journal, "folding").await;
        assert!(journal.report(events(30)).await.unwrap());
        let (before, totals) = (*journal.head().borrow(), journal.folded());
        close(&folder, journal);
        // The file says that the set is being written; so many of its records came to be before the kill.
        let stored = (1_u64, Some((before.epoch, before.seq)), totals.clone());
        let path = folder.path().join("journal/totals");
        std::fs::write(&path, sitewarden_protocol::codec::encode(&stored)).unwrap();
        let mark = std::fs::read(folder.path().join("journal/mark")).unwrap();
        let record = |(place, total): (u32, &Total)| {
            Record::encode(UnixMillis(1), &Body::Folded(Folded { set: 1, place, total: total.clone() })).unwrap()
        };
        let written: Run = (0..).zip(&totals).take(present).map(record).collect();
        let id = generation::Id { epoch: before.epoch, first: last_generation(&folder) };
        let generation = generation::Generation::open(&folder.path().join("journal"), id).unwrap();
        if present > 0 {
            let end = generation.verify().unwrap().0.unwrap();
            generation.commit(&[(before.seq + 1, page::Page { prev: end.chain, records: written })]).unwrap();
        }
        drop(generation);
        std::fs::write(folder.path().join("journal/mark"), mark).unwrap();
        let journal = open(&folder, SMALL);
        assert!(journal.folded().is_empty());
        assert_eq!(folded_events(&bodies(&journal, before)), (30, 60), "{present} were there");
    }
}

fn last_generation(folder: &TempDir) -> u64 {
    let names = std::fs::read_dir(folder.path().join("journal")).unwrap();
    let names = names.filter_map(|entry| generation::Id::parse(entry.unwrap().file_name().to_str()?));
    names.max().unwrap().first
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_limit_reports_are_refused_and_a_record_says_how_many() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, SMALL);
    fill(&journal, "full").await;
    let before = *journal.head().borrow();
    for _ in 0..3 {
        assert!(matches!(journal.report(events(100)).await, Err(AppendError::Full(_))));
    }
    assert!(matches!(journal.append(large(1)).await, Err(AppendError::Full(_))));
    assert_eq!(journal.shelf.counters.dropped.get(), 300);
    // The count outlives the process.
    close(&folder, journal);
    let journal = open(&folder, SMALL);
    assert!(matches!(journal.report(events(100)).await, Err(AppendError::Full(_))));
    give_room(&journal);
    let mut head = journal.head();
    tokio::time::timeout(Duration::from_secs(60), head.changed()).await.expect("it is told unasked").unwrap();
    let expected = Dropped { since: UnixMillis(1), until: UnixMillis(1), counts: vec![(kind::EVENT, 400)] };
    assert_eq!(bodies(&journal, before), [Body::Dropped(expected.clone())]);
    journal.append(records(0, 1).into_iter().collect()).await.unwrap();
    close(&folder, journal);
    let journal = open(&folder, SMALL);
    journal.append(records(1, 1).into_iter().collect()).await.unwrap();
    let told = bodies(&journal, before).into_iter().filter(|body| matches!(body, Body::Dropped(_)));
    assert_eq!(told.collect::<Vec<_>>(), [Body::Dropped(expected)], "it is told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_ever_new_kinds_stay_within_the_quota() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, SMALL);
    fill(&journal, "folding").await;
    let new_kinds = |from: u64| -> Run {
        let event = |number: u64| {
            let event = Event {
                app: "EMS".into(),
                kind: format!("kind {number}"),
                environment: "x".repeat(60),
                outcome: String::new(),
                count: 1,
                attributes: vec![],
            };
            Record::encode(UnixMillis(1), &Body::Event(event)).unwrap()
        };
        (from..from + 500).map(event).collect()
    };
    let (mut taken, mut refused) = (0, 0);
    for from in (0..100_000).step_by(500) {
        match journal.report(new_kinds(from)).await {
            Ok(_) => taken += 500,
            Err(AppendError::Full(_)) => refused += 500,
            Err(error) => panic!("{error}"),
        }
        assert!(journal.size().bytes < QUOTA + QUOTA / 4 + (2 << 20), "{}", journal.size().bytes);
    }
    assert_eq!(journal.shelf.counters.dropped.get(), refused);
    assert!(taken > 5_000, "{taken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_totals_are_set_aside_and_do_not_stop_the_journal() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, SMALL);
    fill(&journal, "folding").await;
    assert!(journal.report(events(30)).await.unwrap());
    close(&folder, journal);
    let path = folder.path().join("journal/totals");
    std::fs::write(&path, [0xa5; 50]).unwrap();
    let journal = open(&folder, SMALL);
    assert!(journal.folded().is_empty());
    assert_eq!(journal.shelf.counters.set_aside.get(), 1);
    assert!(journal.report(events(30)).await.unwrap());
}
