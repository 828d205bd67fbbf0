//! Layout 1 of a snapshot: what agents of protocol version 1 read, and what may still lie on the disk of an agent that was
//! updated. Never changed.

use super::{Snapshot, Trust, Version};
use crate::codec::{Decode, Encode};
use crate::id::{LicenseId, PlantId, SiteId};
use crate::license::{KeyDigest, Kind, License, Limits, Policy, Rule, Status, Term};
use crate::time::UnixMillis;

#[derive(Encode, Decode)]
pub(super) struct Snapshot1 {
    site: SiteId,
    site_name: String,
    plant: PlantId,
    plant_name: String,
    customer_name: String,
    version: Version,
    fresh_until: UnixMillis,
    licenses: Vec<License1>,
    trust: Trust,
}

#[derive(Encode, Decode)]
struct License1 {
    id: LicenseId,
    name: String,
    app: String,
    kind: Kind,
    term: Term,
    limits: Limits,
    features: Vec<String>,
    policy: Policy1,
    status: Status,
    activated_at: Option<UnixMillis>,
    expires_at: Option<UnixMillis>,
    key: KeyDigest,
    revision: u32,
}

#[derive(Encode, Decode)]
struct Policy1 {
    expiry: Rule,
    staleness: Rule,
    overage_percent: u16,
}

impl From<&Snapshot> for Snapshot1 {
    fn from(new: &Snapshot) -> Self {
        Self {
            site: new.site,
            site_name: new.site_name.clone(),
            plant: new.plant,
            plant_name: new.plant_name.clone(),
            customer_name: new.customer_name.clone(),
            version: new.version,
            fresh_until: new.fresh_until,
            licenses: new.licenses.iter().map(License1::from).collect(),
            trust: new.trust.clone(),
        }
    }
}

impl From<&License> for License1 {
    fn from(new: &License) -> Self {
        let Policy { expiry, staleness, overage_percent, .. } = new.policy;
        Self {
            id: new.id,
            name: new.name.clone(),
            app: new.app.clone(),
            kind: new.kind,
            term: new.term,
            limits: new.limits,
            features: new.features.clone(),
            policy: Policy1 { expiry, staleness, overage_percent },
            status: new.status,
            activated_at: new.activated_at,
            expires_at: new.expires_at,
            key: new.key,
            revision: new.revision,
        }
    }
}

impl From<Snapshot1> for Snapshot {
    /// What layout 1 does not say is as if the vendor had chosen nothing.
    fn from(old: Snapshot1) -> Self {
        Self {
            site: old.site,
            site_name: old.site_name,
            plant: old.plant,
            plant_name: old.plant_name,
            customer: 0,
            customer_name: old.customer_name,
            version: old.version,
            fresh_until: old.fresh_until,
            licenses: old.licenses.into_iter().map(License::from).collect(),
            trust: old.trust,
            override_days: 0,
            administrators: Vec::new(),
            api_keys: Vec::new(),
            sealing_key: None,
            certificate: Vec::new(),
        }
    }
}

impl From<License1> for License {
    fn from(old: License1) -> Self {
        let Policy1 { expiry, staleness, overage_percent } = old.policy;
        Self {
            id: old.id,
            name: old.name,
            description: String::new(),
            app: old.app,
            kind: old.kind,
            term: old.term,
            limits: old.limits,
            features: old.features,
            policy: Policy { expiry, staleness, overage_percent, ..Policy::default() },
            status: old.status,
            activated_at: old.activated_at,
            expires_at: old.expires_at,
            created_at: UnixMillis::default(),
            key: old.key,
            key_hint: String::new(),
            revision: old.revision,
        }
    }
}
