//! Customers: who buys.

use super::{Act, Scope, Store, audit, error::Error, error::found, page_size, writer::Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use sitewarden_protocol::time::UnixMillis;

/// Who buys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Customer {
    /// Which.
    pub id: i64,
    /// Unique.
    pub name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// Since when.
    pub created_at: UnixMillis,
    /// Grows with every edit.
    pub revision: i64,
}

const COLUMNS: &str = "id, name, email, created_at, revision";

impl Store {
    /// Adds a customer.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of this name, [`Error::Invalid`] for a name that cannot be.
    pub async fn add_customer(&self, act: &Act, name: &str, email: Option<&str>) -> Result<Customer, Error> {
        let (act, name, email) = (act.clone(), checked_name(name)?, email.map(str::to_owned));
        self.write(move |tx| add(tx, &act, name, email)).await
    }

    /// Changes a customer's name or mail address; `None` stays as it is, an inner `None` is none.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], [`Error::Conflict`] if there is another one of this name, [`Error::Invalid`] for a name that
    /// cannot be.
    pub async fn edit_customer(
        &self,
        act: &Act,
        id: i64,
        name: Option<&str>,
        email: Option<Option<String>>,
    ) -> Result<Customer, Error> {
        let (act, name) = (act.clone(), name.map(checked_name).transpose()?);
        self.write(move |tx| {
            let before = find(tx, id)?;
            act.check_seen(before.revision)?;
            let mut after = Customer {
                name: name.unwrap_or_else(|| before.name.clone()),
                email: email.unwrap_or_else(|| before.email.clone()),
                ..before.clone()
            };
            if after == before {
                return Ok(before);
            }
            after.revision += 1;
            tx.prepare_cached("UPDATE customers SET name = ?, email = ?, revision = ? WHERE id = ?")?
                .execute(params![after.name, after.email, after.revision, id])
                .map_err(|error| Error::or_conflict(error, "customer with this name"))?;
            let (was, is) = (serde_json::json!(before), serde_json::json!(after));
            audit::write(tx, &act, "customer.edit", &format!("customer {id}"), Some(&was), Some(&is))?;
            Ok(after)
        })
        .await
    }

    /// Customers that `scope` covers in the order of their ids, after one of them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_customers(&self, scope: Scope, after: Option<i64>, limit: usize) -> Result<Vec<Customer>, Error> {
        if scope.site.is_some() {
            return Ok(Vec::new());
        }
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM customers WHERE id > ?1 AND (?2 IS NULL OR id = ?2) ORDER BY id LIMIT ?3"
            );
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params![after.unwrap_or(0), scope.customer, page_size(limit)], customer)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// One customer.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_customer(&self, id: i64) -> Result<Customer, Error> {
        self.read(move |connection| find(connection, id)).await
    }
}

pub(super) fn add(tx: &Tx<'_>, act: &Act, name: String, email: Option<String>) -> Result<Customer, Error> {
    tx.prepare_cached("INSERT INTO customers (name, email, created_at) VALUES (?, ?, ?)")?
        .execute(params![name, email, act.at.0])
        .map_err(|error| Error::or_conflict(error, "customer with this name"))?;
    let customer = Customer { id: tx.last_insert_rowid(), name, email, created_at: act.at, revision: 1 };
    let after = serde_json::json!(customer);
    audit::write(tx, act, "customer.add", &format!("customer {}", customer.id), None, Some(&after))?;
    Ok(customer)
}

pub(super) fn find(connection: &Connection, id: i64) -> Result<Customer, Error> {
    let sql = format!("SELECT {COLUMNS} FROM customers WHERE id = ?");
    found(connection.prepare_cached(&sql)?.query_row([id], customer).optional()?, "customer")
}

/// A name as it is stored: without white space around it.
pub(super) fn checked_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    let fits = !name.is_empty() && name.chars().count() <= 200 && !name.chars().any(char::is_control);
    let invalid = Error::Invalid { what: "name", allowed: "1 to 200 characters, without control characters" };
    if fits { Ok(name.to_owned()) } else { Err(invalid) }
}

fn customer(row: &Row<'_>) -> rusqlite::Result<Customer> {
    Ok(Customer {
        id: row.get(0)?,
        name: row.get(1)?,
        email: row.get(2)?,
        created_at: UnixMillis(row.get(3)?),
        revision: row.get(4)?,
    })
}
