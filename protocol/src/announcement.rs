//! A new signing key of the hub, announced under the one before it.
//!
//! Always true: a chain of announcements leads from any key that the hub ever signed with to the one it signs with now. An
//! agent that was offline during several rotations follows the chain from the key that it knows; the links before that
//! are nothing to it. The hub keeps the announcements after the keys that signed them are gone.

use crate::codec::{self, Decode, Encode};
use crate::signing::{PrivateKey, PublicKey, Purpose, Signature};
use crate::time::UnixMillis;

/// The most announcements that are sent at once or followed: one a week for over ten years.
pub const MAX_CHAIN: usize = 600;

/// The most keys that an agent trusts at the same time; the oldest go first.
pub const MAX_TRUSTED: usize = 32;

/// What is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Announcement {
    /// The new key's number at the hub; each is one more than the one before.
    pub number: u32,
    /// The new key.
    pub key: PublicKey,
    /// The key that it follows, and that signs this.
    pub previous: PublicKey,
    /// When it was made.
    pub at: UnixMillis,
}

/// An announcement as it is sent and kept.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Signed {
    /// The encoded [`Announcement`].
    pub bytes: Vec<u8>,
    /// By the previous key.
    pub signature: Signature,
}

/// The announcement is not by a key that is trusted, or is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the new signing key is not announced by a key of this hub")]
pub struct NotAnnounced;

impl Signed {
    /// Announces a key under the one before it.
    pub fn make(number: u32, key: PublicKey, at: UnixMillis, previous: &PrivateKey) -> Self {
        let bytes = codec::encode(&Announcement { number, key, previous: previous.public(), at });
        let signature = previous.sign(Purpose::Announcement, &bytes);
        Self { bytes, signature }
    }

    /// What is announced, if the key that signed is one of the trusted ones.
    ///
    /// # Errors
    /// [`NotAnnounced`], also for a key that would accept forged signatures.
    pub fn verify(&self, trusted: &[PublicKey]) -> Result<Announcement, NotAnnounced> {
        let said: Announcement = codec::decode(&self.bytes).map_err(|_| NotAnnounced)?;
        let signer = trusted.iter().find(|key| **key == said.previous).ok_or(NotAnnounced)?;
        signer.verify(Purpose::Announcement, &self.bytes, &self.signature).map_err(|_| NotAnnounced)?;
        PublicKey::from_bytes(*said.key.as_bytes()).map_err(|_| NotAnnounced)?;
        Ok(said)
    }
}

/// Follows a chain from the keys that are trusted already: those it leads to are added in front. Links that begin
/// elsewhere are passed over. Answers whether anything is new.
pub fn follow(trusted: &mut Vec<PublicKey>, chain: &[Signed]) -> bool {
    let before = trusted.len();
    for link in chain.iter().take(MAX_CHAIN) {
        if let Ok(said) = link.verify(trusted)
            && !trusted.contains(&said.key)
        {
            trusted.insert(0, said.key);
        }
    }
    let grown = trusted.len() > before;
    trusted.truncate(MAX_TRUSTED);
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixMillis = UnixMillis(5);

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from_seed(&[seed; 32])
    }

    fn chain(last: u8) -> Vec<Signed> {
        (2..=last).map(|n| Signed::make(n.into(), key(n).public(), AT, &key(n - 1))).collect()
    }

    #[test]
    fn an_agent_that_missed_several_rotations_follows_the_chain_from_the_key_it_knows() {
        for known in 1..=4 {
            let mut trusted = vec![key(known).public()];
            assert!(follow(&mut trusted, &chain(5)));
            assert_eq!(trusted.first(), Some(&key(5).public()));
            assert!(!follow(&mut trusted, &chain(5)), "a repeat is nothing new");
        }
    }

    #[test]
    fn a_chain_with_a_link_missing_or_forged_leads_nowhere() {
        let mut trusted = vec![key(1).public()];
        assert!(!follow(&mut trusted, &chain(5)[1..]));
        let stranger = Signed::make(2, key(9).public(), AT, &key(8));
        assert_eq!(stranger.verify(&trusted), Err(NotAnnounced));
        let mut posing: Announcement = codec::decode(&stranger.bytes).unwrap();
        posing.previous = key(1).public();
        let posing = Signed { bytes: codec::encode(&posing), ..stranger };
        assert!(!follow(&mut trusted, &[posing]));
        assert_eq!(trusted, [key(1).public()]);
    }

    #[test]
    fn what_is_trusted_stays_bounded_and_the_newest_stay() {
        let mut trusted = vec![key(1).public()];
        follow(&mut trusted, &chain(80));
        assert_eq!(trusted.len(), MAX_TRUSTED);
        assert_eq!(trusted.first(), Some(&key(80).public()));
    }
}
