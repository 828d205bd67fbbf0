//! Bundles as files that pass through many hands: cut anywhere, flipped anywhere, taken apart and put together again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where what it relies on is not so")]

use proptest::prelude::*;
use sitewarden_protocol::bundle::{
    Content, End, Error, Failed, Item, MAX_MESSAGE, Manifest, Opened, Party, Reader, Report, Writer,
};
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::sealing::{OpeningKey, key_of_signer};
use sitewarden_protocol::signing::{PrivateKey, PublicKey};
use sitewarden_protocol::time::UnixMillis;
use std::sync::Arc;

const AGENT: AgentId = AgentId::from_bytes([7; 16]);

fn agent_key() -> Arc<PrivateKey> {
    Arc::new(PrivateKey::from_seed(&[3; 32]))
}

fn hub() -> OpeningKey {
    OpeningKey::from_seed(5, &[1; 32])
}

fn manifest(part: u32) -> Manifest {
    Manifest {
        bundle: [4; 16],
        part,
        made_at: UnixMillis(1_769_846_400_000),
        program: "0.1.0".into(),
        from: Party::Agent { agent: AGENT, key: agent_key().public() },
        to: Party::Hub(PrivateKey::from_seed(&[9; 32]).public()),
        sealed_to: None,
        content: Content::Report(Report { after: Position::default(), epochs: vec![], one_way: false }),
    }
}

fn end() -> End {
    End { messages: 0, records: 7, through: Position { epoch: 1, seq: 7 }, last: true }
}

/// A whole part; and where each of its pieces ends.
fn part(number: u32, messages: &[&[u8]], sealed: bool) -> (Vec<u8>, Vec<usize>) {
    let (mut writer, mut bytes) = Writer::begin(manifest(number), agent_key(), sealed.then(|| hub().public()));
    let mut ends = vec![bytes.len()];
    for (number, message) in messages.iter().enumerate() {
        bytes.extend(writer.message(message, [u8::try_from(number).unwrap(); 32]).unwrap());
        ends.push(bytes.len());
    }
    bytes.extend(writer.end(end()));
    ends.push(bytes.len());
    (bytes, ends)
}

#[derive(Debug, Default)]
struct Read {
    messages: Vec<Vec<u8>>,
    end: Option<End>,
    error: Option<Error>,
}

/// Reads a file in chunks of this size, and believes only what `key` signed.
fn read_by(file: &[u8], chunk: usize, key: &PublicKey, keys: &[OpeningKey]) -> Read {
    let (mut reader, mut head, mut read) = (Reader::default(), None, Read::default());
    for chunk in file.chunks(chunk) {
        reader.feed(chunk);
        loop {
            let item = match reader.take() {
                Ok(Some(item)) => item,
                Ok(None) => break,
                Err(error) => return Read { error: Some(error), ..read },
            };
            let result = match item {
                Item::Head(found) => {
                    let result = found.verify(key);
                    head = Some(found);
                    result.map(|()| None)
                }
                Item::Piece(piece) => head.as_ref().unwrap().open(piece, key, keys).map(Some),
            };
            match result {
                Ok(Some(Opened::Message(body))) => read.messages.push(body),
                Ok(Some(Opened::End(end))) => read.end = Some(end),
                Ok(None) => {}
                Err(error) => return Read { error: Some(error), ..read },
            }
        }
    }
    assert_eq!(reader.has_ended(), read.end.is_some());
    read
}

fn read(file: &[u8]) -> Read {
    read_by(file, 4_096, &agent_key().public(), &[hub()])
}

const MESSAGES: [&[u8]; 3] = [b"hello", b"", b"a batch of records"];

#[test]
fn what_is_written_is_read_back_whatever_the_chunks() {
    for sealed in [false, true] {
        let (file, _) = part(1, &MESSAGES, sealed);
        for chunk in [1, 7, file.len()] {
            let read = read_by(&file, chunk, &agent_key().public(), &[hub()]);
            assert_eq!(read.messages, MESSAGES);
            assert_eq!(read.end, Some(End { messages: 3, ..end() }));
        }
    }
}

#[test]
fn a_sealed_bundle_shows_nothing_and_opens_for_its_receiver_only() {
    let (file, _) = part(1, &MESSAGES, true);
    assert!(!file.windows(7).any(|window| window == b"records"));
    let stranger = read_by(&file, 4_096, &agent_key().public(), &[OpeningKey::from_seed(5, &[2; 32])]);
    assert!(stranger.messages.is_empty() && matches!(stranger.error, Some(Error::Sealed(_))));
    let keyless = read_by(&file, 4_096, &agent_key().public(), &[]);
    assert!(matches!(keyless.error, Some(Error::NoSuchKey(5))));
}

#[test]
fn a_hub_seals_to_the_key_that_an_agent_signs_with() {
    let agent = agent_key();
    let to = key_of_signer(&agent.public()).unwrap();
    let own = OpeningKey::of_signer(&agent).unwrap();
    assert_eq!(own.public(), to);
    let (mut writer, mut file) = Writer::begin(manifest(1), agent_key(), Some(to));
    file.extend(writer.message(b"a snapshot", [8; 32]).unwrap());
    file.extend(writer.end(end()));
    let other = OpeningKey::of_signer(&PrivateKey::from_seed(&[4; 32])).unwrap();
    assert_eq!(read_by(&file, 100, &agent.public(), &[own]).messages, [b"a snapshot"]);
    assert!(matches!(read_by(&file, 100, &agent.public(), &[other]).error, Some(Error::Sealed(_))));
}

#[test]
fn a_file_that_is_cut_at_any_byte_is_used_up_to_the_cut() {
    let (file, ends) = part(1, &MESSAGES, true);
    for length in 0..file.len() {
        let read = read(&file[..length]);
        let whole = ends.iter().filter(|end| **end <= length).count().saturating_sub(1);
        assert_eq!(read.messages, MESSAGES[..whole.min(3)], "cut at {length}");
        assert!(read.end.is_none() && read.error.is_none(), "cut at {length}: {read:?}");
    }
}

#[test]
fn no_flipped_bit_is_believed_and_what_comes_before_it_is() {
    let (file, ends) = part(1, &MESSAGES, true);
    for bit in 0..file.len() * 8 {
        let mut bad = file.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let read = read(&bad);
        let whole = ends.iter().filter(|end| **end <= bit / 8).count().saturating_sub(1);
        assert_eq!(read.messages, MESSAGES[..whole], "bit {bit}");
        // A length that became longer waits for bytes that do not come: then the file looks cut.
        assert!(read.end.is_none(), "bit {bit}: {read:?}");
    }
}

#[test]
fn what_another_signed_is_not_believed_though_its_checksums_are_right() {
    let (file, _) = part(1, &MESSAGES, false);
    let read = read_by(&file, 4_096, &PrivateKey::from_seed(&[6; 32]).public(), &[]);
    assert!(read.messages.is_empty() && matches!(read.error, Some(Error::Signature(_))));
}

#[test]
fn pieces_cannot_be_left_out_moved_or_taken_from_another_part() {
    let (file, ends) = part(1, &MESSAGES, true);
    let (other, _) = part(2, &MESSAGES, true);
    let (head, first, second, rest) =
        (&file[..ends[0]], &file[ends[0]..ends[1]], &file[ends[1]..ends[2]], &file[ends[2]..]);
    assert_eq!(read(&[head, first, second, rest].concat()).messages.len(), 3);
    for (patched, taken) in [
        ([head, second, rest].concat(), 0),
        ([head, second, first, rest].concat(), 0),
        ([head, first, first, second, rest].concat(), 1),
        ([head, first, &other[ends[1]..]].concat(), 1),
    ] {
        let read = read(&patched);
        assert_eq!(read.messages.len(), taken);
        assert!(matches!(read.error, Some(Error::Signature(_))));
    }
}

#[test]
fn something_behind_the_end_and_something_else_altogether_are_told() {
    let (mut file, _) = part(1, &MESSAGES, false);
    file.push(0);
    let trailing = read(&file);
    assert!(trailing.end.is_some() && matches!(trailing.error, Some(Error::Trailing)));
    assert!(matches!(read(b"%PDF-1.7 and so on").error, Some(Error::NotABundle)));
    let mut newer = file.clone();
    newer[8] = 2;
    assert!(matches!(read(&newer).error, Some(Error::Layout(2))));
}

#[test]
fn a_message_that_would_not_fit_into_a_frame_is_refused_and_the_largest_is_not() {
    let (mut writer, mut file) = Writer::begin(manifest(1), agent_key(), Some(hub().public()));
    assert_eq!(writer.message(&vec![1; MAX_MESSAGE + 1], [0; 32]), Err(Failed::TooLong(MAX_MESSAGE + 1)));
    file.extend(writer.message(&vec![1; MAX_MESSAGE], [0; 32]).unwrap());
    file.extend(writer.end(end()));
    assert_eq!(read(&file).messages[0].len(), MAX_MESSAGE);
}

proptest! {
    /// Hostile bytes cost an error, never more: also behind a good beginning.
    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600), keep in 0_usize..500) {
        let (file, _) = part(1, &MESSAGES, false);
        let mut hostile = file[..keep.min(file.len())].to_vec();
        hostile.extend(bytes);
        let read = read(&hostile);
        prop_assert!(read.messages.len() <= MESSAGES.len());
        prop_assert!(read.messages.iter().zip(MESSAGES).all(|(read, written)| read == written));
    }

    #[test]
    fn any_messages_come_back(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2_000), 0..8),
        chunk in 1_usize..3_000, sealed: bool) {
        let borrowed: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let (file, _) = part(1, &borrowed, sealed);
        let read = read_by(&file, chunk, &agent_key().public(), &[hub()]);
        prop_assert_eq!(read.messages, messages);
        prop_assert!(read.end.is_some());
    }
}
