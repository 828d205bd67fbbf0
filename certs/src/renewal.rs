//! When a certificate is due to be replaced.

use crate::{peer, validity::BACKDATED};
use sitewarden_protocol::time::UnixMillis;

/// What an agent's own certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// When it was made. It holds from a day before that.
    pub issued: UnixMillis,
    /// Until when it holds.
    pub not_after: UnixMillis,
    /// SHA-256 of its key's SubjectPublicKeyInfo.
    pub key_digest: [u8; 32],
    issuer: Option<peer::KeyId>,
}

impl Held {
    /// Reads a certificate (DER) that this hub's authority made. It verifies nothing.
    ///
    /// # Errors
    /// [`peer::Error::Malformed`].
    pub fn read(certificate_der: &[u8]) -> Result<Self, peer::Error> {
        let read = peer::certificate(certificate_der)?;
        let not_before = UnixMillis(read.validity().not_before.timestamp().saturating_mul(1_000));
        Ok(Self {
            issued: not_before.after(BACKDATED),
            not_after: peer::not_after(&read),
            key_digest: peer::key_digest(&read),
            issuer: peer::issuer_id(&read),
        })
    }

    /// Whether this authority (DER) signed it, by the names of their keys.
    pub fn is_from(&self, authority_der: &[u8]) -> bool {
        let key = peer::certificate(authority_der).ok().and_then(|read| peer::key_id(&read));
        key.is_some() && key == self.issuer
    }

    /// Whether it is to be replaced at `now`.
    pub fn is_due(&self, now: UnixMillis) -> bool {
        renewal_due(self.issued, self.not_after, now)
    }

    /// Whether it has ended at `now`.
    pub fn is_over(&self, now: UnixMillis) -> bool {
        self.not_after <= now
    }
}

/// Whether two thirds of a certificate's life have passed at `now`.
///
/// Two thirds leave a plant with a bad line a third of the life (30 days of an agent's 90) to get a new one through.
/// A certificate whose end is not after its beginning is due at once.
pub fn renewal_due(not_before: UnixMillis, not_after: UnixMillis, now: UnixMillis) -> bool {
    let life = i128::from(not_after.0) - i128::from(not_before.0);
    let passed = i128::from(now.0) - i128::from(not_before.0);
    life <= 0 || passed * 3 >= life * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
        let due = |now| renewal_due(UnixMillis(1_000), UnixMillis(1_090), UnixMillis(now));
        assert!(!due(0));
        assert!(!due(1_059));
        assert!(due(1_060));
        assert!(due(5_000));
    }

    #[test]
    fn a_life_that_makes_no_sense_is_due_and_the_ends_of_time_do_not_wrap() {
        assert!(renewal_due(UnixMillis(5), UnixMillis(5), UnixMillis(0)));
        assert!(!renewal_due(UnixMillis(i64::MIN), UnixMillis(i64::MAX), UnixMillis(0)));
        assert!(renewal_due(UnixMillis(i64::MIN), UnixMillis(i64::MAX), UnixMillis(i64::MAX)));
    }
}
