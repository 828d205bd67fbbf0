//! Admission by property: however a history is cut into batches, repeated and reordered, each record is stored once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where what it relies on is not so")]

use proptest::prelude::*;
use sitewarden_protocol::batch::{Draft, Header, Signed};
use sitewarden_protocol::chain::{Cursor, Position};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::Refusal;
use sitewarden_protocol::record::Run;
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::time::UnixMillis;
use sitewarden_tests::simulation::store::{Laxity, Store};

const AGENT: AgentId = AgentId::from_bytes([7; 16]);

fn record(seq: usize) -> Vec<u8> {
    format!("record {seq}").into_bytes()
}

/// The records after `from` up to `to`, of a history in which `lost` records before them are gone.
fn batch(from: usize, to: usize, lost: u64) -> (Header, Run) {
    let chain = (1..=from).fold(Cursor::start(AGENT, 1).chain, |chain, seq| chain.then(&record(seq)));
    let mut records = Run::default();
    (from + 1..=to).for_each(|seq| records.push(&record(seq)));
    let after = Cursor { position: Position { epoch: 1, seq: from as u64 }, chain };
    let draft = Draft { after, lost, records };
    let key = PrivateKey::from_seed(&[1; 32]);
    let (header, signed) = Signed::make(AGENT, &draft, UnixMillis(0), &key).unwrap();
    let run = signed.open(&signed.verify(&key.public()).unwrap()).unwrap();
    (header, run)
}

prop_compose! {
    /// A history's length, and overlapping cuts of it in any order, some more than once.
    fn cuts()(length in 1_usize..60)(
        length in Just(length),
        cuts in prop::collection::vec((0..length, 1_usize..20), 1..40),
    ) -> (usize, Vec<(usize, usize)>) {
        (length, cuts.into_iter().map(|(from, count)| (from, (from + count).min(length))).collect())
    }
}

proptest! {
    #[test]
    fn any_cutting_ends_with_each_record_stored_once((length, cuts) in cuts()) {
        let mut store = Store::default();
        for (from, to) in cuts {
            let before = store.cursor(AGENT, 1);
            let (header, run) = batch(from, to, 0);
            match store.take(&header, &run, Laxity::None) {
                Ok(cursor) => prop_assert!(cursor.position.seq >= before.position.seq.max(to as u64)),
                Err(refusal) => {
                    prop_assert_eq!(refusal, Refusal::Missing(before));
                    prop_assert!(from as u64 > before.position.seq);
                }
            }
        }
        // What the agent does in the end: it sends on from where the hub says it is.
        let from = usize::try_from(store.cursor(AGENT, 1).position.seq).unwrap();
        if from < length {
            let (header, run) = batch(from, length, 0);
            prop_assert!(store.take(&header, &run, Laxity::None).is_ok());
        }
        let shelf = &store.shelves[&1];
        let expected: Vec<_> = (1..=length).map(|seq| (seq as u64, record(seq))).collect();
        prop_assert_eq!(&shelf.rows, &expected);
        prop_assert!(shelf.gaps.is_empty());
    }

    #[test]
    fn another_history_is_never_stored(from in 0_usize..20, count in 1_usize..10, have in 1_usize..20) {
        let mut store = Store::default();
        let (header, run) = batch(0, have, 0);
        store.take(&header, &run, Laxity::None).unwrap();
        let rows = store.shelves[&1].rows.clone();
        // The same numbers, with the chain of another past.
        let (mut header, run) = batch(from, from + count, 0);
        header.prev = Cursor::start(AGENT, 2).chain;
        header.head = header.prev.then_all(run.iter());
        let taken = store.take(&header, &run, Laxity::None);
        prop_assert_eq!(&store.shelves[&1].rows, &rows);
        // One that ends inside what is stored is confirmed without a look: its chain there is not kept.
        if header.last >= have as u64 && from <= have {
            prop_assert_eq!(taken, Err(Refusal::Fork));
        }
    }

    #[test]
    fn a_loss_is_counted_as_far_as_it_is_real(have in 0_usize..10, first in 11_usize..20, lost in 0_u64..20) {
        let lost = lost.min(first as u64 - 1);
        let mut store = Store::default();
        if have > 0 {
            let (header, run) = batch(0, have, 0);
            store.take(&header, &run, Laxity::None).unwrap();
        }
        let (header, run) = batch(first - 1, first, lost);
        let missing = (first - 1 - have) as u64;
        let taken = store.take(&header, &run, Laxity::None);
        if lost < missing {
            prop_assert_eq!(taken, Err(Refusal::Missing(store.cursor(AGENT, 1))));
        } else {
            prop_assert_eq!(taken.unwrap().position.seq, first as u64);
            let counted: u64 = store.shelves[&1].gaps.iter().map(|gap| gap.last - gap.first + 1).sum();
            prop_assert_eq!(counted, missing);
        }
    }
}
