//! Waiting for something to become so.

use anyhow::{Result, bail};
use std::thread;
use std::time::{Duration, Instant};

/// How often a condition outside this process is looked at: files and child processes do not call back.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until `condition` answers something, for at most `limit`.
///
/// # Errors
/// Names `what` when the limit is over, or passes on what the condition itself failed with.
pub fn until<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        if begun.elapsed() > limit {
            bail!("waited {} s in vain for {what}", limit.as_secs());
        }
        thread::park_timeout(LOOK);
    }
}
