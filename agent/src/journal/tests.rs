//! The journal against a real folder.

use super::generation::RECORDS;
use super::*;
use tempfile::TempDir;

const AGENT: AgentId = AgentId::from_bytes([7; 16]);
const ROOM: Settings = Settings { quota: 1 << 40, reserve: 0 };

fn open(folder: &TempDir, settings: Settings) -> Journal {
    let counters = Arc::new(Counters::default());
    Journal::open(&folder.path().join("journal"), AGENT, settings, Position::default(), counters, UnixMillis(1))
        .unwrap()
}

/// Closing is asynchronous: the writer's thread ends when the last handle is gone, and then sled lets go of its files.
fn close(folder: &TempDir, journal: Journal) {
    drop(journal);
    let files =
        || std::fs::read_dir(folder.path().join("journal")).unwrap().map(|entry| entry.unwrap().path().join("db"));
    for file in files().filter(|file| file.exists()) {
        let file = std::fs::File::open(file).unwrap();
        while file.try_lock().is_err() {
            std::thread::yield_now();
        }
    }
}

fn reopen(folder: &TempDir, journal: Journal) -> Journal {
    close(folder, journal);
    open(folder, ROOM)
}

fn records(from: u64, count: u64) -> Vec<Vec<u8>> {
    (from..from + count).map(|number| format!("record {number}").into_bytes()).collect()
}

fn run(from: u64, count: u64) -> Run {
    records(from, count).into_iter().collect()
}

/// Everything in the journal after its first record, which says why the epoch began.
fn read_all(journal: &Journal) -> (Vec<Vec<u8>>, u64) {
    let mut after = Position { epoch: 1, seq: 1 };
    let (mut all, mut lost) = (Vec::new(), 0);
    let mut chain: Option<Chain> = None;
    while let Some(draft) = journal.read_after(after).unwrap() {
        if draft.lost == 0 && draft.after.position.epoch == after.epoch {
            assert!(chain.is_none_or(|chain| chain == draft.after.chain), "the chain runs on");
        }
        chain = Some(draft.after.chain.then_all(draft.records.iter()));
        lost += draft.lost;
        all.extend(draft.records.iter().map(<[u8]>::to_vec));
        after = Position {
            epoch: draft.after.position.epoch,
            seq: draft.after.position.seq + u64::from(draft.records.count()),
        };
    }
    (all, lost)
}

#[tokio::test]
async fn what_was_appended_is_read_back_in_order_also_after_reopening() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, ROOM);
    for batch in 0..20 {
        let at = journal.append(run(batch * 100, 100)).await.unwrap();
        assert_eq!(at, Position { epoch: 1, seq: 1 + (batch + 1) * 100 });
    }
    assert_eq!(read_all(&journal), (records(0, 2_000), 0));
    let draft = journal.read_after(Position { epoch: 1, seq: 700 }).unwrap().unwrap();
    assert_eq!(journal.chain_at(Position { epoch: 1, seq: 700 }).unwrap(), Some(draft.after.chain));
    assert_eq!(journal.chain_at(Position { epoch: 1, seq: 2_002 }).unwrap(), None);
    let journal = reopen(&folder, journal);
    assert_eq!(read_all(&journal), (records(0, 2_000), 0));
    assert_eq!(journal.append(run(2_000, 1)).await.unwrap().seq, 2_002);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_share_a_sync() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, ROOM);
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for number in 0..20 {
                    journal.append(run(caller * 100 + number, 1)).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let counters = &journal.shelf.counters;
    assert_eq!(counters.records.get(), 1 + 64 * 20);
    assert!(counters.syncs.get() < 64 * 20 / 4, "{} syncs", counters.syncs.get());
}

#[tokio::test]
async fn acknowledged_generations_give_their_space_back_once_a_checkpoint_holds_them() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, ROOM);
    for batch in 0..(3 * RECORDS / 5_000) {
        journal.append(run(batch * 5_000, 5_000)).await.unwrap();
    }
    let folders = || {
        std::fs::read_dir(folder.path().join("journal"))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().is_dir())
            .count()
    };
    let head = *journal.head().borrow();
    assert_eq!(folders(), 3);
    journal.acknowledge(head);
    assert_eq!(folders(), 3, "nothing goes before a checkpoint holds it");
    journal.checkpointed(head);
    assert_eq!(folders(), 2, "one acknowledged generation stays for a hub that asks again, and the one written to");
    assert_eq!(journal.size().backlog, 0);
}

#[tokio::test]
async fn what_was_sent_is_kept_for_as_long_as_the_site_says() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, ROOM);
    for batch in 0..(3 * RECORDS / 5_000) {
        journal.append(run(batch * 5_000, 5_000)).await.unwrap();
    }
    let folders = || {
        let entries = std::fs::read_dir(folder.path().join("journal")).unwrap().map(|entry| entry.unwrap().path());
        let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    };
    let (head, month) = (*journal.head().borrow(), Duration::from_secs(30 * 86_400));
    journal.keep_sent_for(month);
    journal.acknowledge(head);
    journal.checkpointed(head);
    assert_eq!((folders().len(), journal.size().backlog), (3, 0));
    assert!(journal.chain_at(Position { epoch: 1, seq: 1 }).unwrap().is_some(), "it can be asked for again");
    close(&folder, journal);
    // A month passes.
    let closed = folders()[0].join("closed");
    let then: u64 = std::fs::read_to_string(&closed).unwrap().parse().unwrap();
    std::fs::write(&closed, (then - month.as_secs()).to_string()).unwrap();
    let journal = open(&folder, ROOM);
    journal.keep_sent_for(month);
    journal.acknowledge(head);
    journal.checkpointed(head);
    assert_eq!(folders().len(), 2);
    journal.keep_sent_for(Duration::ZERO);
    journal.tidy();
    assert_eq!(folders().len(), 2, "one stays in any case, and the one written to");
}

#[tokio::test]
async fn a_generation_is_written_to_for_a_day_at_most() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, ROOM);
    journal.append(run(1, 3)).await.unwrap();
    let generations = || {
        let entries = std::fs::read_dir(folder.path().join("journal")).unwrap().map(|entry| entry.unwrap().path());
        let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    };
    let begun = generations()[0].join("begun");
    let then: u64 = std::fs::read_to_string(&begun).unwrap().parse().unwrap();
    let age = |seconds: u64| std::fs::write(&begun, (then - seconds).to_string()).unwrap();
    close(&folder, journal);
    age(86_400 - 600);
    let journal = open(&folder, ROOM);
    journal.append(run(4, 3)).await.unwrap();
    assert_eq!(generations().len(), 1, "it is not a day old");
    close(&folder, journal);
    age(86_400);
    let journal = open(&folder, ROOM);
    journal.append(run(7, 3)).await.unwrap();
    journal.append(run(10, 3)).await.unwrap();
    assert_eq!(generations().len(), 2, "a day is over, and the next one begins");
    assert_eq!(read_all(&journal), (records(1, 12), 0), "what was written runs on");
}

#[tokio::test]
async fn what_is_kept_never_takes_the_room_of_what_is_to_be_sent() {
    let folder = TempDir::new().unwrap();
    let quota = 16 << 20;
    let journal = open(&folder, Settings { quota, reserve: 0 });
    journal.keep_sent_for(Duration::MAX);
    for _ in 0..50 {
        let large = std::iter::repeat_n([7; 3_000], 500).collect::<Run>();
        let at = journal.append(large).await.unwrap();
        journal.acknowledge(at);
        journal.checkpointed(at);
        assert!(journal.size().bytes <= quota + quota / 4, "{}", journal.size().bytes);
    }
}

#[tokio::test]
async fn past_its_quota_the_journal_refuses_and_takes_records_again_once_the_hub_has_some() {
    let folder = TempDir::new().unwrap();
    let quota = 16 << 20;
    let journal = open(&folder, Settings { quota, reserve: 0 });
    let large = || std::iter::repeat_n([7; 3_000], 500).collect::<Run>();
    let mut stored = 0;
    let refused = loop {
        match journal.append(large()).await {
            Ok(_) => stored += 500,
            Err(error) => break error,
        }
        assert!(stored < 20_000, "the quota holds");
    };
    assert!(matches!(refused, AppendError::Full(_)), "{refused}");
    assert!(journal.shelf.counters.refused_full.get() >= 500);
    assert!(journal.size().bytes < quota + quota / 4 + (4 << 20), "{}", journal.size().bytes);
    let head = *journal.head().borrow();
    journal.acknowledge(head);
    journal.checkpointed(head);
    while journal.append(large()).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_damaged_newest_generation_is_set_aside_and_a_new_epoch_says_so() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, ROOM);
    journal.append(run(0, 500)).await.unwrap();
    close(&folder, journal);
    let file = folder.path().join("journal/00000001-0000000000000001/db");
    std::fs::write(&file, vec![0xa5; 70_000]).unwrap();
    let journal = open(&folder, ROOM);
    assert_eq!(*journal.head().borrow(), Position { epoch: 2, seq: 1 });
    let draft = journal.read_after(Position { epoch: 1, seq: 1 }).unwrap().unwrap();
    let first = sitewarden_protocol::record::Record::decode(draft.records.iter().next().unwrap()).unwrap();
    let sitewarden_protocol::record::Body::EpochBegun(begun) = first.decode_body().unwrap() else {
        panic!("not an epoch's begin")
    };
    assert!(begun.cause.contains("damaged"), "{}", begun.cause);
    assert_eq!((begun.previous, begun.kept, begun.written), (1, 0, 501));
}

#[tokio::test]
async fn a_damaged_generation_in_the_middle_is_declared_lost_and_reading_goes_on() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, ROOM);
    for batch in 0..(3 * RECORDS / 5_000) {
        journal.append(run(batch * 5_000, 5_000)).await.unwrap();
    }
    close(&folder, journal);
    let mut middle: Vec<_> =
        std::fs::read_dir(folder.path().join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    middle.sort();
    std::fs::write(middle[1].join("db"), vec![0x5a; 70_000]).unwrap();
    let journal = open(&folder, ROOM);
    let (all, lost) = read_all(&journal);
    assert_eq!(all.len() as u64 + lost, 3 * RECORDS);
    assert!(lost >= RECORDS, "{lost} lost");
    assert_eq!(all.last(), records(3 * RECORDS - 1, 1).last());
}

/// A journal whose end is gone: as if records after its 500 had been written. A new epoch has begun, and the old one stays
/// to be sent.
async fn with_its_end_lost() -> (TempDir, Journal) {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, ROOM);
    journal.append(run(0, 500)).await.unwrap();
    close(&folder, journal);
    let mark = mark::Mark::open(&folder.path().join("journal")).unwrap();
    mark.write(Position { epoch: 1, seq: 600 }).unwrap();
    let journal = open(&folder, ROOM);
    (folder, journal)
}

/// What the newest epoch says at its beginning: of which epoch, what is kept, what was written.
fn begins_with(journal: &Journal) -> Vec<(u64, u64, u64)> {
    use sitewarden_protocol::record::{Body, Record};
    let newest = Position { epoch: journal.head().borrow().epoch, seq: 0 };
    let draft = journal.read_after(newest).unwrap().unwrap();
    let told = |record: &[u8]| match Record::decode(record).and_then(|record| record.decode_body()).unwrap() {
        Body::EpochBegun(begun) => (begun.previous, begun.kept, begun.written),
        other => panic!("{other:?}"),
    };
    draft.records.iter().map(told).collect()
}

#[tokio::test]
async fn the_lost_end_of_an_older_epoch_is_declared_once() {
    let (folder, journal) = with_its_end_lost().await;
    assert_eq!(*journal.head().borrow(), Position { epoch: 2, seq: 1 });
    close(&folder, journal);
    std::fs::write(folder.path().join("journal/00000001-0000000000000001/db"), vec![0xa5; 70_000]).unwrap();
    let journal = open(&folder, ROOM);
    assert_eq!(begins_with(&journal), [(2, 1, 1), (1, 0, 501)]);
    let journal = reopen(&folder, journal);
    assert_eq!(journal.head().borrow().epoch, 3, "what was declared is not declared again");
}

#[tokio::test]
async fn an_older_epoch_is_offered_for_as_long_as_it_is_held_to_a_hub_that_may_be_restored() {
    let (_folder, journal) = with_its_end_lost().await;
    journal.acknowledge(*journal.head().borrow());
    let heads: Vec<_> = journal.extents().iter().map(|extent| extent.head.position).collect();
    assert_eq!(heads, [Position { epoch: 1, seq: 501 }, Position { epoch: 2, seq: 1 }]);
    assert_eq!(journal.size().backlog, 0);
}

#[tokio::test]
async fn what_an_epoch_said_is_lost_is_said_again_if_damage_takes_that_too() {
    let (folder, journal) = with_its_end_lost().await;
    assert_eq!(journal.head().borrow().epoch, 2);
    close(&folder, journal);
    std::fs::write(folder.path().join("journal/00000002-0000000000000001/db"), vec![0xa5; 70_000]).unwrap();
    let journal = open(&folder, ROOM);
    assert_eq!(begins_with(&journal), [(2, 0, 1), (1, 501, 600)]);
    let journal = reopen(&folder, journal);
    assert_eq!(journal.head().borrow().epoch, 3, "what is said is not said again");
}

mod clearing;
mod damage;
mod little_room;
