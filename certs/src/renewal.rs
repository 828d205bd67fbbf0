//! When a certificate is due to be replaced.

use sitewarden_protocol::time::UnixMillis;

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
