//! The hub's signed word: receipts and snapshots.

use crate::keys::{Authorities, SealingKeys, SigningKeys};
use crate::settings::Live;
use crate::store::SnapshotParts;
use sitewarden_protocol::announcement;
use sitewarden_protocol::bundle::{Manifest, Writer};
use sitewarden_protocol::chain::Cursor;
use sitewarden_protocol::clearance::{self, Clearance};
use sitewarden_protocol::hub_time::{self, HubTime};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::license::Status;
use sitewarden_protocol::receipt::{self, Receipt};
use sitewarden_protocol::renewal::{Granted, Renewed};
use sitewarden_protocol::signing::{PrivateKey, PublicKey};
use sitewarden_protocol::snapshot::{self, Administrator, SealingKey, Snapshot, Trust, Version};
use sitewarden_protocol::telemetry::Answer;
use sitewarden_protocol::time::UnixMillis;
use std::sync::Arc;
use std::time::Duration;

/// How old a snapshot gets at an agent before it is signed anew although nothing changed: half a day, so that a
/// connected plant is always good for nearly the whole of its `fresh_until`.
pub(crate) const RESIGN_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// The longest that a snapshot may be relied on, whatever the licences say: ten years.
const LONGEST: Duration = Duration::from_secs(3_652 * 24 * 60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Signs with the hub's keys.
#[derive(Debug)]
pub(crate) struct Signer {
    keys: Arc<SigningKeys>,
    settings: Live,
    authorities: Arc<Authorities>,
    sealing: Arc<SealingKeys>,
}

/// The key that one listener hears the hub's word by. A session keeps its own until it has told of the next.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(crate) number: u32,
    key: Arc<PrivateKey>,
}

/// For which agent a snapshot is signed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addressee {
    pub(crate) agent: AgentId,
    /// What its decisions are proved with.
    pub(crate) signing_key: PublicKey,
    /// The protocol version that it speaks.
    pub(crate) version: u16,
}

impl Signer {
    /// Agents are to trust the authorities, and to be trusted by them. What snapshots promise where the site has no setting of its
    /// own is the hub's settings.
    pub(crate) fn new(
        keys: Arc<SigningKeys>,
        authorities: Arc<Authorities>,
        settings: Live,
        sealing: Arc<SealingKeys>,
    ) -> Self {
        Self { keys, settings, authorities, sealing }
    }

    /// What an agent that speaks this version is talked to with from now on.
    pub(crate) fn voice(&self, version: u16) -> Voice {
        let key = self.keys.for_version(version);
        Voice { number: key.number, key: key.key }
    }

    /// Says that everything up to `through` is on disk; call it only when that is so.
    pub(crate) fn receipt(&self, voice: &Voice, agent: AgentId, through: Cursor, now: UnixMillis) -> receipt::Signed {
        receipt::Signed::make(&Receipt { agent, through, hub_time: now }, &voice.key)
    }

    /// Says what time it is.
    pub(crate) fn time(
        &self,
        voice: &Voice,
        agent: AgentId,
        nonce: hub_time::Nonce,
        at: UnixMillis,
    ) -> hub_time::Signed {
        hub_time::Signed::make(&HubTime { agent, nonce, at }, &voice.key)
    }

    /// Answers a program, in a signed envelope.
    pub(crate) fn envelope(&self, answer: &Answer) -> String {
        answer.envelope(&self.keys.newest().key)
    }

    /// What agents and programs are to trust, the newest first.
    pub(crate) fn trust(&self) -> Trust {
        Trust { authorities: self.authorities.roots(), signing_keys: self.keys.trusted() }
    }

    /// How the signing keys follow each other.
    pub(crate) fn chain(&self) -> Vec<announcement::Signed> {
        self.keys.chain().to_vec()
    }

    /// Lets an agent go on in a fresh epoch.
    pub(crate) fn cleared(&self, voice: &Voice, clearance: &Clearance) -> clearance::Signed {
        clearance::Signed::make(clearance, &voice.key)
    }

    /// Gives an agent its certificate.
    pub(crate) fn granted(&self, renewed: &Renewed) -> Granted {
        Granted::make(renewed, self.chain(), &self.keys.newest().key)
    }

    /// The key that others verify with from now on.
    pub(crate) fn public(&self) -> PublicKey {
        self.keys.public()
    }

    /// Begins a bundle, which what its manifest says is for; and its first bytes.
    pub(crate) fn begin_bundle(&self, manifest: Manifest, seal_to: SealingKey) -> (Writer, Vec<u8>) {
        Writer::begin(manifest, self.keys.newest().key, Some(seal_to))
    }

    /// Says what a site may do.
    pub(crate) fn snapshot(
        &self,
        voice: &Voice,
        parts: SnapshotParts,
        to: Addressee,
        now: UnixMillis,
    ) -> snapshot::Signed {
        // A certificate takes one signature; it is made anew with each snapshot, so that none is stored or renewed.
        let certificate =
            self.authorities.serving().issue_signing(&to.signing_key, to.agent, parts.site, now).unwrap_or_else(
                |error| {
                    tracing::error!(%error, agent = %to.agent, "an agent gets no certificate for its proofs");
                    Vec::new()
                },
            );
        let fresh_until = self.fresh_until(&parts, now);
        let snapshot = Snapshot {
            site: parts.site,
            site_name: parts.site_name,
            plant: parts.plant,
            plant_name: parts.plant_name,
            // Numbers are counted up from 1.
            customer: parts.customer.unsigned_abs(),
            customer_name: parts.customer_name,
            version: Version { revision: parts.revision, issued_at: now },
            fresh_until,
            licenses: parts.licenses,
            trust: self.trust(),
            override_days: parts.override_days.unwrap_or(self.settings.now().override_days),
            administrators: parts.administrators.into_iter().map(administrator).collect(),
            api_keys: parts.api_keys,
            sealing_key: Some(self.sealing.newest()),
            certificate,
        };
        snapshot::Signed::make(&snapshot, to.version, &voice.key)
    }
}

impl Signer {
    /// How long a snapshot may be relied on: so many days, or where there is no line, as long as the licences themselves.
    fn fresh_until(&self, parts: &SnapshotParts, now: UnixMillis) -> UnixMillis {
        let days = now.after(DAY * u32::from(parts.fresh_days.unwrap_or(self.settings.now().fresh_days)));
        let last = parts.licenses.iter().filter(|_| parts.air_gap).filter_map(|license| match license.status {
            Status::Active => Some(license.expires_at.unwrap_or(now.after(LONGEST))),
            // Whenever it is activated, if not right now, the site is to be heard of before it ends.
            Status::Inactive => Some(license.term.expiry(now).unwrap_or(now.after(LONGEST))),
            Status::Expired | Status::Deactivated | Status::Invalid => None,
        });
        last.fold(days, UnixMillis::max).min(now.after(LONGEST))
    }
}

fn administrator((name, password): (String, String)) -> Administrator {
    Administrator { name, password }
}

/// Whether an agent that has `held` is to get the snapshot of `revision` at `now`.
pub(crate) fn is_outdated(held: Version, revision: u64, now: UnixMillis) -> bool {
    held.revision < revision || now.since(held.issued_at) >= RESIGN_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_sent_when_it_is_newer_or_the_one_held_is_getting_old() {
        let held = Version { revision: 5, issued_at: UnixMillis(1_000) };
        assert!(is_outdated(held, 6, UnixMillis(1_000)));
        assert!(!is_outdated(held, 5, UnixMillis(2_000)));
        assert!(!is_outdated(held, 5, UnixMillis(0)));
        assert!(is_outdated(held, 5, UnixMillis(1_000).after(RESIGN_AFTER)));
    }
}
