//! How much room the journal has, by its quota and by the disk that it is on.
//!
//! Three steps: with room every record is taken; from [`HIGH`] on, reports of apps are folded into totals, so that what is
//! left is for records that are billed or audited; at the quota, or with the disk's reserve touched, nothing is taken.

use super::Settings;
use std::path::Path;

/// The share of the quota from which on reports are folded, per cent.
const HIGH: u64 = 75;
/// How many times the reserve has to be free on the disk for reports not to be folded.
const SPARE: u64 = 2;

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// Enough.
    Room,
    /// Little: reports are folded. Why, in words.
    High(&'static str),
    /// None: appends are refused. Why, in words.
    Full(&'static str),
}

impl Pressure {
    /// Why there is little or none, in words.
    pub const fn why(self) -> Option<&'static str> {
        match self {
            Self::Room => None,
            Self::High(why) | Self::Full(why) => Some(why),
        }
    }

    /// The word for it in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::High(_) => "folding",
            Self::Full(_) => "full",
        }
    }
}

/// How much room there is with `used` bytes of the journal on disk. Asks the file system, which costs a thousandth of a
/// sync; a file system that does not say is taken to have space.
pub(super) fn pressure(folder: &Path, settings: Settings, used: u64) -> Pressure {
    let free = free(folder).unwrap_or(u64::MAX);
    judge(settings, used, free)
}

const fn judge(settings: Settings, used: u64, free: u64) -> Pressure {
    if used >= settings.quota {
        Pressure::Full("its quota on disk is used up")
    } else if free < settings.reserve {
        Pressure::Full("the disk has no space left")
    } else if used >= settings.quota / 100 * HIGH {
        Pressure::High("most of its quota on disk is used up")
    } else if free < settings.reserve.saturating_mul(SPARE) {
        Pressure::High("the disk has little space left")
    } else {
        Pressure::Room
    }
}

/// Bytes that are free on the disk; `None` if the file system does not say.
pub(super) fn free(folder: &Path) -> Option<u64> {
    rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_and_disk_are_looked_at_and_the_worse_counts() {
        let settings = Settings { quota: 1_000, reserve: 100 };
        let name = |used, free| judge(settings, used, free).name();
        assert_eq!(
            [name(0, 200), name(749, 200), name(750, 200), name(999, 200)],
            ["room", "room", "folding", "folding"]
        );
        assert_eq!([name(1_000, 200), name(0, 199), name(0, 100), name(0, 99)], ["full", "folding", "folding", "full"]);
    }

    #[test]
    fn without_a_reserve_the_disk_is_not_looked_at() {
        assert_eq!(judge(Settings { quota: 1_000, reserve: 0 }, 0, 0), Pressure::Room);
    }
}
