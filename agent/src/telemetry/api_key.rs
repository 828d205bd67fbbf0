//! What the API key of the configuration is worth.
//!
//! A key is made at the hub for a customer or a site. The signed snapshot holds the digests of all that count at this site,
//! and is sent anew whenever one is made, revoked or over. So the key itself goes nowhere: whether the hub knows it is the
//! hub's own word, no older than the snapshot, and there with or without a line. What an agent sends is accepted for its
//! certificate; the key is what the customer's administrator proves his contract with.

use sitewarden_protocol::api_key::ApiKeyDigest;

/// What is told of a key that does not count.
pub const REFUSED: &str = "The License Server does not know the API key that is configured: it was revoked, has expired or is another \
     customer's. Set one that counts.";

/// How the configured key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKeyState {
    /// None is configured, or it is one for another server, of which the hub can say nothing.
    None,
    /// The hub's newest word has it.
    Known,
    /// The hub's newest word does not have it.
    Refused,
}

impl ApiKeyState {
    /// Judges a key by the digests of those that count. All of them are looked at, so that the time does not tell which
    /// one it was.
    pub(super) fn of(key: &str, known: &[ApiKeyDigest]) -> Self {
        let digest = ApiKeyDigest::of(key);
        if known.iter().fold(false, |found, one| found | one.same(&digest)) { Self::Known } else { Self::Refused }
    }
}

/// What a test of the connection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tested {
    /// The server answers, and knows the key if there is one.
    Well,
    /// It does not answer.
    Unreachable,
    /// It answers, and its newest word does not have the key.
    KeyRefused,
    /// It answers, but there is no session over which its newest word could be asked for.
    KeyUnchecked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_if_the_hub_names_its_digest() {
        let known = ["swk_a", "swk_b"].map(ApiKeyDigest::of);
        assert_eq!(ApiKeyState::of(" swk_b\n", &known), ApiKeyState::Known);
        assert_eq!(ApiKeyState::of("swk_c", &known), ApiKeyState::Refused);
        assert_eq!(ApiKeyState::of("swk_a", &[]), ApiKeyState::Refused);
    }
}
