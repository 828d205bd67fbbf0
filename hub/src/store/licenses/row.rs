//! A licence as it is stored.

use crate::store::error::Error;
use rusqlite::Row;
use serde::{Serialize, de::DeserializeOwned};
use sitewarden_protocol::{
    codec,
    id::{LicenseId, SiteId},
    license::{KeyDigest, Kind, License, Limits, Policy, Status, Term},
    time::UnixMillis,
};

/// The site in the digest of a key whose licence has no site. No agent has it.
pub(in crate::store) const NOWHERE: SiteId = SiteId::from_bytes([0; 16]);

/// A licence as it is stored, without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LicenseRow {
    /// Its number.
    pub id: i64,
    /// Its name in snapshots and records.
    pub uuid: LicenseId,
    /// For which site; `None`: sold to the customer, for apps that call the hub themselves.
    pub site: Option<SiteId>,
    /// Whose.
    pub customer: i64,
    /// For which app.
    pub app: String,
    /// Unique at the site.
    pub name: String,
    /// In the vendor's words.
    pub description: String,
    /// How it was sold.
    pub kind: Kind,
    /// How long it lasts.
    pub term: Term,
    /// How much it allows.
    pub limits: Limits,
    /// What it switches on.
    pub features: Vec<String>,
    /// What happens when it ends.
    pub policy: Policy,
    /// Shares of its limits at which the vendor wants to be told: per cent, ascending.
    pub thresholds: Vec<u16>,
    /// Where it is in its life, as far as the hub has decided.
    pub status: Status,
    /// When it was activated.
    pub activated_at: Option<UnixMillis>,
    /// When it ends.
    pub expires_at: Option<UnixMillis>,
    /// Grows with every change.
    pub revision: u32,
    /// When it was issued.
    pub created_at: UnixMillis,
    /// What its site recognises its key by; see `NOWHERE` for one of no site.
    #[serde(skip)]
    pub key: KeyDigest,
    /// The key's last characters; empty for one issued before they were kept.
    #[serde(skip)]
    pub key_hint: String,
}

impl LicenseRow {
    /// Its status at a moment: the job that expires licences may not have come by yet.
    pub fn status_at(&self, now: UnixMillis) -> Status {
        let over = self.status == Status::Active && self.expires_at.is_some_and(|end| end <= now);
        if over { Status::Expired } else { self.status }
    }
}

impl From<LicenseRow> for License {
    fn from(row: LicenseRow) -> Self {
        Self {
            id: row.uuid,
            name: row.name,
            description: row.description,
            app: row.app,
            kind: row.kind,
            term: row.term,
            limits: row.limits,
            features: row.features,
            policy: row.policy,
            status: row.status,
            activated_at: row.activated_at,
            expires_at: row.expires_at,
            created_at: row.created_at,
            key: row.key,
            key_hint: row.key_hint,
            revision: row.revision,
        }
    }
}

/// In the order in which [`license_row`] reads them.
pub(in crate::store) const COLUMNS: &str = "id, uuid, site, customer, app, name, description, kind, term, max_monitors, \
     max_users, max_activations, features, policy, status, activated_at, expires_at, revision, created_at, key_digest, key_hint, \
     thresholds";

/// Reads one licence.
pub(in crate::store) fn license_row(row: &Row<'_>) -> Result<LicenseRow, Error> {
    Ok(LicenseRow {
        id: row.get(0)?,
        uuid: LicenseId::from_bytes(row.get(1)?),
        site: row.get::<_, Option<[u8; 16]>>(2)?.map(SiteId::from_bytes),
        customer: row.get(3)?,
        app: row.get(4)?,
        name: row.get(5)?,
        description: row.get(6)?,
        kind: kind_by_name(&row.get::<_, String>(7)?)?,
        term: from_json(row, 8)?,
        limits: Limits { monitors: row.get(9)?, users: row.get(10)?, activations: row.get(11)? },
        features: from_json(row, 12)?,
        policy: from_json(row, 13)?,
        status: Status::by_name(&row.get::<_, String>(14)?).ok_or(DAMAGED)?,
        activated_at: row.get::<_, Option<i64>>(15)?.map(UnixMillis),
        expires_at: row.get::<_, Option<i64>>(16)?.map(UnixMillis),
        revision: row.get(17)?,
        created_at: UnixMillis(row.get(18)?),
        key: codec::decode(&row.get::<_, Vec<u8>>(19)?).map_err(|_| DAMAGED)?,
        key_hint: row.get(20)?,
        thresholds: from_json(row, 21)?,
    })
}

const DAMAGED: Error = Error::Damaged { what: "license" };

/// The name of a kind in the database.
pub(super) const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Perpetual => "perpetual",
        Kind::Subscription => "subscription",
        Kind::Trial => "trial",
    }
}

fn kind_by_name(name: &str) -> Result<Kind, Error> {
    [Kind::Perpetual, Kind::Subscription, Kind::Trial].into_iter().find(|kind| kind_name(*kind) == name).ok_or(DAMAGED)
}

pub(super) fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|_| DAMAGED)
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    let text = row.get_ref(column)?.as_str().map_err(|_| DAMAGED)?;
    serde_json::from_str(text).map_err(|_| DAMAGED)
}
