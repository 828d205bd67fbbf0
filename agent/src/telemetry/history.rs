//! The transmissions that were, and what the schedule remembers: `state/transmissions.json`, replaced whole.
//!
//! Always true: a row is on disk before its transmission begins, so that a crash leaves a failed row and not a gap; at
//! most [`MAX_ROWS`] rows are kept, the oldest go first.

use super::due::{Remembered, Retry};
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::time::UnixMillis;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows that are kept: three years of daily runs, in a file well below the 1 MiB that is read.
pub(super) const MAX_ROWS: usize = 1_000;
/// The longest error text, characters.
const MAX_ERROR: usize = 200;

/// One transmission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its number.
    pub id: u64,
    /// When it was due, or asked for.
    pub due: UnixMillis,
    /// Whether somebody asked for it.
    pub manual: bool,
    /// When its last try began.
    pub started: UnixMillis,
    /// How it ended; `None` while it goes on.
    pub outcome: Option<Outcome>,
    /// Tries after the first.
    pub retries: u32,
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The hub confirmed all that was queued.
    Sent {
        /// When.
        at: UnixMillis,
        /// How many records.
        records: u64,
    },
    /// It did not.
    Failed {
        /// The HTTP status that says the same.
        code: u16,
        /// In words.
        error: String,
    },
}

/// The history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// It holds something else.
    #[error("state/transmissions.json is damaged ({0}); move it away, and the history begins anew")]
    Damaged(#[from] serde_json::Error),
}

#[derive(Clone, Serialize, Deserialize)]
struct Known {
    next: u64,
    remembered: Remembered,
    /// Oldest first.
    rows: Vec<Row>,
}

/// The history, and its place on disk.
pub(super) struct History {
    file: PathBuf,
    known: Mutex<Known>,
}

impl History {
    /// Reads the history, or begins one. What went on when the agent ended has failed, and is tried again at once.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub(super) fn load(file: PathBuf, now: UnixMillis) -> Result<Self, LoadError> {
        let known = if file.exists() {
            serde_json::from_slice(&secret_file::read(&file)?)?
        } else {
            Known { next: 1, remembered: Remembered::beginning(now), rows: vec![] }
        };
        let history = Self { file, known: Mutex::new(known) };
        history.change(|known| {
            for row in known.rows.iter_mut().filter(|row| row.outcome.is_none()) {
                let error = "the agent ended before the hub had confirmed everything".to_owned();
                row.outcome = Some(Outcome::Failed { code: 503, error });
                known.remembered.retry = Some(Retry { id: row.id, at: now });
            }
        })?;
        Ok(history)
    }

    /// What the schedule remembers.
    pub(super) fn remembered(&self) -> Remembered {
        self.lock().remembered
    }

    /// Rows, newest first.
    pub(super) fn rows(&self, skip: usize, limit: usize) -> Vec<Row> {
        self.lock().rows.iter().rev().skip(skip).take(limit).cloned().collect()
    }

    /// One row.
    pub(super) fn row(&self, id: u64) -> Option<Row> {
        self.lock().rows.iter().find(|row| row.id == id).cloned()
    }

    /// When the last transmission succeeded.
    pub(super) fn last_success(&self) -> Option<UnixMillis> {
        let sent = |row: &Row| match row.outcome {
            Some(Outcome::Sent { at, .. }) => Some(at),
            _ => None,
        };
        self.lock().rows.iter().filter_map(sent).max()
    }

    /// A transmission begins: its row. Like all that follows it waits for the disk; not for an async thread.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn begin(&self, due: UnixMillis, manual: bool, now: UnixMillis) -> Result<Row, secret_file::Error> {
        self.change(|known| {
            let row = Row { id: known.next, due, manual, started: now, outcome: None, retries: 0 };
            known.next += 1;
            if !manual {
                known.remembered.begun(due);
            }
            let surplus = (known.rows.len() + 1).saturating_sub(MAX_ROWS);
            known.rows.drain(..surplus);
            known.rows.push(row.clone());
            row
        })
    }

    /// A failed transmission is tried again; `None` if there is none of this number.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn begin_again(&self, id: u64, now: UnixMillis) -> Result<Option<Row>, secret_file::Error> {
        self.change(|known| {
            let row = known.rows.iter_mut().find(|row| row.id == id);
            if row.is_none() {
                known.remembered.retry.take_if(|retry| retry.id == id);
            }
            row.map(|row| {
                row.retries = row.retries.saturating_add(1);
                row.started = now;
                row.outcome = None;
                row.clone()
            })
        })
    }

    /// A try has ended.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn end(&self, id: u64, outcome: Outcome, now: UnixMillis) -> Result<(), secret_file::Error> {
        self.change(|known| {
            let Some(row) = known.rows.iter_mut().find(|row| row.id == id) else { return };
            match &outcome {
                Outcome::Sent { .. } => known.remembered.succeeded(now),
                Outcome::Failed { .. } => known.remembered.failed(id, row.retries, now),
            }
            row.outcome = Some(shortened(outcome));
        })
    }

    /// The schedule was changed: what was before is not made up for.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn reschedule(&self, now: UnixMillis) -> Result<(), secret_file::Error> {
        self.change(|known| known.remembered.begun(now))
    }

    /// Time may have been put back; see [`Remembered::settle`].
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn settle(&self, now: UnixMillis) -> Result<(), secret_file::Error> {
        if self.remembered().settle(now) {
            return self.change(|known| {
                known.remembered.settle(now);
            });
        }
        Ok(())
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> Result<T, secret_file::Error> {
        let mut known = self.lock();
        let mut changed = known.clone();
        let answer = change(&mut changed);
        // Texts, numbers and flags always have a JSON form.
        secret_file::write(&self.file, &serde_json::to_vec(&changed).unwrap_or_default())?;
        *known = changed;
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shortened(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed { code, error } => {
            let plain = error.chars().filter(|character| !character.is_control());
            Outcome::Failed { code, error: plain.take(MAX_ERROR).collect() }
        }
        sent @ Outcome::Sent { .. } => sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_767_268_800_000);

    fn history(folder: &tempfile::TempDir) -> History {
        History::load(folder.path().join("transmissions.json"), NOW).unwrap()
    }

    fn failed() -> Outcome {
        Outcome::Failed { code: 503, error: "no line".to_owned() }
    }

    #[test]
    fn rows_are_newest_first_and_outlive_a_restart() {
        let folder = tempfile::TempDir::new().unwrap();
        let first = history(&folder);
        let one = first.begin(NOW, false, NOW).unwrap();
        first.end(one.id, failed(), NOW).unwrap();
        let two = first.begin(NOW, true, NOW).unwrap();
        first.end(two.id, Outcome::Sent { at: NOW, records: 7 }, NOW).unwrap();
        let again = history(&folder);
        assert_eq!(again.rows(0, 10).iter().map(|row| row.id).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(again.rows(1, 10).len(), 1);
        assert_eq!(again.last_success(), Some(NOW));
        assert_eq!(again.remembered().retry, None, "the second one sent what the first could not");
    }

    #[test]
    fn a_retry_counts_on_the_same_row() {
        let folder = tempfile::TempDir::new().unwrap();
        let history = history(&folder);
        let row = history.begin(NOW, true, NOW).unwrap();
        history.end(row.id, failed(), NOW).unwrap();
        let first = history.remembered().retry.unwrap();
        assert_eq!((first.id, first.at > NOW), (row.id, true));
        assert_eq!(history.begin_again(row.id, NOW).unwrap().unwrap().retries, 1);
        history.end(row.id, failed(), NOW).unwrap();
        assert!(history.remembered().retry.unwrap().at > first.at, "the wait grows");
        assert_eq!(history.begin_again(99, NOW).unwrap(), None);
    }

    #[test]
    fn what_a_crash_interrupted_has_failed_and_is_due_at_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let row = history(&folder).begin(NOW, false, NOW).unwrap();
        let again = history(&folder);
        assert!(matches!(again.row(row.id).unwrap().outcome, Some(Outcome::Failed { .. })));
        assert_eq!(again.remembered().retry, Some(Retry { id: row.id, at: NOW }));
    }

    #[test]
    fn the_oldest_rows_go_and_a_full_history_can_be_read_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let first = history(&folder);
        {
            let mut known = first.lock();
            let error = "é".repeat(MAX_ERROR);
            let row = |id| Row {
                id,
                due: NOW,
                manual: true,
                started: NOW,
                outcome: Some(shortened(Outcome::Failed { code: 503, error: error.clone() })),
                retries: u32::MAX,
            };
            known.rows = (1..=MAX_ROWS as u64).map(row).collect();
            known.next = MAX_ROWS as u64 + 1;
        }
        let newest = first.begin(NOW, true, NOW).unwrap();
        let again = history(&folder);
        let rows = again.rows(0, usize::MAX);
        assert_eq!((rows.len(), rows[0].id, rows[MAX_ROWS - 1].id), (MAX_ROWS, newest.id, 2));
    }
}
