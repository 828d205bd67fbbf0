//! Institutions: added, edited, removed.

use super::{Refusal, Stop, convert, fields, search, settled};
use crate::store::{Act, Store, audit, customers::checked_name, error::Error, error::found, writer::Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sitewarden_protocol::time::UnixMillis;

/// Who may become a customer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Institution {
    /// Which.
    pub id: i64,
    /// Unique.
    pub name: String,
    /// What it is, such as `university`; empty if nobody said.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is; empty if nobody said.
    pub address: String,
    /// In the order given.
    pub tags: Vec<String>,
    /// The caller's own data.
    pub metadata: Map<String, Value>,
    /// The customer that it has become.
    pub customer: Option<i64>,
    /// Since when.
    pub created_at: UnixMillis,
    /// When it was last edited.
    pub updated_at: UnixMillis,
    /// Grows with every edition.
    pub revision: i64,
}

/// An institution to be added.
#[derive(Debug, Clone, Default)]
pub struct NewInstitution {
    /// Unique.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// Where it is.
    pub address: String,
    /// At most 32.
    pub tags: Vec<String>,
    /// At most 16 KiB.
    pub metadata: Map<String, Value>,
}

/// What is to be changed; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct InstitutionEdit {
    /// Unique.
    pub name: Option<String>,
    /// What it is.
    pub kind: Option<String>,
    /// Where it is.
    pub address: Option<String>,
    /// All of them.
    pub tags: Option<Vec<String>>,
    /// All of it.
    pub metadata: Option<Map<String, Value>>,
}

pub(super) const COLUMNS: &str = "id, name, type, address, tags, metadata, \
     (SELECT customers.id FROM customers WHERE customers.institution = institutions.id), created_at, updated_at, revision";

const TAKEN: &str = "institution with this name";

impl Store {
    /// Adds an institution.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of this name, [`Error::Invalid`] for fields that cannot be.
    pub async fn add_institution(&self, act: &Act, new: NewInstitution) -> Result<Institution, Error> {
        let act = act.clone();
        self.write(move |tx| add(tx, &act, &new)).await
    }

    /// One institution.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_institution(&self, id: i64) -> Result<Institution, Error> {
        self.read(move |connection| find(connection, id)).await
    }

    /// Changes an institution. An edit that changes nothing leaves no trace.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], else as [`Store::add_institution`].
    pub async fn edit_institution(
        &self,
        act: &Act,
        id: i64,
        edit: InstitutionEdit,
    ) -> Result<Result<Institution, Refusal>, Error> {
        let act = act.clone();
        self.write(move |tx| settled(change(tx, &act, id, &edit))).await
    }

    /// Removes an institution with its contacts and notes, and answers how it was.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`]. One that is a customer stays.
    pub async fn remove_institution(&self, act: &Act, id: i64) -> Result<Result<Institution, Refusal>, Error> {
        let act = act.clone();
        self.write(move |tx| settled(remove(tx, &act, id))).await
    }
}

pub(super) fn find(connection: &Connection, id: i64) -> Result<Institution, Error> {
    let sql = format!("SELECT {COLUMNS} FROM institutions WHERE id = ?");
    found(connection.prepare_cached(&sql)?.query_row([id], read).optional()?, "institution")
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Institution> {
    Ok(Institution {
        id: row.get(0)?,
        name: row.get(1)?,
        kind: row.get(2)?,
        address: row.get(3)?,
        tags: fields::json(row, 4)?,
        metadata: fields::json(row, 5)?,
        customer: row.get(6)?,
        created_at: UnixMillis(row.get(7)?),
        updated_at: UnixMillis(row.get(8)?),
        revision: row.get(9)?,
    })
}

fn add(tx: &Tx<'_>, act: &Act, new: &NewInstitution) -> Result<Institution, Error> {
    let (name, tags) = (checked_name(&new.name)?, fields::tags(&new.tags)?);
    let (kind, address) = (fields::line("type", &new.kind)?, fields::line("address", &new.address)?);
    let metadata = fields::metadata(&new.metadata)?;
    tx.prepare_cached(
        "INSERT INTO institutions (name, type, address, tags, metadata, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
    )?
    .execute(params![name, kind, address, fields::stored(&tags), metadata, act.at.0])
    .map_err(|error| Error::or_conflict(error, TAKEN))?;
    let added = find(tx, tx.last_insert_rowid())?;
    search::index(tx, &added)?;
    record(tx, act, "institution.add", None, Some(&added))?;
    Ok(added)
}

fn change(tx: &Tx<'_>, act: &Act, id: i64, edit: &InstitutionEdit) -> Result<Institution, Stop> {
    let before = find(tx, id)?;
    act.check_seen(before.revision)?;
    let mut after = before.clone();
    if let Some(name) = &edit.name {
        after.name = checked_name(name)?;
    }
    if let Some(kind) = &edit.kind {
        after.kind = fields::line("type", kind)?;
    }
    if let Some(address) = &edit.address {
        after.address = fields::line("address", address)?;
    }
    if let Some(tags) = &edit.tags {
        after.tags = fields::tags(tags)?;
    }
    if let Some(metadata) = &edit.metadata {
        after.metadata.clone_from(metadata);
    }
    if after == before {
        return Ok(before);
    }
    (after.updated_at, after.revision) = (act.at, before.revision + 1);
    let metadata = fields::metadata(&after.metadata)?;
    tx.prepare_cached(
        "UPDATE institutions SET name = ?, type = ?, address = ?, tags = ?, metadata = ?, updated_at = ?, revision = ?
         WHERE id = ?",
    )?
    .execute(params![
        after.name,
        after.kind,
        after.address,
        fields::stored(&after.tags),
        metadata,
        after.updated_at.0,
        after.revision,
        id
    ])
    .map_err(|error| Error::or_conflict(error, TAKEN))?;
    search::index(tx, &after)?;
    record(tx, act, "institution.edit", Some(&before), Some(&after))?;
    Ok(after)
}

fn remove(tx: &Tx<'_>, act: &Act, id: i64) -> Result<Institution, Stop> {
    let before = find(tx, id)?;
    act.check_seen(before.revision)?;
    if let Some(customer) = before.customer {
        return Err(Stop::Refused(Refusal::IsCustomer(customer)));
    }
    // What goes with it is in the log, too: nobody else has it any more.
    let mut gone = json!(before);
    gone["contacts"] = json!(super::contacts::all(tx, id)?);
    gone["notes"] = super::notes::count(tx, id)?.into();
    search::forget(tx, id)?;
    tx.prepare_cached("DELETE FROM institutions WHERE id = ?")?.execute([id])?;
    audit::write(tx, act, "institution.remove", &convert::subject(id), Some(&gone), None)?;
    Ok(before)
}

fn record(
    tx: &Tx<'_>,
    act: &Act,
    action: &str,
    before: Option<&Institution>,
    after: Option<&Institution>,
) -> Result<(), Error> {
    let Some(id) = after.or(before).map(|institution| institution.id) else { return Ok(()) };
    let (before, after) = (before.map(|before| json!(before)), after.map(|after| json!(after)));
    audit::write(tx, act, action, &convert::subject(id), before.as_ref(), after.as_ref())
}
