//! What fields of leads may hold. Everything has an end, because all of it can be listed.

use crate::store::error::Error;
use rusqlite::{Row, types::Type};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The longest text of one line, characters: kinds, addresses, positions.
const MAX_LINE: usize = 500;
/// The longest note, characters.
const MAX_NOTE: usize = 20_000;
/// Tags of one thing.
const MAX_TAGS: usize = 32;
/// The longest tag, characters.
const MAX_TAG: usize = 50;
/// The caller's own data, bytes of JSON.
const MAX_METADATA: usize = 16 << 10;

/// One line, possibly empty.
pub(super) fn line(what: &'static str, text: &str) -> Result<String, Error> {
    let text = text.trim();
    let fits = text.chars().count() <= MAX_LINE && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(Error::Invalid { what, allowed: LINE }) }
}
const LINE: &str = "at most 500 characters, without control characters";

/// One line; an empty one is none.
pub(super) fn some_line(what: &'static str, text: Option<&str>) -> Result<Option<String>, Error> {
    let text = text.map(|text| line(what, text)).transpose()?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// An address that mail could go to: one `@`, with something on both sides.
pub(super) fn email(text: Option<&str>) -> Result<Option<String>, Error> {
    let text = some_line("email", text)?;
    let is_address = |text: &String| {
        let parts = text.split_once('@');
        parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
            && !text.contains(char::is_whitespace)
    };
    let invalid = Error::Invalid { what: "email", allowed: "an address such as john@example.com" };
    if text.as_ref().is_none_or(is_address) { Ok(text) } else { Err(invalid) }
}

/// A note's text, with its lines.
pub(super) fn content(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    let fits = !text.is_empty() && text.chars().count() <= MAX_NOTE && text.chars().all(plain);
    let allowed = "1 to 20000 characters, without control characters";
    if fits { Ok(text.to_owned()) } else { Err(Error::Invalid { what: "content", allowed }) }
}

/// Tags in the order given, each once.
pub(super) fn tags(tags: &[String]) -> Result<Vec<String>, Error> {
    let (mut seen, mut kept) = (BTreeSet::new(), Vec::new());
    for tag in tags {
        let tag = tag.trim();
        let fits = (1..=MAX_TAG).contains(&tag.chars().count()) && !tag.contains(|c: char| c == ',' || c.is_control());
        if !fits || kept.len() >= MAX_TAGS {
            return Err(Error::Invalid {
                what: "tags",
                allowed: "at most 32, each of 1 to 50 characters without commas",
            });
        }
        if seen.insert(found_by(tag)) {
            kept.push(tag.to_owned());
        }
    }
    Ok(kept)
}

/// A tag as it is looked for.
pub(super) fn found_by(tag: &str) -> String {
    tag.trim().to_lowercase()
}

/// The caller's own data.
pub(super) fn metadata(data: &Map<String, Value>) -> Result<String, Error> {
    let text = serde_json::to_string(data).unwrap_or_default();
    let invalid = Error::Invalid { what: "metadata", allowed: "an object of at most 16 KiB" };
    if text.len() <= MAX_METADATA { Ok(text) } else { Err(invalid) }
}

/// JSON as it is stored.
pub(super) fn stored(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// JSON from a column.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
