//! From when and until when a certificate holds, in the whole seconds that X.509 knows.

use rcgen::{CertificateParams, date_time_ymd};
use sitewarden_protocol::time::UnixMillis;
use std::time::Duration;

/// One day.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before its making a certificate begins to hold: the clocks of those who check it may be behind.
pub(crate) const BACKDATED: Duration = DAY;

/// The last second that X.509 can write, 9999-12-31 23:59:59 UTC.
const LAST_SECOND: i64 = 253_402_300_799;

/// A span of whole seconds between 1970 and 9999.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    from: Duration,
    until: Duration,
}

impl Validity {
    /// From a day before `now` until `life` after it; `None` if a year outside 1970 to 9999 would be needed.
    pub(crate) fn starting(now: UnixMillis, life: Duration) -> Option<Self> {
        let now = Duration::from_secs(u64::try_from(now.seconds()).ok()?);
        let until = now.checked_add(life)?;
        let last = Duration::from_secs(LAST_SECOND.unsigned_abs());
        (until <= last).then_some(Self { from: now.checked_sub(BACKDATED)?, until })
    }

    /// The same, but over at `end` at the latest; `None` if nothing would be left of it.
    pub(crate) fn ending_by(self, end: UnixMillis) -> Option<Self> {
        let end = Duration::from_secs(u64::try_from(end.seconds()).ok()?);
        let until = self.until.min(end);
        (until > self.from + BACKDATED).then_some(Self { until, ..self })
    }

    pub(crate) fn not_before(self) -> UnixMillis {
        UnixMillis(0).after(self.from)
    }

    pub(crate) fn not_after(self) -> UnixMillis {
        UnixMillis(0).after(self.until)
    }

    /// Writes it into what is about to be signed.
    pub(crate) fn apply(self, params: &mut CertificateParams) {
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + self.from;
        params.not_after = epoch + self.until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_a_day_early_and_never_outlasts_its_issuer() {
        let now = UnixMillis(1_769_846_400_500);
        let validity = Validity::starting(now, 90 * DAY).unwrap();
        assert_eq!(validity.not_before(), UnixMillis(1_769_760_000_000));
        assert_eq!(validity.not_after(), UnixMillis(1_777_622_400_000));

        let end = UnixMillis(1_769_846_460_000);
        assert_eq!(validity.ending_by(end).unwrap().not_after(), end);
        assert!(validity.ending_by(now).is_none());
    }

    #[test]
    fn a_clock_outside_the_calendar_is_an_error_and_not_a_panic() {
        for now in [i64::MIN, -1, 0, i64::MAX, LAST_SECOND * 1_000] {
            assert!(Validity::starting(UnixMillis(now), DAY).is_none(), "{now}");
        }
    }
}
