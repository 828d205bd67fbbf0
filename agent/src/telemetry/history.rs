//! The transmissions that were, and what the schedule remembers: `state/transmissions.json`, replaced whole.
//!
//! Always true: a row is on disk before its transmission begins, so that a crash leaves a failed row and not a gap; at
//! most [`MAX_ROWS`] rows are kept, the oldest go first. A bundle's row begins when its first part is whole, and ends when the
//! hub's word on its last record comes, by whatever way, weeks and starts later.

use super::due::{Remembered, Retry};
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::chain::Position;
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
    /// What was written into files, if that was the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Carried>,
}

/// What a bundle holds, as far as its parts are whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The bundle, hexadecimal.
    pub bundle: String,
    /// Records in it.
    pub records: u64,
    /// The last one, epoch and number.
    pub through: (u64, u64),
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
            for row in known.rows.iter_mut().filter(|row| row.outcome.is_none() && row.carried.is_none()) {
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
            let row = Row { id: known.next, due, manual, started: now, outcome: None, retries: 0, carried: None };
            if !manual {
                known.remembered.begun(due);
            }
            known.add(row)
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
                // This time it goes over the line.
                row.carried = None;
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

    /// A part of a bundle is whole, with so many records and the last of them.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn exported(&self, part: Carried, now: UnixMillis) -> Result<(), secret_file::Error> {
        self.change(|known| {
            let open = |row: &&mut Row| row.outcome.is_none();
            let of = |row: &&mut Row| row.carried.as_ref().is_some_and(|known| known.bundle == part.bundle);
            if let Some(known) =
                known.rows.iter_mut().find(|row| open(row) && of(row)).and_then(|row| row.carried.as_mut())
            {
                // A part may be told twice.
                if known.through < part.through {
                    (known.records, known.through) = (known.records + part.records, part.through);
                }
                return;
            }
            let (id, carried) = (known.next, Some(part));
            known.add(Row { id, due: now, manual: true, started: now, outcome: None, retries: 0, carried });
        })
    }

    /// Ends the rows of bundles that the hub has confirmed as a whole by now, and of those that it never will: what they hold of
    /// an epoch before `superseded` comes again elsewhere.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn confirmed(
        &self,
        acknowledged: Position,
        superseded: Position,
        now: UnixMillis,
    ) -> Result<(), secret_file::Error> {
        let outcome = |row: &Row| {
            let Carried { records, through: (epoch, seq), .. } =
                *row.carried.as_ref().filter(|_| row.outcome.is_none())?;
            let through = Position { epoch, seq };
            if through < superseded {
                let error = "the hub has another history of this; its records are sent again".to_owned();
                return Some(Outcome::Failed { code: 409, error });
            }
            (through <= acknowledged).then_some(Outcome::Sent { at: now, records })
        };
        if !self.lock().rows.iter().any(|row| outcome(row).is_some()) {
            return Ok(());
        }
        self.change(|known| {
            for row in &mut known.rows {
                let Some(outcome) = outcome(row) else { continue };
                if matches!(outcome, Outcome::Sent { .. }) {
                    known.remembered.succeeded(now);
                }
                row.outcome = Some(outcome);
            }
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

impl Known {
    /// One more row, in place of the oldest if there are too many.
    fn add(&mut self, row: Row) -> Row {
        self.next += 1;
        let surplus = (self.rows.len() + 1).saturating_sub(MAX_ROWS);
        self.rows.drain(..surplus);
        self.rows.push(row.clone());
        row
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

    fn part(seq: u64, records: u64) -> Carried {
        Carried { bundle: "0a".to_owned(), records, through: (2, seq) }
    }

    #[test]
    fn a_bundle_is_one_transmission_until_the_hubs_word_on_its_last_record_comes() {
        let folder = tempfile::TempDir::new().unwrap();
        let first = history(&folder);
        for (seq, records) in [(10, 10), (10, 10), (15, 5)] {
            first.exported(part(seq, records), NOW).unwrap();
        }
        // It waits over a start, and nothing is tried again for it.
        let again = history(&folder);
        assert_eq!((again.rows(0, 10).len(), again.row(1).unwrap().outcome), (1, None));
        assert_eq!(again.remembered().retry, None);
        let (part_of_it, all) = (Position { epoch: 2, seq: 14 }, Position { epoch: 2, seq: 15 });
        again.confirmed(part_of_it, Position::default(), NOW).unwrap();
        assert_eq!(again.row(1).unwrap().outcome, None);
        again.confirmed(all, Position::default(), NOW).unwrap();
        assert_eq!(again.row(1).unwrap().outcome, Some(Outcome::Sent { at: NOW, records: 15 }));
        assert_eq!(again.last_success(), Some(NOW));
        // The same file once more is another transmission.
        again.exported(part(15, 15), NOW).unwrap();
        assert_eq!(again.rows(0, 10).len(), 2);
    }

    #[test]
    fn a_bundle_of_an_epoch_that_was_left_has_failed_and_is_not_tried_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let history = history(&folder);
        history.exported(part(10, 10), NOW).unwrap();
        history.confirmed(Position { epoch: 3, seq: 0 }, Position { epoch: 3, seq: 0 }, NOW).unwrap();
        assert!(matches!(history.row(1).unwrap().outcome, Some(Outcome::Failed { code: 409, .. })));
        assert_eq!((history.remembered().retry, history.last_success()), (None, None));
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
                carried: None,
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
