//! Institutions are found: by words, by tags, or all of them; a page at a time, in the order of their ids.
//!
//! Each way goes through an index, and stops counting at [`MAX_COUNTED`]; so an answer costs the same however many leads
//! there are.

use super::{Institution, Part, Span, contacts, fields, institutions, span};
use crate::store::{Store, counted, error::Error, writer::Tx};
use rusqlite::{Connection, params, params_from_iter, types::Value as Sql};

/// How far a list is counted, and can be paged through.
pub const MAX_COUNTED: u16 = 10_000;
/// Tags in one question.
pub const MAX_WANTED_TAGS: usize = 8;
/// Words in one question; more are not looked for.
const MAX_WANTED_WORDS: usize = 8;

/// Which institutions.
#[derive(Debug, Clone, Default)]
pub struct InstitutionFilter {
    /// Each of its words begins a word of the institution or its contacts.
    pub search: Option<String>,
    /// It has all of them, upper and lower case alike; [`MAX_WANTED_TAGS`] at most.
    pub tags: Vec<String>,
}

impl Store {
    /// A part of the institutions that are asked for. `total` is counted up to [`MAX_COUNTED`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a part beyond [`MAX_COUNTED`], or too many tags.
    pub async fn list_institutions(&self, filter: InstitutionFilter, part: Span) -> Result<Part<Institution>, Error> {
        if part.skip > usize::from(MAX_COUNTED) {
            return Err(Error::Invalid { what: "page", allowed: "within the first 10000; search for less" });
        }
        if filter.tags.len() > MAX_WANTED_TAGS {
            return Err(Error::Invalid { what: "tags", allowed: "at most 8" });
        }
        self.read(move |connection| list(connection, &filter, part)).await
    }
}

/// Puts an institution's words and tags where they are found, in place of those that it had.
pub(super) fn index(tx: &Tx<'_>, institution: &Institution) -> Result<(), Error> {
    forget(tx, institution.id)?;
    let Institution { id, name, kind, address, tags, .. } = institution;
    let mut words = vec![name.clone(), kind.clone(), address.clone()];
    words.extend(tags.iter().cloned());
    for contact in contacts::all(tx, *id)? {
        words.push(contact.name);
        words.extend([contact.email, contact.position].into_iter().flatten());
    }
    tx.prepare_cached("INSERT INTO institution_words (rowid, words) VALUES (?, ?)")?
        .execute(params![id, words.join("\n")])?;
    let mut insert = tx.prepare_cached("INSERT INTO institution_tags (tag, institution) VALUES (?, ?)")?;
    for tag in tags {
        insert.execute(params![fields::found_by(tag), id])?;
    }
    Ok(())
}

/// Takes an institution's words and tags away.
pub(super) fn forget(tx: &Tx<'_>, id: i64) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM institution_words WHERE rowid = ?")?.execute([id])?;
    tx.prepare_cached("DELETE FROM institution_tags WHERE institution = ?")?.execute([id])?;
    Ok(())
}

fn list(connection: &Connection, filter: &InstitutionFilter, part: Span) -> Result<Part<Institution>, Error> {
    let (ids, wanted) = ids(filter);
    let (take, skip) = span(part);
    let columns = institutions::COLUMNS;
    let page = format!(
        "SELECT {columns} FROM institutions WHERE id IN (SELECT id FROM ({ids}) LIMIT {take} OFFSET {skip}) ORDER BY id"
    );
    let mut query = connection.prepare(&page)?;
    let items = query.query_map(params_from_iter(&wanted), institutions::read)?.collect::<Result<_, _>>()?;
    let count = format!("SELECT count(*) FROM (SELECT 1 FROM ({ids}) LIMIT {MAX_COUNTED})");
    let total = connection.prepare_cached(&count)?.query_row(params_from_iter(&wanted), |row| counted(row, 0))?;
    Ok(Part { items, total })
}

/// The ids that are asked for, in order, and what goes into the question.
fn ids(filter: &InstitutionFilter) -> (String, Vec<Sql>) {
    let words = filter.search.as_deref().map(as_words);
    let mut tags = filter.tags.iter().map(|tag| Sql::Text(fields::found_by(tag)));
    let (mut sql, mut wanted, id) = if let Some(words) = words {
        let sql = "SELECT rowid AS id FROM institution_words WHERE institution_words MATCH ?";
        (sql.to_owned(), vec![Sql::Text(words)], "institution_words.rowid")
    } else if let Some(tag) = tags.next() {
        ("SELECT institution AS id FROM institution_tags t WHERE tag = ?".to_owned(), vec![tag], "t.institution")
    } else {
        ("SELECT id FROM institutions WHERE true".to_owned(), vec![], "id")
    };
    for tag in tags {
        sql += &format!(" AND EXISTS (SELECT 1 FROM institution_tags o WHERE o.tag = ? AND o.institution = {id})");
        wanted.push(tag);
    }
    (sql + " ORDER BY 1", wanted)
}

/// What was typed, as FTS5 wants it: each word quoted, as the beginning of one. Nothing of it is syntax any more. What has
/// no word finds nothing.
fn as_words(typed: &str) -> String {
    let words = typed.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let quoted: Vec<_> = words.take(MAX_WANTED_WORDS).map(|word| format!("\"{word}\"*")).collect();
    if quoted.is_empty() { "\"\"".to_owned() } else { quoted.join(" ") }
}

/// How the database goes about a question.
#[cfg(test)]
pub(in crate::store) async fn explained(store: &Store, filter: InstitutionFilter) -> Vec<String> {
    let plan = store.read(move |connection| {
        let (ids, wanted) = ids(&filter);
        let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {ids}"))?;
        let steps = query.query_map(params_from_iter(&wanted), |row| row.get(3))?;
        Ok(steps.collect::<Result<Vec<String>, _>>()?)
    });
    plan.await.unwrap_or_default()
}
