//! Licences as a user of the plant licence API sees them: with their place, their key and what is used of them.

use super::{COLUMNS, LicenseSelector, find, license_row, of_site, row::LicenseRow, usage};
use crate::store::{Scope, Store, error::Error, plants, secrets::StoreSecrets, sites};
use rusqlite::{Connection, params};
use sitewarden_protocol::{
    id::{LicenseId, PlantId, SiteId},
    license::License,
};
use std::sync::Arc;

/// The most licences that are looked through for notices and access: a customer with a thousand sites has fewer.
const MAX_LOOKED_THROUGH: i64 = 10_000;

/// One licence and its surroundings. Holds the key, so it does not print.
pub struct SeenLicense {
    /// What is stored.
    pub license: LicenseRow,
    /// Its site.
    pub site: SiteId,
    /// What the customer types in.
    pub key: String,
    /// Whether it is the newest activated one of its site and app.
    pub latest: bool,
    /// Monitors in use, as its agent last said; 0 for one that is not the latest.
    pub used: u32,
    /// Its site's name.
    pub site_name: String,
    /// Its plant.
    pub plant: PlantId,
    /// Its plant's name.
    pub plant_name: String,
}

/// The licences of one site that are, or were, in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteInForce {
    /// Which site.
    pub site: SiteId,
    /// Its plant's name.
    pub plant_name: String,
    /// Active and Expired ones.
    pub licenses: Vec<License>,
}

impl Store {
    /// One licence that `scope` covers.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that is not covered.
    pub async fn seen_license(&self, scope: Scope, id: LicenseId) -> Result<SeenLicense, Error> {
        let secrets = Arc::clone(&self.0.secrets);
        self.read(move |connection| {
            let license = find(connection, LicenseSelector::Uuid(id))?;
            if !scope.covers(&license) {
                return Err(Error::NotFound { what: "license" });
            }
            // In the words of this API there is no licence without a site.
            let site = license.site.ok_or(Error::NotFound { what: "license" })?;
            let all = seen(connection, site, Some(id), &secrets)?;
            all.into_iter().next().ok_or(Error::NotFound { what: "license" })
        })
        .await
    }

    /// All licences of a site in a plant, in the order of their issue, if `scope` covers it.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the site, also if it is in another plant or not covered.
    pub async fn seen_licenses(&self, scope: Scope, plant: PlantId, site: SiteId) -> Result<Vec<SeenLicense>, Error> {
        let secrets = Arc::clone(&self.0.secrets);
        self.read(move |connection| {
            check_place(connection, scope, plant, site)?;
            seen(connection, site, None, &secrets)
        })
        .await
    }

    /// What is or was in force at the sites that `scope` covers: of one plant and one site, if given.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a plant or site that is named and not covered, or not there.
    pub async fn in_force(
        &self,
        scope: Scope,
        plant: Option<PlantId>,
        site: Option<SiteId>,
    ) -> Result<Vec<SiteInForce>, Error> {
        self.read(move |connection| {
            match (plant, site) {
                (plant, Some(site)) => {
                    let plant = plant.map_or_else(|| sites::find(connection, site).map(|site| site.plant), Ok)?;
                    check_place(connection, scope, plant, site)?;
                }
                (Some(plant), None) => check_plant(connection, scope, plant)?,
                (None, None) => {}
            }
            in_force(connection, scope, plant, site)
        })
        .await
    }
}

/// # Errors
/// [`Error::NotFound`] if there is no such site in the plant, or `scope` does not cover it.
pub(in crate::store) fn check_place(
    connection: &Connection,
    scope: Scope,
    plant: PlantId,
    site: SiteId,
) -> Result<(), Error> {
    check_plant(connection, scope, plant)?;
    let here = sites::find(connection, site)?.plant == plant;
    if here && scope.site.is_none_or(|only| only == site) { Ok(()) } else { Err(Error::NotFound { what: "site" }) }
}

/// A user of one site may name its plant, too.
fn check_plant(connection: &Connection, scope: Scope, plant: PlantId) -> Result<(), Error> {
    let customer = plants::find(connection, plant)?.customer;
    let of_site = scope.site.map(|site| sites::find(connection, site).map(|site| site.plant)).transpose()?;
    let covered = scope.customer.is_none_or(|only| only == customer) && of_site.is_none_or(|only| only == plant);
    if covered { Ok(()) } else { Err(Error::NotFound { what: "plant" }) }
}

fn seen(
    connection: &Connection,
    id: SiteId,
    only: Option<LicenseId>,
    secrets: &StoreSecrets,
) -> Result<Vec<SeenLicense>, Error> {
    let site = sites::find(connection, id)?;
    let plant = plants::find(connection, site.plant)?;
    let quotas = usage::reported(connection, id)?;
    let rows = of_site(connection, id)?;
    let newest = |app: &str| {
        let activated = rows.iter().filter(|row| row.app == app && row.activated_at.is_some());
        activated.max_by_key(|row| (row.activated_at, row.id)).map(|row| row.id)
    };
    let mut query = connection.prepare_cached("SELECT key_sealed FROM licenses WHERE id = ?")?;
    let mut seen = Vec::new();
    for row in rows.iter().filter(|row| only.is_none_or(|only| row.uuid == only)) {
        let sealed: Vec<u8> = query.query_row([row.id], |row| row.get(0))?;
        let latest = newest(&row.app) == Some(row.id);
        seen.push(SeenLicense {
            key: secrets.open(row.uuid, &sealed)?,
            latest,
            used: if latest { usage::of(&quotas, &row.app) } else { 0 },
            site: id,
            site_name: site.name.clone(),
            plant: plant.id,
            plant_name: plant.name.clone(),
            license: row.clone(),
        });
    }
    Ok(seen)
}

pub(super) fn in_force(
    connection: &Connection,
    scope: Scope,
    plant: Option<PlantId>,
    site: Option<SiteId>,
) -> Result<Vec<SiteInForce>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM licenses WHERE status IN ('Active', 'Expired') AND site IS NOT NULL
            AND (?1 IS NULL OR customer = ?1) AND (?2 IS NULL OR site = ?2) AND (?3 IS NULL OR site = ?3)
            AND (?4 IS NULL OR site IN (SELECT id FROM sites WHERE plant = ?4)) ORDER BY site, id LIMIT ?5"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let (of_user, of_request) = (scope.site.map(|id| *id.as_bytes()), site.map(|id| *id.as_bytes()));
    let plant = plant.map(|id| *id.as_bytes());
    let mut rows = query.query(params![scope.customer, of_user, of_request, plant, MAX_LOOKED_THROUGH])?;
    let mut found: Vec<SiteInForce> = Vec::new();
    while let Some(row) = rows.next()? {
        let row = license_row(row)?;
        let Some(site) = row.site else { continue };
        if found.last().is_none_or(|last| last.site != site) {
            let plant_name = plants::find(connection, sites::find(connection, site)?.plant)?.name;
            found.push(SiteInForce { site, plant_name, licenses: Vec::new() });
        }
        if let Some(last) = found.last_mut() {
            last.licenses.push(row.into());
        }
    }
    Ok(found)
}
