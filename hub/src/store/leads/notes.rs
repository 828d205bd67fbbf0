//! What was said with an institution, newest first.

use super::{Part, Span, fields, institutions, span};
use crate::store::{Act, Store, audit, counted, error::Error, error::found, writer::Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::json;
use sitewarden_protocol::time::UnixMillis;

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Which.
    pub id: i64,
    /// With whom.
    pub institution: i64,
    /// What, with its lines.
    pub content: String,
    /// What it was, such as `meeting`; empty if nobody said.
    #[serde(rename = "type")]
    pub kind: String,
    /// In the order given.
    pub tags: Vec<String>,
    /// Who wrote it.
    pub author: String,
    /// When it was written.
    pub created_at: UnixMillis,
    /// When it was last edited.
    pub updated_at: UnixMillis,
    /// Grows with every edition.
    pub revision: i64,
}

/// A note to be added. Its author is whoever acts.
#[derive(Debug, Clone, Default)]
pub struct NewNote {
    /// 1 to 20,000 characters.
    pub content: String,
    /// What it was.
    pub kind: String,
    /// At most 32.
    pub tags: Vec<String>,
}

/// What is to be changed; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct NoteEdit {
    /// 1 to 20,000 characters.
    pub content: Option<String>,
    /// What it was.
    pub kind: Option<String>,
    /// All of them.
    pub tags: Option<Vec<String>>,
}

const COLUMNS: &str = "id, institution, content, type, tags, author, created_at, max(created_at, updated_at), revision";

impl Store {
    /// Adds a note.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the institution, [`Error::Invalid`] for fields that cannot be.
    pub async fn add_note(&self, act: &Act, institution: i64, new: NewNote) -> Result<Note, Error> {
        let act = act.clone();
        self.write(move |tx| add(tx, &act, institution, &new)).await
    }

    /// The notes of an institution, the newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the institution.
    pub async fn list_notes(&self, institution: i64, part: Span) -> Result<Part<Note>, Error> {
        self.read(move |connection| {
            institutions::find(connection, institution)?;
            let sql = format!("SELECT {COLUMNS} FROM notes WHERE institution = ? ORDER BY id DESC LIMIT ? OFFSET ?");
            let (take, skip) = span(part);
            let mut query = connection.prepare_cached(&sql)?;
            let items = query.query_map(params![institution, take, skip], read)?.collect::<Result<_, _>>()?;
            Ok(Part { items, total: count(connection, institution)? })
        })
        .await
    }

    /// One note of an institution.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_note(&self, institution: i64, id: i64) -> Result<Note, Error> {
        self.read(move |connection| find(connection, institution, id)).await
    }

    /// Changes a note. Its author stays; who changed it is in the audit log.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], [`Error::Invalid`].
    pub async fn edit_note(&self, act: &Act, (institution, id): (i64, i64), edit: NoteEdit) -> Result<Note, Error> {
        let act = act.clone();
        self.write(move |tx| change(tx, &act, (institution, id), &edit)).await
    }

    /// Removes a note, and answers how it was.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`].
    pub async fn remove_note(&self, act: &Act, (institution, id): (i64, i64)) -> Result<Note, Error> {
        let act = act.clone();
        self.write(move |tx| remove(tx, &act, (institution, id))).await
    }
}

pub(super) fn count(connection: &Connection, institution: i64) -> Result<u64, Error> {
    let mut query = connection.prepare_cached("SELECT count(*) FROM notes WHERE institution = ?")?;
    Ok(query.query_row([institution], |row| counted(row, 0))?)
}

fn find(connection: &Connection, institution: i64, id: i64) -> Result<Note, Error> {
    let sql = format!("SELECT {COLUMNS} FROM notes WHERE id = ? AND institution = ?");
    found(connection.prepare_cached(&sql)?.query_row([id, institution], read).optional()?, "note")
}

fn read(row: &Row<'_>) -> rusqlite::Result<Note> {
    Ok(Note {
        id: row.get(0)?,
        institution: row.get(1)?,
        content: row.get(2)?,
        kind: row.get(3)?,
        tags: fields::json(row, 4)?,
        author: row.get(5)?,
        created_at: UnixMillis(row.get(6)?),
        updated_at: UnixMillis(row.get(7)?),
        revision: row.get(8)?,
    })
}

fn add(tx: &Tx<'_>, act: &Act, institution: i64, new: &NewNote) -> Result<Note, Error> {
    institutions::find(tx, institution)?;
    let (content, kind) = (fields::content(&new.content)?, fields::line("type", &new.kind)?);
    let tags = fields::tags(&new.tags)?;
    tx.prepare_cached(
        "INSERT INTO notes (institution, content, type, tags, author, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
    )?
    .execute(params![institution, content, kind, fields::stored(&tags), act.by, act.at.0])?;
    let added = find(tx, institution, tx.last_insert_rowid())?;
    record(tx, act, "note.add", None, Some(&added))?;
    Ok(added)
}

fn change(tx: &Tx<'_>, act: &Act, (institution, id): (i64, i64), edit: &NoteEdit) -> Result<Note, Error> {
    let before = find(tx, institution, id)?;
    act.check_seen(before.revision)?;
    let mut after = before.clone();
    if let Some(content) = &edit.content {
        after.content = fields::content(content)?;
    }
    if let Some(kind) = &edit.kind {
        after.kind = fields::line("type", kind)?;
    }
    if let Some(tags) = &edit.tags {
        after.tags = fields::tags(tags)?;
    }
    if after == before {
        return Ok(before);
    }
    (after.updated_at, after.revision) = (act.at, before.revision + 1);
    tx.prepare_cached("UPDATE notes SET content = ?, type = ?, tags = ?, updated_at = ?, revision = ? WHERE id = ?")?
        .execute(params![
            after.content,
            after.kind,
            fields::stored(&after.tags),
            after.updated_at.0,
            after.revision,
            id
        ])?;
    record(tx, act, "note.edit", Some(&before), Some(&after))?;
    Ok(after)
}

fn remove(tx: &Tx<'_>, act: &Act, (institution, id): (i64, i64)) -> Result<Note, Error> {
    let before = find(tx, institution, id)?;
    act.check_seen(before.revision)?;
    tx.prepare_cached("DELETE FROM notes WHERE id = ?")?.execute([id])?;
    record(tx, act, "note.remove", Some(&before), None)?;
    Ok(before)
}

fn record(tx: &Tx<'_>, act: &Act, action: &str, before: Option<&Note>, after: Option<&Note>) -> Result<(), Error> {
    let Some(note) = after.or(before) else { return Ok(()) };
    let subject = format!("note {} of institution {}", note.id, note.institution);
    let (before, after) = (before.map(|before| json!(before)), after.map(|after| json!(after)));
    audit::write(tx, act, action, &subject, before.as_ref(), after.as_ref())
}
