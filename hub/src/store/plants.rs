//! Plants: the places of a customer.

use super::{Act, Scope, Store, audit, customers, customers::checked_name, error::Error, error::found, page_size};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use sitewarden_protocol::{id::PlantId, time::UnixMillis};

/// A place of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plant {
    /// Which.
    pub id: PlantId,
    /// Unique at its customer.
    pub name: String,
    /// Whose.
    pub customer: i64,
    /// Since when.
    pub created_at: UnixMillis,
    /// Grows with every edit.
    pub revision: i64,
}

const COLUMNS: &str = "id, name, customer, created_at, revision";

impl Store {
    /// Adds a plant.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the customer, [`Error::Conflict`] if the customer has one of this name.
    pub async fn add_plant(&self, act: &Act, name: &str, customer: i64) -> Result<Plant, Error> {
        let id = PlantId::new(act.at, super::secrets::random()?);
        let plant = Plant { id, name: checked_name(name)?, customer, created_at: act.at, revision: 1 };
        let act = act.clone();
        self.write(move |tx| {
            customers::find(tx, customer)?;
            tx.prepare_cached("INSERT INTO plants (id, name, customer, created_at) VALUES (?, ?, ?, ?)")?
                .execute(params![plant.id.as_bytes(), plant.name, plant.customer, act.at.0])
                .map_err(|error| Error::or_conflict(error, "plant with this name at this customer"))?;
            let after = serde_json::json!(plant);
            audit::write(tx, &act, "plant.add", &format!("plant {}", plant.id), None, Some(&after))?;
            Ok(plant)
        })
        .await
    }

    /// Calls a plant by another name.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], [`Error::Invalid`] for a name that cannot be, [`Error::Conflict`] if the
    /// customer has another one of this name.
    pub async fn rename_plant(&self, act: &Act, id: PlantId, name: &str) -> Result<Plant, Error> {
        let (act, name) = (act.clone(), checked_name(name)?);
        self.write(move |tx| {
            let before = find(tx, id)?;
            act.check_seen(before.revision)?;
            if name == before.name {
                return Ok(before);
            }
            let after = Plant { name, revision: before.revision + 1, ..before.clone() };
            tx.prepare_cached("UPDATE plants SET name = ?, revision = ? WHERE id = ?")?
                .execute(params![after.name, after.revision, id.as_bytes()])
                .map_err(|error| Error::or_conflict(error, "plant with this name at this customer"))?;
            let (was, is) = (serde_json::json!(before), serde_json::json!(after));
            audit::write(tx, &act, "plant.edit", &format!("plant {id}"), Some(&was), Some(&is))?;
            Ok(after)
        })
        .await
    }

    /// Plants that `scope` covers in the order of their ids, after one of them; of one customer, if given.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_plants(
        &self,
        scope: Scope,
        customer: Option<i64>,
        after: Option<PlantId>,
        limit: usize,
    ) -> Result<Vec<Plant>, Error> {
        if scope.site.is_some() {
            return Ok(Vec::new());
        }
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM plants
                 WHERE id > ?1 AND (?2 IS NULL OR customer = ?2) AND (?3 IS NULL OR customer = ?3) ORDER BY id LIMIT ?4"
            );
            let after = after.map_or([0; 16], |id| *id.as_bytes());
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params![after, customer, scope.customer, page_size(limit)], plant)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// One plant.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_plant(&self, id: PlantId) -> Result<Plant, Error> {
        self.read(move |connection| find(connection, id)).await
    }
}

pub(super) fn find(connection: &Connection, id: PlantId) -> Result<Plant, Error> {
    let sql = format!("SELECT {COLUMNS} FROM plants WHERE id = ?");
    found(connection.prepare_cached(&sql)?.query_row([id.as_bytes()], plant).optional()?, "plant")
}

fn plant(row: &Row<'_>) -> rusqlite::Result<Plant> {
    Ok(Plant {
        id: PlantId::from_bytes(row.get(0)?),
        name: row.get(1)?,
        customer: row.get(2)?,
        created_at: UnixMillis(row.get(3)?),
        revision: row.get(4)?,
    })
}
