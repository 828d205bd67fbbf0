//! What a snapshot of a site is made of. It is signed elsewhere.

use super::{Store, customers, error::Error, licenses, plants, sites};
use rusqlite::Connection;
use sitewarden_protocol::{
    id::{PlantId, SiteId},
    license::License,
};

/// What a snapshot of a site is made of, all of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotParts {
    /// Which site.
    pub site: SiteId,
    /// Its name.
    pub site_name: String,
    /// Which plant.
    pub plant: PlantId,
    /// Its name.
    pub plant_name: String,
    /// The customer's name.
    pub customer_name: String,
    /// Grows with every change of what the site may do.
    pub revision: u64,
    /// Days that it may be relied on; `None`: as the hub is set.
    pub fresh_days: Option<u16>,
    /// The site's licences, those not yet activated included.
    pub licenses: Vec<License>,
}

impl Store {
    /// All that a site may do.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn snapshot_of(&self, site: SiteId) -> Result<SnapshotParts, Error> {
        self.read(move |connection| read(connection, site)).await
    }
}

fn read(connection: &Connection, id: SiteId) -> Result<SnapshotParts, Error> {
    let site = sites::find(connection, id)?;
    let plant = plants::find(connection, site.plant)?;
    let customer = customers::find(connection, plant.customer)?;
    let fresh_days = connection
        .prepare_cached("SELECT fresh_days FROM sites WHERE id = ?")?
        .query_row([id.as_bytes()], |row| row.get(0))?;
    Ok(SnapshotParts {
        site: id,
        site_name: site.name,
        plant: plant.id,
        plant_name: plant.name,
        customer_name: customer.name,
        revision: site.revision,
        fresh_days,
        licenses: licenses::of_site(connection, id)?.into_iter().map(License::from).collect(),
    })
}
