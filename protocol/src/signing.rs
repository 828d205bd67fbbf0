//! Ed25519 signatures, each bound to one purpose.
//!
//! What is signed is the purpose's own name followed by the BLAKE3 hash of the bytes as sent (hashing a large batch with
//! BLAKE3 is several times faster than with Ed25519's SHA-512). A signature made for one purpose is worth nothing for
//! another. The only signatures without a purpose are those of `jws` and of JSON objects, which cannot be confused with them
//! nor with each other. Verification is strict (RFC 8032 with small-order keys and points refused).

mod jws;

use crate::codec::{Decode, Encode};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use zeroize::Zeroizing;

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An agent's batch of records: the header's bytes.
    Batch,
    /// The hub's word on what it has from an agent.
    Receipt,
    /// The hub's word on what a site may do, in layout 1.
    Snapshot,
    /// The same in layout 2.
    Snapshot2,
    /// The same in layout 3.
    Snapshot3,
    /// An agent's proof, when it enrols, that it holds the signing key it names.
    Enrolment,
    /// The hub's word on what time it is.
    Time,
    /// An agent's request for its next certificate.
    Renewal,
    /// The hub's answer to it.
    Renewed,
    /// The hub's word that an agent may go on in a fresh epoch.
    Clearance,
    /// The hub's word that it signs with another key from now on, by the key before.
    Announcement,
    /// The head of a bundle: its manifest's bytes.
    Bundle,
    /// A piece of a bundle, in its place.
    BundlePiece,
}

impl Purpose {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Batch => b"sitewarden/batch/1\0",
            Self::Receipt => b"sitewarden/receipt/1\0",
            Self::Snapshot => b"sitewarden/snapshot/1\0",
            Self::Snapshot2 => b"sitewarden/snapshot/2\0",
            Self::Snapshot3 => b"sitewarden/snapshot/3\0",
            Self::Enrolment => b"sitewarden/enrolment/1\0",
            Self::Time => b"sitewarden/time/1\0",
            Self::Clearance => b"sitewarden/clearance/1\0",
            Self::Renewal => b"sitewarden/renewal/1\0",
            Self::Renewed => b"sitewarden/renewed/1\0",
            Self::Announcement => b"sitewarden/announcement/1\0",
            Self::Bundle => b"sitewarden/bundle/1\0",
            Self::BundlePiece => b"sitewarden/bundle-piece/1\0",
        }
    }

    fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.name(), blake3::hash(bytes).as_bytes()].concat()
    }
}

/// The signature is not by this key, for this purpose, over these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// The bytes are no Ed25519 public key, or one of small order that would accept forged signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a usable Ed25519 public key")]
pub struct BadKey;

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// An Ed25519 public key. Shown and read in JSON as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Takes a key that came from outside.
    ///
    /// # Errors
    /// [`BadKey`] if the bytes are not a point, or a weak one.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, BadKey> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| BadKey)?;
        if key.is_weak() { Err(BadKey) } else { Ok(Self(bytes)) }
    }

    /// The 32 bytes of RFC 8032.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks a signature over `bytes` for `purpose`.
    ///
    /// # Errors
    /// [`BadSignature`], with no hint at which part was wrong.
    pub fn verify(&self, purpose: Purpose, bytes: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(&purpose.message(bytes), &signature).map_err(|_| BadSignature)
    }

    /// The same point on the curve's other form, for X25519; `None` if it is none.
    pub(crate) fn x25519(&self) -> Option<[u8; 32]> {
        Some(VerifyingKey::from_bytes(&self.0).ok()?.to_montgomery().to_bytes())
    }

    /// Checks a signature over the bytes of a JSON object themselves, as programs in other languages do that know
    /// Ed25519 and nothing of purposes.
    ///
    /// # Errors
    /// [`BadSignature`], also for bytes that do not begin with `{`: only objects are ever signed like this.
    pub fn verify_object(&self, json: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        if json.first() != Some(&b'{') {
            return Err(BadSignature);
        }
        key.verify_strict(json, &signature).map_err(|_| BadSignature)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl std::str::FromStr for PublicKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        let bytes = *blake3::Hash::from_hex(text).map_err(|_| BadKey)?.as_bytes();
        Self::from_bytes(bytes)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// An Ed25519 private key. Does not print, and is wiped when dropped.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// The key that belongs to 32 secret random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The key that others verify with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// The secret on the curve's other form, for X25519.
    pub(crate) fn x25519(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_scalar_bytes())
    }

    /// Signs `bytes` for `purpose`.
    pub fn sign(&self, purpose: Purpose, bytes: &[u8]) -> Signature {
        Signature(self.0.sign(&purpose.message(bytes)).to_bytes())
    }

    /// Signs the bytes of a JSON object themselves, without purpose and hash: for answers that are verified in other
    /// languages. It cannot be taken for a signature of a [`Purpose`]: what is signed for those begins with
    /// `sitewarden/`, an object with `{`; nobody but [`telemetry::Answer`](crate::telemetry::Answer), which writes
    /// the object itself, can ask for one.
    pub(crate) fn sign_object(&self, json: &str) -> Signature {
        Signature(self.0.sign(json.as_bytes()).to_bytes())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_counts_for_its_purpose_key_and_bytes_only() {
        let key = PrivateKey::from_seed(&[1; 32]);
        let signature = key.sign(Purpose::Batch, b"bytes");
        assert_eq!(key.public().verify(Purpose::Batch, b"bytes", &signature), Ok(()));
        assert_eq!(key.public().verify(Purpose::Receipt, b"bytes", &signature), Err(BadSignature));
        assert_eq!(key.public().verify(Purpose::Batch, b"byte5", &signature), Err(BadSignature));
        let other = PrivateKey::from_seed(&[2; 32]).public();
        assert_eq!(other.verify(Purpose::Batch, b"bytes", &signature), Err(BadSignature));
    }

    #[test]
    fn a_signed_object_is_no_signature_for_a_purpose_and_no_purpose_one_for_an_object() {
        let key = PrivateKey::from_seed(&[1; 32]);
        let signature = key.sign_object("{}");
        assert_eq!(key.public().verify_object(b"{}", &signature), Ok(()));
        assert_eq!(key.public().verify_object(b"{ }", &signature), Err(BadSignature));
        let message = Purpose::Receipt.message(b"{}");
        let receipt = key.sign(Purpose::Receipt, b"{}");
        assert_eq!(key.public().verify(Purpose::Receipt, b"{}", &signature), Err(BadSignature));
        assert_eq!(key.public().verify_object(&message, &receipt), Err(BadSignature), "it begins with no brace");
        for purpose in [Purpose::Batch, Purpose::Receipt, Purpose::Snapshot, Purpose::Snapshot2, Purpose::Enrolment] {
            assert_eq!(purpose.message(b"").first(), Some(&b's'));
        }
    }

    #[test]
    fn weak_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::from_bytes(identity), Err(BadKey));
    }

    #[test]
    fn a_public_key_is_read_back_from_its_text() {
        let key = PrivateKey::from_seed(&[3; 32]).public();
        assert_eq!(key.to_string().parse(), Ok(key));
        for bad in ["zz".to_owned(), "+f".repeat(32)] {
            assert_eq!(bad.parse::<PublicKey>(), Err(BadKey));
        }
    }
}
