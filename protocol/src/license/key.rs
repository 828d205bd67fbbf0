//! Licence keys: made from random bytes, recognised by a digest.

use crate::codec::{Decode, Encode};
use crate::id::SiteId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// Printable ASCII without space, quotes and backslash, so that a key survives shells, JSON and being read aloud badly.
const PRINTABLE: &[u8] = b"!#$%&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz{|}~";
/// Crockford's base 32: no I, L, O, U.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A key in the plant licence API's form: 32 printable characters (about 207 bits).
///
/// Takes uniform random bytes from an endless source; those past the last whole multiple of the alphabet are skipped,
/// so that no character is likelier than another.
pub fn random_key(random: impl IntoIterator<Item = u8>) -> String {
    let fair = (256 / PRINTABLE.len()) * PRINTABLE.len();
    random
        .into_iter()
        .map(usize::from)
        .filter(|byte| *byte < fair)
        .take(32)
        .map(|byte| char::from(PRINTABLE[byte % PRINTABLE.len()]))
        .collect()
}

/// A key in the licence server's form: `XXXX-XXXX-XXXX-XXXX` (80 bits).
pub fn short_key(random: [u8; 16]) -> String {
    let digit = |byte: &u8| char::from(CROCKFORD[usize::from(byte % 32)]);
    let groups: Vec<String> = random.chunks(4).map(|group| group.iter().map(digit).collect()).collect();
    groups.join("-")
}

/// The last characters of a key, behind dots: enough to tell keys apart. Four of a long one, which leaves 181 bits of 207
/// to guess; two of a short one, which leaves 70 of 80; none of what is so short that this would be half of it.
pub fn key_hint(key: &str) -> String {
    let key = key.trim();
    let shown = match key.chars().count() {
        0..=4 => 0,
        5..32 => 2,
        _ => 4,
    };
    let last = key.char_indices().rev().take(shown).last().map_or(key.len(), |(at, _)| at);
    format!("…{}", &key[last..])
}

/// Recognises a licence key at one site without revealing it: BLAKE3 over site and key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key as typed; white space around it does not count.
    pub fn of(site: SiteId, key: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("sitewarden license key digest 1");
        hasher.update(site.as_bytes()).update(key.trim().as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// Whether `key` is the one, in constant time.
    pub fn matches(&self, site: SiteId, key: &str) -> bool {
        blake3::Hash::from_bytes(Self::of(site, key).0) == blake3::Hash::from_bytes(self.0)
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        blake3::Hash::from_hex(&text).map(|hash| Self(*hash.as_bytes())).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_documented_forms() {
        let key = random_key((0..=255).cycle());
        assert_eq!(key.len(), 32);
        assert!(key.bytes().all(|byte| byte.is_ascii_graphic()));
        let short = short_key(*b"0123456789abcdef");
        assert_eq!(short.split('-').map(str::len).collect::<Vec<_>>(), [4; 4]);
    }

    #[test]
    fn a_hint_shows_little_of_a_long_key_and_less_of_a_short_one() {
        let long = random_key((0..=255).cycle());
        assert_eq!(key_hint(&format!(" {long}\n")), format!("…{}", &long[28..]));
        assert_eq!(key_hint("ABCD-EFGH-JKMN-PQRS"), "…RS");
        assert_eq!(key_hint("ключ-ключ"), "…юч");
        assert_eq!([key_hint("1234"), key_hint("")], ["…", "…"]);
    }

    #[test]
    fn a_digest_recognises_its_key_at_its_site_only() {
        let (here, there) = (SiteId::from_bytes([1; 16]), SiteId::from_bytes([2; 16]));
        let digest = KeyDigest::of(here, "KEY");
        assert!(digest.matches(here, " KEY\n"));
        assert!(!digest.matches(there, "KEY"));
        assert!(!digest.matches(here, "key"));
    }
}
