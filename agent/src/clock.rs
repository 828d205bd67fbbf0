//! The wall clock, read in one place.

use sitewarden_protocol::time::UnixMillis;
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock's time; a clock set before 1970 counts as 1970.
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
