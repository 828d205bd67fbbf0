//! How long records that the hub has are kept on site, beyond what a hub that asks again needs.
//!
//! Only whole generations go, so that a record may stay up to [`LONGEST`] more, and while it is in the newest of the
//! acknowledged generations. Ages are by the wall clock: a wrong one may let go early or late of copies, never of what
//! the hub has not confirmed.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long one generation is written to at most.
pub(super) const LONGEST: Duration = Duration::from_secs(86_400);

const CLOSED: &str = "closed";
const BEGUN: &str = "begun";

/// What is kept of what the hub has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retention {
    /// For how long.
    pub(super) span: Duration,
    /// And of how many bytes; what is queued goes first.
    pub(super) bytes: u64,
}

impl Retention {
    /// Nothing, until somebody says otherwise; never more than half of the quota.
    pub(super) const fn nothing(quota: u64) -> Self {
        Self { span: Duration::ZERO, bytes: quota / 2 }
    }

    /// How many of these may go: written last at which time, and how large, oldest first.
    pub(super) fn released(&self, sent: &[(SystemTime, u64)]) -> usize {
        let mut bytes: u64 = sent.iter().map(|(_, bytes)| bytes).sum();
        let goes = |(written, size): &&(SystemTime, u64)| {
            let goes = age(*written) >= self.span || bytes > self.bytes;
            bytes -= size;
            goes
        };
        sent.iter().take_while(goes).count()
    }
}

/// How long ago that was; nothing if it is yet to come.
pub(super) fn age(since: SystemTime) -> Duration {
    SystemTime::now().duration_since(since).unwrap_or_default()
}

/// Notes in a generation's folder that it is not written to any more, in `closed`: Unix seconds. The times of the
/// database's own files do not say so, because opening it writes.
pub(super) fn close(folder: &Path) {
    note(folder, CLOSED, SystemTime::now());
}

/// When a generation was last written to; its begin if nothing says so.
pub(super) fn written(folder: &Path) -> SystemTime {
    noted(folder, CLOSED).unwrap_or_else(|| begun(folder))
}

/// When a generation was begun: as noted in `begun`, Unix seconds. Where nothing is noted yet, when its folder was made, or
/// now on a file system that does not tell; that is noted, so that starts of the agent do not make it younger.
pub(super) fn begun(folder: &Path) -> SystemTime {
    noted(folder, BEGUN).unwrap_or_else(|| {
        let made = fs::metadata(folder).and_then(|metadata| metadata.created());
        let made = made.unwrap_or_else(|_| SystemTime::now());
        note(folder, BEGUN, made);
        made
    })
}

fn noted(folder: &Path, name: &str) -> Option<SystemTime> {
    let seconds = fs::read_to_string(folder.join(name)).ok().and_then(|text| text.parse().ok());
    seconds.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
}

fn note(folder: &Path, name: &str, at: SystemTime) {
    let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if let Err(error) = fs::write(folder.join(name), at.as_secs().to_string()) {
        tracing::debug!(%error, name, "a time of a generation is not noted, and taken from its folder");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_they_are_too_old_or_too_many() {
        let day = Duration::from_secs(86_400);
        let days_ago = |days: u32| SystemTime::now() - day * days;
        let sent = [(days_ago(40), 10), (days_ago(20), 10), (days_ago(1), 10)];
        let released = |days: u32, bytes| Retention { span: day * days, bytes }.released(&sent);
        assert_eq!([released(30, 100), released(10, 100), released(0, 100), released(90, 100)], [1, 2, 3, 0]);
        assert_eq!([released(90, 30), released(90, 20), released(90, 5), released(90, 0)], [0, 1, 3, 3]);
        let ahead = [(SystemTime::now() + day, 10)];
        assert_eq!(Retention { span: day, bytes: 100 }.released(&ahead), 0);
    }
}
