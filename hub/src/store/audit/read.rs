//! Reading the audit log.

use crate::store::{Store, error::Error, page_size};
use rusqlite::{Connection, Row, ToSql, params_from_iter};
use serde_json::Value;
use sitewarden_protocol::time::UnixMillis;

/// One row of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Its number; it only grows.
    pub id: i64,
    /// When, by the hub's clock.
    pub at: UnixMillis,
    /// What kind of actor; `None` in rows of before that was kept.
    pub actor: Option<String>,
    /// Who.
    pub by: String,
    /// From which address, if any.
    pub address: Option<String>,
    /// What was done, such as `site.edit`.
    pub action: String,
    /// To what, such as `site` and its id.
    pub subject: String,
    /// How it was; `None` for what is new.
    pub before: Option<Value>,
    /// How it is; `None` for what is gone.
    pub after: Option<Value>,
    /// Over this row and all before it.
    pub hash: [u8; 32],
}

/// Which rows. Everything that is given has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this kind of actor.
    pub actor: Option<String>,
    /// By this one.
    pub by: Option<String>,
    /// This was done.
    pub action: Option<String>,
    /// To this.
    pub subject: Option<String>,
    /// Not before this moment.
    pub from: Option<UnixMillis>,
    /// Before this moment.
    pub to: Option<UnixMillis>,
}

/// What reading the whole log has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCheck {
    /// Rows that follow from one another, from the first.
    pub rows: u64,
    /// The first that does not follow from the one before it; `None` if all do.
    pub broken: Option<i64>,
    /// The hash of the last good row: kept elsewhere, it shows later that nothing was cut off.
    pub head: [u8; 32],
}

impl Store {
    /// A page of the log after a row: the newest first, or the oldest.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_audit(
        &self,
        filter: AuditFilter,
        oldest_first: bool,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, Error> {
        self.read(move |connection| list(connection, &filter, oldest_first, after, limit)).await
    }
}

fn list(
    connection: &Connection,
    filter: &AuditFilter,
    oldest_first: bool,
    after: Option<i64>,
    limit: usize,
) -> Result<Vec<AuditEntry>, Error> {
    // Only what is asked for stands in the question, so that it can use an index.
    let (from, to, limit) = (filter.from.map(|at| at.0), filter.to.map(|at| at.0), page_size(limit));
    let parts: [(&str, Option<&dyn ToSql>); 7] = [
        ("actor = ?", filter.actor.as_ref().map(|value| value as _)),
        ("by = ?", filter.by.as_ref().map(|value| value as _)),
        ("action = ?", filter.action.as_ref().map(|value| value as _)),
        ("subject = ?", filter.subject.as_ref().map(|value| value as _)),
        ("at >= ?", from.as_ref().map(|value| value as _)),
        ("at < ?", to.as_ref().map(|value| value as _)),
        (if oldest_first { "id > ?" } else { "id < ?" }, after.as_ref().map(|value| value as _)),
    ];
    let given = parts.iter().filter_map(|(condition, value)| value.map(|value| (*condition, value)));
    let (conditions, mut values): (Vec<_>, Vec<_>) = given.unzip();
    let conditions = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    let order = if oldest_first { "ASC" } else { "DESC" };
    values.push(&limit);
    let sql = format!(
        "SELECT id, at, actor, by, address, action, subject, before, after, hash FROM audit_log
         WHERE {conditions} ORDER BY id {order} LIMIT ?"
    );
    let mut query = connection.prepare(&sql)?;
    let rows = query.query_map(params_from_iter(values), entry)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let json = |column| {
        let text: Option<String> = row.get(column)?;
        // The hub has written it as JSON.
        Ok::<_, rusqlite::Error>(text.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))))
    };
    Ok(AuditEntry {
        id: row.get(0)?,
        at: UnixMillis(row.get(1)?),
        actor: row.get(2)?,
        by: row.get(3)?,
        address: row.get(4)?,
        action: row.get(5)?,
        subject: row.get(6)?,
        before: json(7)?,
        after: json(8)?,
        hash: row.get(9)?,
    })
}
