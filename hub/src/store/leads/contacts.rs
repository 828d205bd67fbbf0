//! The people at an institution. Whoever becomes the primary contact takes that from the one who was.

use super::{MAX_CONTACTS, Part, Refusal, Span, Stop, fields, institutions, search, settled, span};
use crate::store::{Act, Store, audit, counted, customers::checked_name, error::Error, error::found, writer::Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::json;
use sitewarden_protocol::time::UnixMillis;

/// A person at an institution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contact {
    /// Which.
    pub id: i64,
    /// Where.
    pub institution: i64,
    /// Who.
    pub name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// Where to call.
    pub phone: Option<String>,
    /// What the person does there.
    pub position: Option<String>,
    /// Whom to ask first; one at most.
    pub is_primary: bool,
    /// Since when.
    pub created_at: UnixMillis,
    /// When it was last edited.
    pub updated_at: UnixMillis,
    /// Grows with every edition.
    pub revision: i64,
}

/// A contact to be added.
#[derive(Debug, Clone, Default)]
pub struct NewContact {
    /// Who.
    pub name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// Where to call.
    pub phone: Option<String>,
    /// What the person does there.
    pub position: Option<String>,
    /// Whom to ask first.
    pub is_primary: bool,
}

/// What is to be changed; `None` stays as it is, an empty text is none.
#[derive(Debug, Clone, Default)]
pub struct ContactEdit {
    /// Who.
    pub name: Option<String>,
    /// Where to write to.
    pub email: Option<String>,
    /// Where to call.
    pub phone: Option<String>,
    /// What the person does there.
    pub position: Option<String>,
    /// Whom to ask first.
    pub is_primary: Option<bool>,
}

const COLUMNS: &str = "id, institution, name, email, phone, position, is_primary, created_at, \
     max(created_at, updated_at), revision";

impl Store {
    /// Adds a contact.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the institution, [`Error::Invalid`] for fields that cannot be.
    pub async fn add_contact(
        &self,
        act: &Act,
        institution: i64,
        new: NewContact,
    ) -> Result<Result<Contact, Refusal>, Error> {
        let act = act.clone();
        self.write(move |tx| settled(add(tx, &act, institution, &new))).await
    }

    /// The contacts of an institution in the order of their ids.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the institution.
    pub async fn list_contacts(&self, institution: i64, part: Span) -> Result<Part<Contact>, Error> {
        self.read(move |connection| {
            institutions::find(connection, institution)?;
            let sql = format!("SELECT {COLUMNS} FROM contacts WHERE institution = ? ORDER BY id LIMIT ? OFFSET ?");
            let (take, skip) = span(part);
            let mut query = connection.prepare_cached(&sql)?;
            let items = query.query_map(params![institution, take, skip], read)?.collect::<Result<_, _>>()?;
            Ok(Part { items, total: count(connection, institution)? })
        })
        .await
    }

    /// One contact of an institution.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_contact(&self, institution: i64, id: i64) -> Result<Contact, Error> {
        self.read(move |connection| find(connection, institution, id)).await
    }

    /// Changes a contact.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], [`Error::Invalid`].
    pub async fn edit_contact(
        &self,
        act: &Act,
        (institution, id): (i64, i64),
        edit: ContactEdit,
    ) -> Result<Contact, Error> {
        let act = act.clone();
        self.write(move |tx| change(tx, &act, (institution, id), &edit)).await
    }

    /// Removes a contact, and answers how it was.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`].
    pub async fn remove_contact(&self, act: &Act, (institution, id): (i64, i64)) -> Result<Contact, Error> {
        let act = act.clone();
        self.write(move |tx| remove(tx, &act, (institution, id))).await
    }
}

/// All of an institution's: [`MAX_CONTACTS`] at most.
pub(super) fn all(connection: &Connection, institution: i64) -> Result<Vec<Contact>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM contacts WHERE institution = ? ORDER BY id LIMIT ?");
    let mut query = connection.prepare_cached(&sql)?;
    Ok(query.query_map(params![institution, MAX_CONTACTS], read)?.collect::<Result<_, _>>()?)
}

fn find(connection: &Connection, institution: i64, id: i64) -> Result<Contact, Error> {
    let sql = format!("SELECT {COLUMNS} FROM contacts WHERE id = ? AND institution = ?");
    found(connection.prepare_cached(&sql)?.query_row([id, institution], read).optional()?, "contact")
}

fn count(connection: &Connection, institution: i64) -> Result<u64, Error> {
    let mut query = connection.prepare_cached("SELECT count(*) FROM contacts WHERE institution = ?")?;
    Ok(query.query_row([institution], |row| counted(row, 0))?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Contact> {
    Ok(Contact {
        id: row.get(0)?,
        institution: row.get(1)?,
        name: row.get(2)?,
        email: row.get(3)?,
        phone: row.get(4)?,
        position: row.get(5)?,
        is_primary: row.get(6)?,
        created_at: UnixMillis(row.get(7)?),
        updated_at: UnixMillis(row.get(8)?),
        revision: row.get(9)?,
    })
}

fn add(tx: &Tx<'_>, act: &Act, institution: i64, new: &NewContact) -> Result<Contact, Stop> {
    let of = institutions::find(tx, institution)?;
    if count(tx, institution)? >= MAX_CONTACTS.unsigned_abs() {
        return Err(Stop::Refused(Refusal::TooManyContacts));
    }
    let name = checked_name(&new.name)?;
    let email = fields::email(new.email.as_deref())?;
    let phone = fields::some_line("phone", new.phone.as_deref())?;
    let position = fields::some_line("position", new.position.as_deref())?;
    if new.is_primary {
        step_back(tx, act, institution, None)?;
    }
    tx.prepare_cached(
        "INSERT INTO contacts (institution, name, email, phone, position, is_primary, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
    )?
    .execute(params![institution, name, email, phone, position, new.is_primary, act.at.0])?;
    let added = find(tx, institution, tx.last_insert_rowid())?;
    search::index(tx, &of)?;
    record(tx, act, "contact.add", None, Some(&added))?;
    Ok(added)
}

fn change(tx: &Tx<'_>, act: &Act, (institution, id): (i64, i64), edit: &ContactEdit) -> Result<Contact, Error> {
    let before = find(tx, institution, id)?;
    act.check_seen(before.revision)?;
    let mut after = before.clone();
    if let Some(name) = &edit.name {
        after.name = checked_name(name)?;
    }
    if let Some(email) = &edit.email {
        after.email = fields::email(Some(email))?;
    }
    if let Some(phone) = &edit.phone {
        after.phone = fields::some_line("phone", Some(phone))?;
    }
    if let Some(position) = &edit.position {
        after.position = fields::some_line("position", Some(position))?;
    }
    after.is_primary = edit.is_primary.unwrap_or(before.is_primary);
    if after == before {
        return Ok(before);
    }
    if after.is_primary {
        step_back(tx, act, institution, Some(id))?;
    }
    (after.updated_at, after.revision) = (act.at, before.revision + 1);
    write(tx, &after)?;
    search::index(tx, &institutions::find(tx, institution)?)?;
    record(tx, act, "contact.edit", Some(&before), Some(&after))?;
    Ok(after)
}

fn remove(tx: &Tx<'_>, act: &Act, (institution, id): (i64, i64)) -> Result<Contact, Error> {
    let before = find(tx, institution, id)?;
    act.check_seen(before.revision)?;
    tx.prepare_cached("DELETE FROM contacts WHERE id = ?")?.execute([id])?;
    search::index(tx, &institutions::find(tx, institution)?)?;
    record(tx, act, "contact.remove", Some(&before), None)?;
    Ok(before)
}

/// Whoever is the primary contact, but for one, is so no more.
fn step_back(tx: &Tx<'_>, act: &Act, institution: i64, but: Option<i64>) -> Result<(), Error> {
    let sql = format!("SELECT {COLUMNS} FROM contacts WHERE institution = ? AND is_primary = 1");
    let primary = tx.prepare_cached(&sql)?.query_row([institution], read).optional()?;
    let Some(before) = primary.filter(|primary| Some(primary.id) != but) else { return Ok(()) };
    let after = Contact { is_primary: false, updated_at: act.at, revision: before.revision + 1, ..before.clone() };
    write(tx, &after)?;
    record(tx, act, "contact.edit", Some(&before), Some(&after))
}

fn write(tx: &Tx<'_>, contact: &Contact) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE contacts SET name = ?, email = ?, phone = ?, position = ?, is_primary = ?, updated_at = ?, revision = ?
         WHERE id = ?",
    )?
    .execute(params![
        contact.name,
        contact.email,
        contact.phone,
        contact.position,
        contact.is_primary,
        contact.updated_at.0,
        contact.revision,
        contact.id
    ])?;
    Ok(())
}

fn record(
    tx: &Tx<'_>,
    act: &Act,
    action: &str,
    before: Option<&Contact>,
    after: Option<&Contact>,
) -> Result<(), Error> {
    let Some(contact) = after.or(before) else { return Ok(()) };
    let subject = format!("contact {} of institution {}", contact.id, contact.institution);
    let (before, after) = (before.map(|before| json!(before)), after.map(|after| json!(after)));
    audit::write(tx, act, action, &subject, before.as_ref(), after.as_ref())
}
