//! Layout 2 of a snapshot: what agents of protocol version 2 read, and what may still lie on the disk of an agent that was
//! updated. Never changed.

use super::{Administrator, SealingKey, Snapshot, Trust, Version};
use crate::api_key::ApiKeyDigest;
use crate::codec::{Decode, Encode};
use crate::id::{PlantId, SiteId};
use crate::license::License;
use crate::time::UnixMillis;

#[derive(Encode, Decode)]
pub(super) struct Snapshot2 {
    site: SiteId,
    site_name: String,
    plant: PlantId,
    plant_name: String,
    customer_name: String,
    version: Version,
    fresh_until: UnixMillis,
    licenses: Vec<License>,
    trust: Trust,
    override_days: u16,
    administrators: Vec<Administrator>,
    api_keys: Vec<ApiKeyDigest>,
    sealing_key: Option<SealingKey>,
    certificate: Vec<u8>,
}

impl From<&Snapshot> for Snapshot2 {
    fn from(new: &Snapshot) -> Self {
        Self {
            site: new.site,
            site_name: new.site_name.clone(),
            plant: new.plant,
            plant_name: new.plant_name.clone(),
            customer_name: new.customer_name.clone(),
            version: new.version,
            fresh_until: new.fresh_until,
            licenses: new.licenses.clone(),
            trust: new.trust.clone(),
            override_days: new.override_days,
            administrators: new.administrators.clone(),
            api_keys: new.api_keys.clone(),
            sealing_key: new.sealing_key,
            certificate: new.certificate.clone(),
        }
    }
}

impl From<Snapshot2> for Snapshot {
    fn from(old: Snapshot2) -> Self {
        Self {
            site: old.site,
            site_name: old.site_name,
            plant: old.plant,
            plant_name: old.plant_name,
            customer: 0,
            customer_name: old.customer_name,
            version: old.version,
            fresh_until: old.fresh_until,
            licenses: old.licenses,
            trust: old.trust,
            override_days: old.override_days,
            administrators: old.administrators,
            api_keys: old.api_keys,
            sealing_key: old.sealing_key,
            certificate: old.certificate,
        }
    }
}
