//! What a snapshot of a site is made of. It is signed elsewhere.

use super::{Store, api_keys, customers, error::Error, licenses, plants, sites, users};
use rusqlite::Connection;
use sitewarden_protocol::{
    api_key::ApiKeyDigest,
    id::{PlantId, SiteId},
    license::License,
};
use std::fmt;

/// What a snapshot of a site is made of, all of one moment. The administrators' hashes do not print.
#[derive(Clone, PartialEq, Eq)]
pub struct SnapshotParts {
    /// Which site.
    pub site: SiteId,
    /// Its name.
    pub site_name: String,
    /// Which plant.
    pub plant: PlantId,
    /// Its name.
    pub plant_name: String,
    /// The customer's number.
    pub customer: i64,
    /// Its name.
    pub customer_name: String,
    /// Grows with every change of what the site may do.
    pub revision: u64,
    /// Days that it may be relied on; `None`: as the hub is set.
    pub fresh_days: Option<u16>,
    /// Days of emergency override in any 365; `None`: as the hub is set.
    pub override_days: Option<u16>,
    /// It may be relied on for as long as the licences last.
    pub air_gap: bool,
    /// The site's licences, those not yet activated included.
    pub licenses: Vec<License>,
    /// The hub's administrators whom the site's agent is to know: name, and argon2id hash of the password in PHC form.
    /// Ordered by name; at most [`MAX_ON_SITE`](super::MAX_ON_SITE).
    pub administrators: Vec<(String, String)>,
    /// What the API keys of the site's programs are recognised by; at most
    /// [`MAX_API_KEYS`](sitewarden_protocol::snapshot::MAX_API_KEYS).
    pub api_keys: Vec<ApiKeyDigest>,
}

impl fmt::Debug for SnapshotParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotParts")
            .field("site", &self.site)
            .field("revision", &self.revision)
            .field("licenses", &self.licenses)
            .field("administrators", &self.administrators.len())
            .finish_non_exhaustive()
    }
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
    Ok(SnapshotParts {
        site: id,
        site_name: site.name,
        plant: plant.id,
        plant_name: plant.name,
        customer: customer.id,
        customer_name: customer.name,
        revision: site.revision,
        fresh_days: site.fresh_days,
        override_days: site.override_days,
        air_gap: site.air_gap,
        licenses: licenses::of_site(connection, id)?.into_iter().map(License::from).collect(),
        administrators: users::on_site(connection, id)?,
        api_keys: api_keys::of_site(connection, id, plant.customer)?,
    })
}
