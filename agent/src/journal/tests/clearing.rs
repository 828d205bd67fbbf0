//! Going on in a fresh epoch at the word of the hub's administrator.

use super::*;
use sitewarden_protocol::chain::Cursor;
use sitewarden_protocol::clearance::Clearance;
use sitewarden_protocol::record::{Body, Record};

/// What the hub says of an agent that it shares the first `seq` records with, although its own history goes on elsewhere.
fn clearance(journal: &Journal, epoch: u64, seq: u64) -> Clearance {
    let shared = Position { epoch: 1, seq };
    let chain = journal.chain_at(shared).unwrap().unwrap();
    let elsewhere = Cursor { position: Position { epoch: 1, seq: seq + 2 }, chain: Chain::from_bytes([9; 32]) };
    Clearance { agent: AGENT, epoch, known: vec![elsewhere, Cursor { position: shared, chain }], at: UnixMillis(2) }
}

/// A journal of ten records, of which the hub has four and then another history, after the start that follows the word.
async fn cleared(folder: &TempDir) -> Journal {
    let journal = open(folder, ROOM);
    journal.append(run(0, 10)).await.unwrap();
    assert!(journal.clear(&clearance(&journal, 4, 5)).unwrap());
    let journal = reopen(folder, journal);
    journal.carry_over(UnixMillis(3)).await.unwrap();
    journal
}

/// What is left to be sent: the records of the newest epoch after those that say why it began.
fn to_be_sent(journal: &Journal) -> Vec<Vec<u8>> {
    let extents = journal.extents();
    assert_eq!(extents.len(), 1, "the forked epoch is not offered any more: {extents:?}");
    let (mut all, mut after) = (Vec::new(), journal.superseded());
    while let Some(draft) = journal.read_after(after).unwrap() {
        assert_eq!(draft.after.position.epoch, extents[0].head.position.epoch);
        all.extend(draft.records.iter().map(<[u8]>::to_vec));
        after.seq = draft.after.position.seq + u64::from(draft.records.count());
    }
    all.retain(|record| !matches!(Record::decode(record).and_then(|one| one.decode_body()), Ok(Body::EpochBegun(_))));
    all
}

#[tokio::test]
async fn what_was_recorded_since_the_fork_comes_again_once_in_the_epoch_that_was_named() {
    let folder = TempDir::new().unwrap();
    let journal = cleared(&folder).await;
    assert_eq!((journal.head().borrow().epoch, to_be_sent(&journal)), (4, records(4, 6)));
    assert!(!journal.clear(&clearance(&journal, 4, 5)).unwrap(), "the same word again is nothing");
}

#[tokio::test]
async fn a_start_before_the_hub_confirmed_anything_does_not_offer_the_forked_records_again() {
    let folder = TempDir::new().unwrap();
    let journal = cleared(&folder).await;
    let last = *journal.head().borrow();
    // As after a kill: what the agent remembers of the hub's receipts is older than the word.
    let journal = reopen(&folder, journal);
    journal.carry_over(UnixMillis(3)).await.unwrap();
    assert_eq!((*journal.head().borrow(), to_be_sent(&journal)), (last, records(4, 6)));
    assert!(journal.is_carried(last) && !journal.is_carried(Position { seq: last.seq + 1, ..last }));
}

/// What the newest epoch says is lost of the first one: after which record, up to which.
fn told(journal: &Journal) -> Vec<(u64, u64)> {
    let (mut all, mut after) = (Vec::new(), journal.superseded());
    while let Some(draft) = journal.read_after(after).unwrap() {
        after.seq = draft.after.position.seq + u64::from(draft.records.count());
        for record in draft.records.iter() {
            if let Ok(Body::EpochBegun(begun)) = Record::decode(record).and_then(|one| one.decode_body())
                && begun.written > begun.kept
            {
                assert_eq!(begun.previous, 1);
                all.push((begun.kept, begun.written));
            }
        }
    }
    all
}

#[tokio::test]
async fn what_is_damaged_of_the_records_since_the_fork_is_told_in_the_new_epoch() {
    for damaged in [&[1][..], &[2], &[1, 2]] {
        let folder = TempDir::new().unwrap();
        let journal = open(&folder, ROOM);
        for batch in 0..(2 * RECORDS / 5_000 + 1) {
            journal.append(run(batch * 5_000, 5_000)).await.unwrap();
        }
        let written = journal.head().borrow().seq;
        journal.clear(&clearance(&journal, 2, 5)).unwrap();
        close(&folder, journal);
        let entries = std::fs::read_dir(folder.path().join("journal")).unwrap().map(|entry| entry.unwrap().path());
        let mut generations: Vec<_> = entries.filter(|path| path.is_dir()).collect();
        generations.sort();
        assert_eq!(generations.len(), 3);
        for index in damaged {
            std::fs::write(generations[*index].join("db"), vec![0x5a; 70_000]).unwrap();
        }
        let journal = open(&folder, ROOM);
        journal.carry_over(UnixMillis(3)).await.unwrap();
        let (come, told) = (to_be_sent(&journal), told(&journal));
        let lost: u64 = told.iter().map(|(kept, written)| written - kept).sum();
        assert_eq!((come.first(), come.len() as u64 + lost), (records(4, 1).first(), written - 5), "{told:?}");
        assert!(lost >= 5_000, "{damaged:?}: {told:?}");
    }
}

const SMALL: Settings = Settings { quota: 16 << 20, reserve: 0 };

/// Records of three kilobytes that can be told apart, as many as there is room for.
async fn fill(journal: &Journal) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let some: Vec<Vec<u8>> = (0..100).map(|place| format!("{:>3000}", all.len() + place).into_bytes()).collect();
        match journal.append(some.iter().map(Vec::as_slice).collect()).await {
            Ok(_) => all.extend(some),
            Err(AppendError::Full(_)) => return all,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_journal_holds_comes_over_whole_and_gives_its_space_back_later() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, SMALL);
    let mut all = fill(&journal).await;
    // The hub has the first hundred.
    assert!(journal.clear(&clearance(&journal, 2, 101)).unwrap());
    all.drain(..100);
    close(&folder, journal);

    let journal = open(&folder, SMALL);
    journal.carry_over(UnixMillis(3)).await.unwrap();
    assert_eq!(to_be_sent(&journal), all, "every record is in the new epoch, once and in order");
    assert_eq!(journal.size().backlog, 1 + all.len() as u64, "and is counted once");
    assert!(matches!(journal.append(run(0, 1)).await, Err(AppendError::Full(_))), "others find no room meanwhile");
    // The old epoch is of no use once a checkpoint holds it; the new one as the hub confirms it.
    journal.checkpointed(*journal.head().borrow());
    assert!(journal.size().bytes < SMALL.quota + SMALL.quota / 2, "{}", journal.size().bytes);
    journal.acknowledge(*journal.head().borrow());
    journal.append(run(0, 1)).await.unwrap();
}

#[tokio::test]
async fn a_second_word_carries_over_what_the_first_one_did_and_nothing_twice() {
    let folder = TempDir::new().unwrap();
    let journal = cleared(&folder).await;
    journal.append(run(10, 2)).await.unwrap();
    let second = Clearance { agent: AGENT, epoch: 6, known: vec![], at: UnixMillis(4) };
    assert!(journal.clear(&second).unwrap());
    let journal = reopen(&folder, journal);
    journal.carry_over(UnixMillis(5)).await.unwrap();
    assert_eq!((journal.head().borrow().epoch, to_be_sent(&journal)), (6, records(4, 8)));
}

#[tokio::test]
async fn a_start_that_ends_while_it_carries_over_is_made_again() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, ROOM);
    journal.append(run(0, 10)).await.unwrap();
    assert!(journal.clear(&clearance(&journal, 2, 5)).unwrap());
    // It began the epoch, wrote a part into it, and was killed.
    let journal = reopen(&folder, journal);
    journal.writer.carry(run(4, 3)).await.unwrap();
    let journal = reopen(&folder, journal);
    journal.carry_over(UnixMillis(3)).await.unwrap();
    assert_eq!(to_be_sent(&journal), records(4, 6));
}

#[tokio::test]
async fn another_key_begins_another_epoch_once_with_a_journal_and_without() {
    let (folder, path) = (TempDir::new().unwrap(), |folder: &TempDir| folder.path().join("journal"));
    let journal = open(&folder, ROOM);
    journal.append(run(0, 10)).await.unwrap();
    let word = clearance(&journal, 2, 5);
    close(&folder, journal);
    let again = |word: Clearance, path: PathBuf| async move {
        let acknowledged = Position { epoch: 1, seq: 3 };
        Journal::clear_again(&path, (AGENT, ROOM), acknowledged, &word, UnixMillis(3)).await.unwrap();
    };
    again(word.clone(), path(&folder)).await;
    // The command was interrupted after that, and comes again.
    again(word.clone(), path(&folder)).await;
    let journal = open(&folder, ROOM);
    journal.carry_over(UnixMillis(4)).await.unwrap();
    assert_eq!((journal.head().borrow().epoch, to_be_sent(&journal)), (2, records(4, 6)));
    // It was interrupted later, and the agent has gone on with what it had: the next epoch comes after both.
    close(&folder, journal);
    again(word.clone(), path(&folder)).await;
    let journal = open(&folder, ROOM);
    journal.carry_over(UnixMillis(5)).await.unwrap();
    assert_eq!((journal.head().borrow().epoch, to_be_sent(&journal)), (3, records(4, 6)));

    let empty = TempDir::new().unwrap();
    again(Clearance { epoch: 7, ..word }, path(&empty)).await;
    let journal = open(&empty, ROOM);
    journal.carry_over(UnixMillis(6)).await.unwrap();
    assert_eq!(*journal.head().borrow(), Position { epoch: 7, seq: 1 });
}
