//! Lists, a page at a time: by a cursor, or by the number of the page where a document says so.

use super::Error;
use crate::store::MAX_PAGE;
use axum::{
    Json,
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Rows of a page if the request does not say how many.
const DEFAULT: usize = 100;

/// Rows of a numbered page if the request does not say how many.
const PER_PAGE: u32 = 50;
/// The most rows of one.
const MAX_PER_PAGE: u32 = 500;
/// The last page that can be asked for: what lies further is found with a filter, not by leafing.
const MAX_NUMBER: u32 = 1_000_000;

/// One page.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Page<T> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    /// What to give as `after` to get the next one; null on the last.
    pub(crate) next: Option<String>,
}

/// How many rows were asked for.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Limit(usize);

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl Limit {
    pub(crate) fn rows(self) -> usize {
        self.0.clamp(1, MAX_PAGE)
    }
}

impl<T> Page<T> {
    /// A page of what a list gave: if it gave all that were asked for, there may be more after the last.
    pub(crate) fn of<R>(rows: Vec<R>, limit: Limit, id: impl Fn(&R) -> String, view: impl Fn(R) -> T) -> Self {
        let next = rows.last().filter(|_| rows.len() == limit.rows()).map(id);
        Self { items: rows.into_iter().map(view).collect(), next }
    }
}

/// `page` (from 1) and `per_page`, as the documented lists take them. Whatever else is asked is not its business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbered {
    page: u32,
    per_page: u32,
}

impl Numbered {
    /// The most rows that are wanted.
    pub(crate) const fn rows(self) -> u32 {
        self.per_page
    }

    /// Rows before the first that is wanted.
    pub(crate) fn offset(self) -> u64 {
        u64::from(self.page - 1) * u64::from(self.per_page)
    }

    /// `{"<name>": […], "total", "page", "per_page"}`.
    pub(crate) fn answer(self, name: &str, items: impl Serialize, total: u64) -> Json<Value> {
        Json(json!({ name: items, "total": total, "page": self.page, "per_page": self.per_page }))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Numbered {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Asked {
            page: Option<String>,
            per_page: Option<String>,
        }
        let asked = Query::<Asked>::from_request_parts(parts, state).await;
        let Query(asked) = asked.map_err(|rejection| Error::invalid("query", rejection.body_text()))?;
        let number = |field: &'static str, text: Option<String>, default, most| match text {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) if (1..=most).contains(&number) => Ok(number),
                _ => Err(Error::invalid(field, format!("{field} must be a whole number from 1 to {most}"))),
            },
        };
        Ok(Self {
            page: number("page", asked.page, 1, MAX_NUMBER)?,
            per_page: number("per_page", asked.per_page, PER_PAGE, MAX_PER_PAGE)?,
        })
    }
}
