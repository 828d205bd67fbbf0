//! Sites: what one agent looks after.

use super::{
    Act, Scope, Store, audit, counted, customers::checked_name, error::Error, error::found, page_size, plants,
    webhooks, whole, writer::Tx,
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
    /// Days that its snapshot may be relied on without hearing from the hub; `None`: as the hub is set.
    pub fresh_days: Option<u16>,
    /// Days of emergency override in any 365; `None`: as the hub is set.
    pub override_days: Option<u16>,
    /// It never has a line: its snapshot may be relied on for as long as its licences last.
    pub air_gap: bool,
    /// Since when.
    pub created_at: UnixMillis,
}

/// What is to be changed; `None` stays as it is, an inner `None` is as the hub is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteEdit {
    /// Unique in its plant.
    pub name: Option<String>,
    /// 1 to 3650 days.
    pub fresh_days: Option<Option<u16>>,
    /// 0 to 365 days.
    pub override_days: Option<Option<u16>>,
    /// Whether it never has a line.
    pub air_gap: Option<bool>,
}

const COLUMNS: &str = "id, name, plant, revision, fresh_days, override_days, created_at, air_gap";

impl Store {
    /// Adds a site.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the plant, [`Error::Conflict`] if the plant has one of this name.
    pub async fn add_site(&self, act: &Act, name: &str, plant: PlantId) -> Result<Site, Error> {
        let id = SiteId::new(act.at, super::secrets::random()?);
        let name = checked_name(name)?;
        let site = Site {
            id,
            name,
            plant,
            revision: 1,
            fresh_days: None,
            override_days: None,
            air_gap: false,
            created_at: act.at,
        };
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

    /// Changes a site; its agent hears of it at once.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], [`Error::Invalid`], or [`Error::Conflict`] if the plant has another one of this name.
    pub async fn edit_site(&self, act: &Act, id: SiteId, edit: SiteEdit) -> Result<Site, Error> {
        let name = edit.name.as_deref().map(checked_name).transpose()?;
        let within =
            |days: Option<Option<u16>>, from, to| days.flatten().is_none_or(|days| (from..=to).contains(&days));
        if !within(edit.fresh_days, 1, 3_650) {
            return Err(Error::Invalid { what: "fresh_days", allowed: "1 to 3650 days" });
        }
        if !within(edit.override_days, 0, 365) {
            return Err(Error::Invalid { what: "override_days", allowed: "0 to 365 days" });
        }
        let act = act.clone();
        self.write(move |tx| {
            let before = find(tx, id)?;
            act.check_seen(whole(before.revision))?;
            let after = Site {
                name: name.unwrap_or_else(|| before.name.clone()),
                fresh_days: edit.fresh_days.unwrap_or(before.fresh_days),
                override_days: edit.override_days.unwrap_or(before.override_days),
                air_gap: edit.air_gap.unwrap_or(before.air_gap),
                ..before.clone()
            };
            if after == before {
                return Ok(before);
            }
            tx.prepare_cached(
                "UPDATE sites SET name = ?, fresh_days = ?, override_days = ?, air_gap = ? WHERE id = ?",
            )?
            .execute(params![after.name, after.fresh_days, after.override_days, after.air_gap, id.as_bytes()])
            .map_err(|error| Error::or_conflict(error, "site with this name in this plant"))?;
            let (was, is) = (serde_json::json!(before), serde_json::json!(after));
            audit::write(tx, &act, "site.edit", &format!("site {id}"), Some(&was), Some(&is))?;
            bump(tx, id)?;
            find(tx, id)
        })
        .await
    }

    /// Sites that `scope` covers in the order of their ids, after one of them; of one plant, if given.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_sites(
        &self,
        scope: Scope,
        plant: Option<PlantId>,
        after: Option<SiteId>,
        limit: usize,
    ) -> Result<Vec<Site>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM sites WHERE id > ?1 AND (?2 IS NULL OR plant = ?2) AND (?3 IS NULL OR id = ?3)
                    AND (?4 IS NULL OR plant IN (SELECT id FROM plants WHERE customer = ?4)) ORDER BY id LIMIT ?5"
            );
            let after = after.map_or([0; 16], |id| *id.as_bytes());
            let (plant, only) = (plant.map(|id| *id.as_bytes()), scope.site.map(|id| *id.as_bytes()));
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params![after, plant, only, scope.customer, page_size(limit)], site)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Whether a user of this scope may see a site.
    ///
    /// # Errors
    /// What the database says.
    pub async fn covers_site(&self, scope: Scope, site: SiteId) -> Result<bool, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT 1 FROM sites s JOIN plants p ON p.id = s.plant
                 WHERE s.id = ?1 AND (?2 IS NULL OR s.id = ?2) AND (?3 IS NULL OR p.customer = ?3)",
            )?;
            let only = scope.site.map(|id| *id.as_bytes());
            Ok(query.query_row(params![site.as_bytes(), only, scope.customer], |_| Ok(())).optional()?.is_some())
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
    webhooks::site_changed(tx, site)
}

/// The same for all sites that `scope` covers.
pub(super) fn bump_all(tx: &Tx<'_>, scope: Scope) -> Result<(), Error> {
    let site = scope.site.map(|id| *id.as_bytes());
    let mut update = tx.prepare_cached(
        "UPDATE sites SET revision = revision + 1 WHERE (?1 IS NULL OR id = ?1)
            AND (?2 IS NULL OR plant IN (SELECT id FROM plants WHERE customer = ?2)) RETURNING id",
    )?;
    let bumped = update.query_map(params![site, scope.customer], |row| row.get(0).map(SiteId::from_bytes))?;
    for site in bumped.collect::<Result<Vec<_>, _>>()? {
        tx.site_changed(site);
        webhooks::site_changed(tx, site)?;
    }
    Ok(())
}

fn site(row: &Row<'_>) -> rusqlite::Result<Site> {
    Ok(Site {
        id: SiteId::from_bytes(row.get(0)?),
        name: row.get(1)?,
        plant: PlantId::from_bytes(row.get(2)?),
        revision: counted(row, 3)?,
        fresh_days: row.get(4)?,
        override_days: row.get(5)?,
        created_at: UnixMillis(row.get(6)?),
        air_gap: row.get(7)?,
    })
}
