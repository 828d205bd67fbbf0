//! Sealing a batch's payload to the hub's key, so that nobody between the journal and the hub's verification can read it:
//! HPKE (RFC 9180) in base mode, with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20Poly1305. The one place that
//! knows the crate `hpke`.
//!
//! Sealed bytes are the encapsulated key (32 bytes), then the ciphertext with its tag (16 bytes). Always true: `info` binds
//! them to their purpose and to the number of the hub's key, `aad` to the agent and the records of one header. Moved to
//! another header, by whomever, they do not open. Who sealed them they do not say; the header's signature does.

use crate::id::AgentId;
use crate::signing::{PrivateKey, PublicKey};
use crate::snapshot::SealingKey;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem as _, X25519HkdfSha256};
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng};
use std::convert::Infallible;
use std::fmt;
use zeroize::Zeroizing;

/// How much longer sealed bytes are than what is in them.
pub const OVERHEAD: usize = ENCAPSULATED + TAG;

const ENCAPSULATED: usize = 32;
const TAG: usize = 16;

/// What the bytes are for; behind it comes the key's number.
const PURPOSE: &[u8] = b"sitewarden/sealed-batch/1\0";
/// The same, for pieces of bundles.
const PIECE_PURPOSE: &[u8] = b"sitewarden/sealed-piece/1\0";

type Kem = X25519HkdfSha256;
type PublicHalf = <Kem as hpke::Kem>::PublicKey;
type PrivateHalf = <Kem as hpke::Kem>::PrivateKey;

/// Which header a payload belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose records.
    pub agent: AgentId,
    /// Of which life of its journal.
    pub epoch: u64,
    /// The first record's number.
    pub first: u64,
    /// The last record's number.
    pub last: u64,
}

/// Which piece of which part of a bundle bytes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceOf {
    /// BLAKE3 of the part's manifest, which is like no other's.
    pub part: [u8; 32],
    /// The piece's place in it, from 0.
    pub index: u64,
}

/// The public key is none, or one that would give the secret away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hub's sealing key {0} cannot be used")]
pub struct BadKey(pub u32);

/// The bytes were not sealed to this key for this place, or were altered. No hint at which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes were not sealed to this key for this place, or were altered")]
pub struct NotSealedHere;

/// The hub's half of a sealing key. Does not print, and is wiped when dropped.
pub struct OpeningKey {
    id: u32,
    private: PrivateHalf,
}

impl OpeningKey {
    /// The key with this number that belongs to 32 secret random bytes.
    pub fn from_seed(id: u32, seed: &[u8; 32]) -> Self {
        Self { id, private: Kem::derive_keypair(seed).0 }
    }

    /// The key, with the number 0, that belongs to an Ed25519 key: the same secret on the curve's other form, as libsodium
    /// and age use it. That one key may both sign and be sealed to was proved by Thormarker (eprint 2021/509). So whoever can
    /// verify an agent can seal to it.
    ///
    /// # Errors
    /// [`BadKey`]; not for any key that was made as keys are.
    pub fn of_signer(signer: &PrivateKey) -> Result<Self, BadKey> {
        let private = PrivateHalf::from_bytes(signer.x25519().as_slice()).map_err(|_| BadKey(0))?;
        Ok(Self { id: 0, private })
    }

    /// Its number.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// What agents seal to.
    pub fn public(&self) -> SealingKey {
        SealingKey { id: self.id, public: Kem::sk_to_pk(&self.private).to_bytes().into() }
    }

    /// Opens what was sealed to this key for `place`.
    ///
    /// # Errors
    /// [`NotSealedHere`].
    pub fn open(&self, place: &Place, sealed: &[u8]) -> Result<Vec<u8>, NotSealedHere> {
        open(&self.private, &info(PURPOSE, self.id), &place.bytes(), sealed)
    }

    /// Opens what was sealed to this key as a piece of a bundle.
    ///
    /// # Errors
    /// [`NotSealedHere`].
    pub fn open_piece(&self, piece: &PieceOf, sealed: &[u8]) -> Result<Vec<u8>, NotSealedHere> {
        open(&self.private, &info(PIECE_PURPOSE, self.id), &piece.bytes(), sealed)
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpeningKey({})", self.id)
    }
}

/// Seals bytes to the hub's key for `place`. `random` is secret, from a good source, and used for nothing else.
///
/// # Errors
/// [`BadKey`].
pub fn seal(to: &SealingKey, place: &Place, plain: &[u8], random: [u8; 32]) -> Result<Vec<u8>, BadKey> {
    let public = PublicHalf::from_bytes(&to.public).map_err(|_| BadKey(to.id))?;
    seal_to(&public, &info(PURPOSE, to.id), &place.bytes(), plain, random).ok_or(BadKey(to.id))
}

/// Seals a piece of a bundle. `random` as for [`seal`].
///
/// # Errors
/// [`BadKey`].
pub fn seal_piece(to: &SealingKey, piece: &PieceOf, plain: &[u8], random: [u8; 32]) -> Result<Vec<u8>, BadKey> {
    let public = PublicHalf::from_bytes(&to.public).map_err(|_| BadKey(to.id))?;
    seal_to(&public, &info(PIECE_PURPOSE, to.id), &piece.bytes(), plain, random).ok_or(BadKey(to.id))
}

/// What is sealed to for the one who has this Ed25519 key; see [`OpeningKey::of_signer`].
///
/// # Errors
/// [`BadKey`] if it is no key.
pub fn key_of_signer(signer: &PublicKey) -> Result<SealingKey, BadKey> {
    Ok(SealingKey { id: 0, public: signer.x25519().ok_or(BadKey(0))? })
}

impl PieceOf {
    fn bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (part, index) = bytes.split_at_mut(32);
        part.copy_from_slice(&self.part);
        index.copy_from_slice(&self.index.to_le_bytes());
        bytes
    }
}

impl Place {
    fn bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (agent, numbers) = bytes.split_at_mut(16);
        agent.copy_from_slice(self.agent.as_bytes());
        for (bytes, number) in numbers.chunks_exact_mut(8).zip([self.epoch, self.first, self.last]) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }
}

fn info(purpose: &[u8], key: u32) -> Vec<u8> {
    [purpose, &key.to_le_bytes()].concat()
}

fn seal_to(public: &PublicHalf, info: &[u8], aad: &[u8], plain: &[u8], random: [u8; 32]) -> Option<Vec<u8>> {
    let mut random = Given::new(random);
    let sealed = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        public,
        info,
        plain,
        aad,
        &mut random,
    );
    let (encapsulated, ciphertext) = sealed.ok()?;
    Some([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}

fn open(private: &PrivateHalf, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotSealedHere> {
    let (encapsulated, ciphertext) = sealed.split_at_checked(ENCAPSULATED).ok_or(NotSealedHere)?;
    let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| NotSealedHere)?;
    let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        private,
        &encapsulated,
        info,
        ciphertext,
        aad,
    );
    opened.map_err(|_| NotSealedHere)
}

/// Gives the bytes that it was given, and goes on with what BLAKE3 makes of them. HPKE takes the first 32 only, as the
/// `ikmE` of RFC 9180, so that its test vectors can be followed in both directions.
struct Given {
    first: Zeroizing<[u8; 32]>,
    taken: usize,
    rest: blake3::OutputReader,
}

impl Given {
    fn new(bytes: [u8; 32]) -> Self {
        let rest = blake3::Hasher::new_derive_key("sitewarden sealing randomness 1").update(&bytes).finalize_xof();
        Self { first: Zeroizing::new(bytes), taken: 0, rest }
    }
}

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        let given = self.first.get(self.taken..).unwrap_or_default();
        let count = given.len().min(to.len());
        let (from_given, from_rest) = to.split_at_mut(count);
        from_given.copy_from_slice(given.get(..count).unwrap_or_default());
        self.taken += count;
        self.rest.fill(from_rest);
        Ok(())
    }
}

impl TryCryptoRng for Given {}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { agent: AgentId::from_bytes([7; 16]), epoch: 2, first: 10, last: 19 };

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn what_is_sealed_is_opened_with_its_key_for_its_place_only() {
        let key = OpeningKey::from_seed(3, &[1; 32]);
        let sealed = seal(&key.public(), &PLACE, b"a payload", [9; 32]).unwrap();
        assert_eq!(sealed.len(), b"a payload".len() + OVERHEAD);
        assert_eq!(key.open(&PLACE, &sealed).unwrap(), b"a payload");
        let elsewhere = [
            Place { agent: AgentId::from_bytes([8; 16]), ..PLACE },
            Place { epoch: 3, ..PLACE },
            Place { first: 9, ..PLACE },
            Place { last: 20, ..PLACE },
        ];
        for place in elsewhere {
            assert_eq!(key.open(&place, &sealed), Err(NotSealedHere), "{place:?}");
        }
        for other in [OpeningKey::from_seed(4, &[1; 32]), OpeningKey::from_seed(3, &[2; 32])] {
            assert_eq!(other.open(&PLACE, &sealed), Err(NotSealedHere));
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_is_opened() {
        let key = OpeningKey::from_seed(3, &[1; 32]);
        let sealed = seal(&key.public(), &PLACE, b"a payload", [9; 32]).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            // X25519 ignores the highest bit of a public key, but it is part of what the secret is derived from.
            assert_eq!(key.open(&PLACE, &altered), Err(NotSealedHere), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(key.open(&PLACE, &sealed[..length]), Err(NotSealedHere), "{length} bytes");
        }
    }

    #[test]
    fn a_key_that_would_give_the_secret_away_is_not_sealed_to() {
        let weak = SealingKey { id: 3, public: [0; 32] };
        assert_eq!(seal(&weak, &PLACE, b"a payload", [9; 32]), Err(BadKey(3)));
    }

    /// RFC 9180, appendix A.2.1 (base mode of this suite), sequence number 0.
    #[test]
    fn the_vector_of_the_standard_is_followed_in_both_directions() {
        let info = bytes("4f6465206f6e2061204772656369616e2055726e");
        let aad = bytes("436f756e742d30");
        let plain = bytes("4265617574792069732074727574682c20747275746820626561757479");
        let ikm: [u8; 32] =
            bytes("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b").try_into().unwrap();
        let private = bytes("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let public = bytes("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        let sealed = [
            bytes("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"),
            bytes("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"),
        ]
        .concat();
        let public = PublicHalf::from_bytes(&public).unwrap();
        assert_eq!(seal_to(&public, &info, &aad, &plain, ikm).unwrap(), sealed);
        let private = PrivateHalf::from_bytes(&private).unwrap();
        assert_eq!(open(&private, &info, &aad, &sealed).unwrap(), plain);
    }
}
