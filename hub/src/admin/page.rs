//! Lists, a page at a time.

use crate::store::MAX_PAGE;
use serde::{Deserialize, Serialize};

/// Rows of a page if the request does not say how many.
const DEFAULT: usize = 100;

/// One page.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    /// What is on it.
    pub(super) items: Vec<T>,
    /// What to give as `after` to get the next one; null on the last.
    pub(super) next: Option<String>,
}

/// How many rows were asked for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(super) struct Limit(usize);

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl Limit {
    pub(super) fn rows(self) -> usize {
        self.0.clamp(1, MAX_PAGE)
    }
}

impl<T> Page<T> {
    /// A page of what a list gave: if it gave all that were asked for, there may be more after the last.
    pub(super) fn of<R>(rows: Vec<R>, limit: Limit, id: impl Fn(&R) -> String, view: impl Fn(R) -> T) -> Self {
        let next = rows.last().filter(|_| rows.len() == limit.rows()).map(id);
        Self { items: rows.into_iter().map(view).collect(), next }
    }
}
