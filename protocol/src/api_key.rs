//! API keys: what programs come with that send telemetry, or that use the hub's API. Made by the hub, recognised by a
//! digest: the former at hub and site, the latter at the hub only.

use crate::codec::{Decode, Encode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

/// What every key for telemetry begins with, so that people and scanners for lost secrets recognise one.
const PREFIX: &str = "swk_";
/// What every key for the API begins with: it opens more than one for telemetry, and is not to be taken for it.
const ACCESS_PREFIX: &str = "swa_";

/// A key for telemetry from 32 random bytes: `swk_` and 43 characters of base64url.
pub fn api_key(random: &[u8; 32]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// A key for the API from 32 random bytes: `swa_` and 43 characters of base64url.
pub fn access_key(random: &[u8; 32]) -> String {
    format!("{ACCESS_PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// Recognises an API key without revealing it. Needs no salt: a key has 256 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct ApiKeyDigest([u8; 32]);

impl ApiKeyDigest {
    /// The digest of a key; white space around it does not count.
    pub fn of(key: &str) -> Self {
        Self(blake3::derive_key("sitewarden api key digest 1", key.trim().as_bytes()))
    }

    /// The digest with these bytes, from a store.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `key` is the one, in constant time.
    pub fn matches(&self, key: &str) -> bool {
        self.same(&Self::of(key))
    }

    /// Whether both are of one key, in constant time.
    pub fn same(&self, other: &Self) -> bool {
        blake3::Hash::from_bytes(other.0) == blake3::Hash::from_bytes(self.0)
    }
}

impl fmt::Debug for ApiKeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyDigest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_by_its_digest() {
        let key = api_key(&[7; 32]);
        assert_eq!((key.len(), key.starts_with("swk_")), (47, true));
        assert!(ApiKeyDigest::of(&key).matches(&format!(" {key}\n")));
        assert!(!ApiKeyDigest::of(&key).matches(&api_key(&[8; 32])));
    }
}
