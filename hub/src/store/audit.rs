//! What administrators did, as a chain of hashes: no row can be changed or taken out without all later ones showing it.

mod read;

pub use read::{AuditCheck, AuditEntry, AuditFilter};

use super::{Act, Store, error::Error, writer::Tx};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

/// What one row says.
struct Entry<'a> {
    at: i64,
    /// Kind of actor and address; rows of before they were kept have no kind.
    actor: Option<&'a str>,
    address: Option<&'a str>,
    by: &'a str,
    action: &'a str,
    subject: &'a str,
    before: Option<&'a str>,
    after: Option<&'a str>,
}

/// Writes a row in the transaction of the change itself.
pub(super) fn write(
    tx: &Tx<'_>,
    act: &Act,
    action: &str,
    subject: &str,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Result<(), Error> {
    let (before, after) = (before.map(Value::to_string), after.map(Value::to_string));
    let (before, after) = (before.as_deref(), after.as_deref());
    let (actor, address) = (act.actor.name(), act.address.map(|address| address.to_string()));
    let address = address.as_deref();
    let entry = Entry { at: act.at.0, actor: Some(actor), address, by: &act.by, action, subject, before, after };
    let previous = tx
        .prepare_cached("SELECT hash FROM audit_log ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| row.get::<_, [u8; 32]>(0))
        .optional()?
        .unwrap_or_default();
    tx.prepare_cached(
        "INSERT INTO audit_log (at, actor, address, by, action, subject, before, after, previous, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        entry.at,
        actor,
        address,
        entry.by,
        action,
        subject,
        before,
        after,
        previous,
        entry.hash(&previous)
    ])?;
    Ok(())
}

impl Entry<'_> {
    /// Each part behind its length, so that no two rows have the same bytes.
    fn hash(&self, previous: &[u8; 32]) -> [u8; 32] {
        let context = if self.actor.is_some() { "sitewarden hub audit log 2" } else { "sitewarden hub audit log 1" };
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(previous).update(&self.at.to_le_bytes());
        let from = [self.actor, self.address];
        let from = if self.actor.is_some() { from.as_slice() } else { &[] };
        let what = [Some(self.by), Some(self.action), Some(self.subject), self.before, self.after];
        for part in from.iter().copied().chain(what) {
            let length = part.map_or(u64::MAX, |text| u64::try_from(text.len()).unwrap_or(u64::MAX));
            hasher.update(&length.to_le_bytes()).update(part.unwrap_or_default().as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

impl Store {
    /// Reads the whole log: whether each row follows from the one before it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn check_audit(&self) -> Result<AuditCheck, Error> {
        self.read(check).await
    }

    /// The number of the first row that does not follow from the one before it; `None` if all do.
    ///
    /// # Errors
    /// What the database says.
    pub async fn broken_audit_row(&self) -> Result<Option<i64>, Error> {
        Ok(self.check_audit().await?.broken)
    }
}

pub(super) fn check(connection: &Connection) -> Result<AuditCheck, Error> {
    let mut query = connection.prepare_cached(
        "SELECT id, at, by, action, subject, before, after, previous, hash, actor, address FROM audit_log ORDER BY id",
    )?;
    let (mut rows, mut previous, mut count) = (query.query([])?, [0; 32], 0);
    while let Some(row) = rows.next()? {
        let text = |column: usize| -> Result<Option<&str>, Error> {
            row.get_ref(column)?.as_str_or_null().map_err(|_| Error::Damaged { what: "audit log" })
        };
        let entry = Entry {
            at: row.get(1)?,
            actor: text(9)?,
            address: text(10)?,
            by: text(2)?.unwrap_or_default(),
            action: text(3)?.unwrap_or_default(),
            subject: text(4)?.unwrap_or_default(),
            before: text(5)?,
            after: text(6)?,
        };
        if row.get::<_, [u8; 32]>(7)? != previous || row.get::<_, [u8; 32]>(8)? != entry.hash(&previous) {
            return Ok(AuditCheck { rows: count, broken: Some(row.get(0)?), head: previous });
        }
        (previous, count) = (row.get(8)?, count + 1);
    }
    Ok(AuditCheck { rows: count, broken: None, head: previous })
}
