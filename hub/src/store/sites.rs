//! Sites: what one agent looks after.

use super::{
    Act, Scope, Store, audit, counted, customers::checked_name, error::Error, error::found, page_size, plants,
    writer::Tx,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use sitewarden_protocol::{
    id::{PlantId, SiteId},
    time::UnixMillis,
};

/// What one agent looks after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Site {
    /// Which.
    pub id: SiteId,
    /// Unique in its plant.
    pub name: String,
    /// Where.
    pub plant: PlantId,
    /// Of its snapshot; grows with every change of what the site may do.
    pub revision: u64,
    /// Since when.
    pub created_at: UnixMillis,
}

const COLUMNS: &str = "id, name, plant, revision, created_at";

impl Store {
    /// Adds a site.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the plant, [`Error::Conflict`] if the plant has one of this name.
    pub async fn add_site(&self, act: &Act, name: &str, plant: PlantId) -> Result<Site, Error> {
        let id = SiteId::new(act.at, super::secrets::random()?);
        let site = Site { id, name: checked_name(name)?, plant, revision: 1, created_at: act.at };
        let act = act.clone();
        self.write(move |tx| {
            plants::find(tx, plant)?;
            tx.prepare_cached("INSERT INTO sites (id, name, plant, revision, created_at) VALUES (?, ?, ?, 1, ?)")?
                .execute(params![site.id.as_bytes(), site.name, site.plant.as_bytes(), act.at.0])
                .map_err(|error| Error::or_conflict(error, "site with this name in this plant"))?;
            let after = serde_json::json!(site);
            audit::write(tx, &act, "site.add", &format!("site {}", site.id), None, Some(&after))?;
            Ok(site)
        })
        .await
    }

    /// Sites in the order of their ids, after one of them; of one plant, if given.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_sites(
        &self,
        plant: Option<PlantId>,
        after: Option<SiteId>,
        limit: usize,
    ) -> Result<Vec<Site>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM sites WHERE id > ?1 AND (?2 IS NULL OR plant = ?2) ORDER BY id LIMIT ?3"
            );
            let after = after.map_or([0; 16], |id| *id.as_bytes());
            let plant = plant.map(|id| *id.as_bytes());
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params![after, plant, page_size(limit)], site)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// One site.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_site(&self, id: SiteId) -> Result<Site, Error> {
        self.read(move |connection| find(connection, id)).await
    }
}

pub(super) fn find(connection: &Connection, id: SiteId) -> Result<Site, Error> {
    let sql = format!("SELECT {COLUMNS} FROM sites WHERE id = ?");
    found(connection.prepare_cached(&sql)?.query_row([id.as_bytes()], site).optional()?, "site")
}

/// Makes the site's snapshot a new one, and has its sessions told after the commit.
pub(super) fn bump(tx: &Tx<'_>, site: SiteId) -> Result<(), Error> {
    tx.prepare_cached("UPDATE sites SET revision = revision + 1 WHERE id = ?")?.execute([site.as_bytes()])?;
    tx.site_changed(site);
    Ok(())
}

/// The same for all sites that `scope` covers.
pub(super) fn bump_all(tx: &Tx<'_>, scope: Scope) -> Result<(), Error> {
    let site = scope.site.map(|id| *id.as_bytes());
    let mut update = tx.prepare_cached(
        "UPDATE sites SET revision = revision + 1 WHERE (?1 IS NULL OR id = ?1)
            AND (?2 IS NULL OR plant IN (SELECT id FROM plants WHERE customer = ?2)) RETURNING id",
    )?;
    let bumped = update.query_map(params![site, scope.customer], |row| row.get(0))?;
    for id in bumped {
        tx.site_changed(SiteId::from_bytes(id?));
    }
    Ok(())
}

fn site(row: &Row<'_>) -> rusqlite::Result<Site> {
    Ok(Site {
        id: SiteId::from_bytes(row.get(0)?),
        name: row.get(1)?,
        plant: PlantId::from_bytes(row.get(2)?),
        revision: counted(row, 3)?,
        created_at: UnixMillis(row.get(4)?),
    })
}
