//! A batch: a run of consecutive records, compressed, where the site wants it sealed to the hub, and signed by the agent.
//!
//! The signature is over the header's bytes as sent, and the header holds the hash of the payload's bytes as sent. So a
//! header and its signature alone prove what an agent said about a stretch of its history, and are kept as evidence
//! when the payload has long been taken apart.

use crate::chain::{Chain, Cursor, Position};
use crate::codec::{self, Decode, Encode};
use crate::id::AgentId;
use crate::record::{NotARun, Run};
use crate::sealing::{self, BadKey, NotSealedHere, OpeningKey, Place};
use crate::signing::{BadSignature, PrivateKey, PublicKey, Purpose, Signature};
use crate::snapshot::SealingKey;
use crate::time::UnixMillis;

/// The most records in one batch.
pub const MAX_RECORDS: u32 = 4_096;
/// The most bytes of records in one batch, before compression.
pub const MAX_RAW: usize = 512 << 10;

/// zstd level 1: four times smaller at 590 MB/s; level 3 gains a few per cent more and takes twice as long.
const ZSTD_LEVEL: i32 = 1;

/// How a payload's bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Encoding {
    /// A [`Run`] compressed with zstd.
    Zstd,
    /// The same, then [sealed](crate::sealing) to the hub's key with this number. Since version 2, and only to a hub whose
    /// snapshot names the key.
    SealedZstd(u32),
}

/// What a payload is sealed to. Does not print.
pub struct Seal {
    /// The hub's key.
    pub key: SealingKey,
    /// Thirty-two secret random bytes, for this batch only.
    pub random: [u8; 32],
}

/// What the agent says of a batch, and signs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Header {
    /// Whose records.
    pub agent: AgentId,
    /// Of which life of its journal.
    pub epoch: u64,
    /// The first record's number.
    pub first: u64,
    /// The last record's number.
    pub last: u64,
    /// The chain before the first record.
    pub prev: Chain,
    /// The chain after the last record.
    pub head: Chain,
    /// How many records right before `first` the agent has lost for good; 0 as a rule. This is the signed gap: with
    /// it, and only with it, the hub accepts that the chain does not join on to what it has.
    pub lost: u64,
    /// When the batch was made, by the agent's wall clock.
    pub made_at: UnixMillis,
    /// How the payload is to be read.
    pub encoding: Encoding,
    /// Length of the records before compression, bytes.
    pub raw_length: u32,
    /// BLAKE3 of the payload as sent.
    pub payload_hash: [u8; 32],
}

/// A batch as it is sent and carried: the bytes that were signed, kept as they are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Signed {
    /// The encoded [`Header`].
    pub header: Vec<u8>,
    /// The agent's signature over `header`.
    pub signature: Signature,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Records on their way into a batch.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Where the records join on.
    pub after: Cursor,
    /// See [`Header::lost`].
    pub lost: u64,
    /// The records; at least one, at most [`MAX_RECORDS`] and [`MAX_RAW`] bytes.
    pub records: Run,
}

/// Why a batch cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The header is no header.
    #[error("the batch's header is unreadable: {0}")]
    Header(#[source] codec::Error),
    /// Another agent's batch, or one altered on the way.
    #[error("the batch's signature is not the agent's")]
    Signature(#[from] BadSignature),
    /// The payload is not the one that was signed.
    #[error("the payload is not the one that the header names")]
    PayloadHash,
    /// The header contradicts itself or its payload. Signed, so the agent's own fault.
    #[error("the batch contradicts itself: {0}")]
    Inconsistent(&'static str),
    /// The hub's sealing key is none.
    #[error(transparent)]
    SealingKey(#[from] BadKey),
    /// The payload is sealed to a key that is not at hand.
    #[error("the payload is sealed to key {0}, which this hub does not have; restore it to the folder of keys")]
    NoSuchKey(u32),
    /// The payload is sealed to something else.
    #[error("the payload cannot be opened with key {0}: it was sealed to another, or for another header")]
    Sealed(u32, #[source] NotSealedHere),
    /// The payload cannot be expanded.
    #[error("the payload cannot be expanded: {0}")]
    Compression(std::io::Error),
    /// The payload is no run of records.
    #[error("the payload is damaged: {0}")]
    Run(#[from] NotARun),
}

impl Header {
    /// The last record and the chain there.
    pub fn end(&self) -> Cursor {
        Cursor { position: Position { epoch: self.epoch, seq: self.last }, chain: self.head }
    }

    /// What a sealed payload is bound to.
    const fn place(&self) -> Place {
        Place { agent: self.agent, epoch: self.epoch, first: self.first, last: self.last }
    }
}

impl Signed {
    /// Compresses and signs a run of records. Returns the header too, so that nobody need decode it again.
    ///
    /// # Errors
    /// [`Error::Compression`] if zstd fails, [`Error::Inconsistent`] if there is no record.
    pub fn make(agent: AgentId, draft: &Draft, made_at: UnixMillis, key: &PrivateKey) -> Result<(Header, Self), Error> {
        Self::make_for(agent, draft, made_at, key, None)
    }

    /// The same, sealed to the hub's key if there is a `seal`.
    ///
    /// # Errors
    /// As [`Signed::make`], and [`Error::SealingKey`].
    pub fn make_for(
        agent: AgentId,
        draft: &Draft,
        made_at: UnixMillis,
        key: &PrivateKey,
        seal: Option<Seal>,
    ) -> Result<(Header, Self), Error> {
        let count = u64::from(draft.records.count());
        if count == 0 {
            return Err(Error::Inconsistent("it has no records"));
        }
        let raw = draft.records.as_bytes();
        let mut payload = zstd::bulk::compress(raw, ZSTD_LEVEL).map_err(Error::Compression)?;
        let Position { epoch, seq } = draft.after.position;
        let mut header = Header {
            agent,
            epoch,
            first: seq + 1,
            last: seq + count,
            prev: draft.after.chain,
            head: draft.after.chain.then_all(draft.records.iter()),
            lost: draft.lost,
            made_at,
            encoding: Encoding::Zstd,
            raw_length: u32::try_from(raw.len()).map_err(|_| Error::Inconsistent("it is too long"))?,
            payload_hash: [0; 32],
        };
        if let Some(seal) = seal {
            header.encoding = Encoding::SealedZstd(seal.key.id);
            payload = sealing::seal(&seal.key, &header.place(), &payload, seal.random)?;
        }
        header.payload_hash = *blake3::hash(&payload).as_bytes();
        let bytes = codec::encode(&header);
        let signature = key.sign(Purpose::Batch, &bytes);
        Ok((header, Self { header: bytes, signature, payload }))
    }

    /// Reads the header without believing it.
    ///
    /// # Errors
    /// [`Error::Header`].
    pub fn peek(&self) -> Result<Header, Error> {
        codec::decode(&self.header).map_err(Error::Header)
    }

    /// Checks that `key` signed this header and that the payload is the one it names. What the payload holds may still
    /// be nonsense, but then it is the agent's own nonsense.
    ///
    /// # Errors
    /// [`Error::Header`], [`Error::Signature`], [`Error::PayloadHash`], or [`Error::Inconsistent`] if the numbers
    /// cannot be.
    pub fn verify(&self, key: &PublicKey) -> Result<Header, Error> {
        let header = self.peek()?;
        key.verify(Purpose::Batch, &self.header, &self.signature)?;
        if *blake3::hash(&self.payload).as_bytes() != header.payload_hash {
            return Err(Error::PayloadHash);
        }
        let possible = header.first > header.lost && header.last >= header.first && header.epoch > 0;
        if !possible || header.last - header.first >= u64::from(MAX_RECORDS) {
            return Err(Error::Inconsistent("its numbers cannot be"));
        }
        Ok(header)
    }

    /// Expands the payload of a verified header and checks it against it, the chain included. For one who has no key to
    /// open sealed payloads with.
    ///
    /// # Errors
    /// As [`Signed::open_with`].
    pub fn open(&self, header: &Header) -> Result<Run, Error> {
        self.open_with(header, &[])
    }

    /// The same, also for a payload that is sealed to one of `keys`.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::Sealed`], [`Error::Compression`], [`Error::Run`] or [`Error::Inconsistent`]. But for
    /// the first each is final: the agent signed this, and will never send anything else under these numbers.
    pub fn open_with(&self, header: &Header, keys: &[OpeningKey]) -> Result<Run, Error> {
        let length = usize::try_from(header.raw_length).unwrap_or(usize::MAX);
        if length > MAX_RAW {
            return Err(Error::Inconsistent("it is larger than batches may be"));
        }
        let raw = match header.encoding {
            Encoding::Zstd => zstd::bulk::decompress(&self.payload, length),
            Encoding::SealedZstd(id) => {
                let key = keys.iter().find(|key| key.id() == id).ok_or(Error::NoSuchKey(id))?;
                let opened = key.open(&header.place(), &self.payload).map_err(|error| Error::Sealed(id, error))?;
                zstd::bulk::decompress(&opened, length)
            }
        };
        let raw = raw.map_err(Error::Compression)?;
        if raw.len() != length {
            return Err(Error::Inconsistent("its length is not the one it names"));
        }
        let run = Run::from_bytes(raw)?;
        let named = header.last.checked_sub(header.first).and_then(|more| more.checked_add(1));
        if named != Some(u64::from(run.count())) {
            return Err(Error::Inconsistent("it has another number of records than it names"));
        }
        if header.prev.then_all(run.iter()) != header.head {
            return Err(Error::Inconsistent("its chain is not that of its records"));
        }
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: AgentId = AgentId::from_bytes([7; 16]);

    fn draft(records: &[&[u8]]) -> Draft {
        let mut run = Run::default();
        records.iter().for_each(|record| run.push(record));
        Draft { after: Cursor::start(AGENT, 1), lost: 0, records: run }
    }

    fn key() -> PrivateKey {
        PrivateKey::from_seed(&[5; 32])
    }

    fn sealed(records: &[&[u8]], to: &OpeningKey) -> (Header, Signed) {
        let seal = Seal { key: to.public(), random: [8; 32] };
        Signed::make_for(AGENT, &draft(records), UnixMillis(9), &key(), Some(seal)).unwrap()
    }

    fn resigned(header: &Header, payload: Vec<u8>) -> Signed {
        let bytes = codec::encode(header);
        Signed { signature: key().sign(Purpose::Batch, &bytes), header: bytes, payload }
    }

    #[test]
    fn a_sealed_batch_is_verified_by_anyone_and_opened_by_the_hub_only() {
        let hub = OpeningKey::from_seed(300, &[1; 32]);
        let (header, signed) = sealed(&[b"a plain text", b"b"], &hub);
        assert_eq!(signed.verify(&key().public()).unwrap(), header);
        assert!(!codec::encode(&signed).windows(5).any(|window| window == b"plain"));
        assert!(matches!(signed.open(&header), Err(Error::NoSuchKey(300))));
        let keys = [OpeningKey::from_seed(299, &[2; 32]), hub];
        assert_eq!(signed.open_with(&header, &keys).unwrap().iter().collect::<Vec<_>>(), [&b"a plain text"[..], b"b"]);
        let wrong = [OpeningKey::from_seed(300, &[2; 32])];
        assert!(matches!(signed.open_with(&header, &wrong), Err(Error::Sealed(300, _))));
    }

    #[test]
    fn a_sealed_payload_is_worth_nothing_under_another_header_even_of_the_same_agent() {
        let hub = [OpeningKey::from_seed(1, &[1; 32])];
        let (header, signed) = sealed(&[b"a", b"b"], &hub[0]);
        let moved = Header { first: header.first + 2, last: header.last + 2, ..header.clone() };
        let moved_signed = resigned(&moved, signed.payload.clone());
        assert_eq!(moved_signed.verify(&key().public()).unwrap(), moved);
        assert!(matches!(moved_signed.open_with(&moved, &hub), Err(Error::Sealed(1, _))));
        // Nor is one that is passed off as not sealed.
        let bare = Header { encoding: Encoding::Zstd, ..header };
        assert!(matches!(resigned(&bare, signed.payload).open_with(&bare, &hub), Err(Error::Compression(_))));
    }

    #[test]
    fn a_sealed_payload_cannot_make_the_hub_take_more_memory_than_a_batch_has() {
        let hub = [OpeningKey::from_seed(1, &[1; 32])];
        let (header, signed) = sealed(&[b"a"], &hub[0]);
        let larger = Header { raw_length: u32::MAX, ..header.clone() };
        assert!(matches!(signed.open_with(&larger, &hub), Err(Error::Inconsistent(_))));
        // What says that it is small, and is not, is not expanded past what it says.
        let bomb = zstd::bulk::compress(&vec![0; MAX_RAW * 4], ZSTD_LEVEL).unwrap();
        let bomb = sealing::seal(&hub[0].public(), &header.place(), &bomb, [8; 32]).unwrap();
        assert!(matches!(resigned(&header, bomb).open_with(&header, &hub), Err(Error::Compression(_))));
    }

    #[test]
    fn a_batch_is_verified_and_opened() {
        let (header, signed) = Signed::make(AGENT, &draft(&[b"a", b"b"]), UnixMillis(9), &key()).unwrap();
        assert_eq!((header.first, header.last), (1, 2));
        assert_eq!(signed.verify(&key().public()).unwrap(), header);
        assert_eq!(signed.open(&header).unwrap().iter().collect::<Vec<_>>(), [b"a", b"b"]);
    }

    #[test]
    fn no_flipped_bit_in_header_signature_or_payload_passes() {
        let (_, signed) = Signed::make(AGENT, &draft(&[b"a", b"b"]), UnixMillis(9), &key()).unwrap();
        let whole = codec::encode(&signed);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(altered) = codec::decode::<Signed>(&bytes) else { continue };
            assert!(altered.verify(&key().public()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_signed_header_that_lies_about_its_records_is_not_opened() {
        let (mut header, mut signed) = Signed::make(AGENT, &draft(&[b"a", b"b"]), UnixMillis(9), &key()).unwrap();
        header.head = Chain::start(AGENT, 2);
        signed.header = codec::encode(&header);
        signed.signature = key().sign(Purpose::Batch, &signed.header);
        let believed = signed.verify(&key().public()).unwrap();
        assert!(matches!(signed.open(&believed), Err(Error::Inconsistent(_))));
    }
}
