//! `/api/institutions/{id}/notes`, the newest first.

use super::{Body, CREATED, Caller, Error, Id, Ids, Numbered, Store, Tagged, span, time};
use crate::store::{NewNote, Note, NoteEdit, Part};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
pub(in crate::admin) struct New {
    content: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    tags: Option<Vec<String>>,
}

/// What is not given stays as it is.
#[derive(Deserialize, JsonSchema)]
pub(in crate::admin) struct Edit {
    content: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    tags: Option<Vec<String>>,
}

/// What was said with an institution.
#[derive(Serialize, JsonSchema)]
pub(in crate::admin) struct View {
    id: i64,
    institution_id: i64,
    content: String,
    #[serde(rename = "type")]
    kind: String,
    tags: Vec<String>,
    /// Who wrote it.
    author: String,
    created_at: String,
    updated_at: String,
    /// Grows with every edition.
    revision: i64,
}

pub(in crate::admin) async fn list(
    State(store): State<Store>,
    Id(institution): Id<i64>,
    page: Numbered,
) -> Result<Json<Value>, Error> {
    let Part { items, total } = store.list_notes(institution, span(page)).await?;
    Ok(page.answer("notes", items.into_iter().map(View::from).collect::<Vec<_>>(), total))
}

pub(in crate::admin) async fn add(
    caller: Caller,
    State(store): State<Store>,
    Id(institution): Id<i64>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Tagged<View>), Error> {
    let New { content, kind, tags } = new;
    let new = NewNote { content, kind: kind.unwrap_or_default(), tags: tags.unwrap_or_default() };
    Ok((CREATED, View::tagged(store.add_note(&caller.act(), institution, new).await?)))
}

pub(in crate::admin) async fn show(State(store): State<Store>, Ids(ids): Ids) -> Result<Tagged<View>, Error> {
    Ok(View::tagged(store.show_note(ids.0, ids.1).await?))
}

pub(in crate::admin) async fn edit(
    caller: Caller,
    State(store): State<Store>,
    Ids(ids): Ids,
    Body(edit): Body<Edit>,
) -> Result<Tagged<View>, Error> {
    let Edit { content, kind, tags } = edit;
    let edit = NoteEdit { content, kind, tags };
    Ok(View::tagged(store.edit_note(&caller.act(), ids, edit).await?))
}

pub(in crate::admin) async fn remove(
    caller: Caller,
    State(store): State<Store>,
    Ids(ids): Ids,
) -> Result<Json<Value>, Error> {
    store.remove_note(&caller.act(), ids).await?;
    Ok(Json(json!({ "id": ids.1, "message": "Note deleted successfully" })))
}

impl View {
    fn tagged(note: Note) -> Tagged<Self> {
        Tagged(note.revision, note.into())
    }
}

impl From<Note> for View {
    fn from(note: Note) -> Self {
        Self {
            id: note.id,
            institution_id: note.institution,
            content: note.content,
            kind: note.kind,
            tags: note.tags,
            author: note.author,
            created_at: time::text(note.created_at),
            updated_at: time::text(note.updated_at),
            revision: note.revision,
        }
    }
}
