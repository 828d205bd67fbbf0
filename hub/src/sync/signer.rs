//! The hub's signed word: receipts and snapshots.

use crate::keys::SealingKeys;
use crate::store::SnapshotParts;
use sitewarden_certs::authority::Authority;
use sitewarden_protocol::chain::Cursor;
use sitewarden_protocol::hub_time::{self, HubTime};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::receipt::{self, Receipt};
use sitewarden_protocol::signing::{PrivateKey, PublicKey};
use sitewarden_protocol::snapshot::{self, Administrator, Snapshot, Trust, Version};
use sitewarden_protocol::telemetry::Answer;
use sitewarden_protocol::time::UnixMillis;
use std::sync::Arc;
use std::time::Duration;

/// How old a snapshot gets at an agent before it is signed anew although nothing changed: half a day, so that a
/// connected plant is always good for nearly the whole of its `fresh_until`.
pub(crate) const RESIGN_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Signs with the hub's key.
#[derive(Debug)]
pub(crate) struct Signer {
    key: PrivateKey,
    trust: Trust,
    promises: Promises,
    authority: Arc<Authority>,
    sealing: Arc<SealingKeys>,
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

/// What snapshots promise where the site has no setting of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promises {
    /// Days that a snapshot may be relied on.
    pub(crate) fresh_days: u16,
    /// Days of emergency override in any 365.
    pub(crate) override_days: u16,
}

impl Signer {
    /// Agents are to trust the authority, and to be trusted by it.
    pub(crate) fn new(
        key: PrivateKey,
        authority: Arc<Authority>,
        promises: Promises,
        sealing: Arc<SealingKeys>,
    ) -> Self {
        let authorities = vec![authority.cert_der().to_vec()];
        let trust = Trust { authorities, signing_keys: vec![key.public()] };
        Self { key, trust, promises, authority, sealing }
    }

    /// Says that everything up to `through` is on disk; call it only when that is so.
    pub(crate) fn receipt(&self, agent: AgentId, through: Cursor, now: UnixMillis) -> receipt::Signed {
        receipt::Signed::make(&Receipt { agent, through, hub_time: now }, &self.key)
    }

    /// Says what time it is.
    pub(crate) fn time(&self, agent: AgentId, nonce: hub_time::Nonce, at: UnixMillis) -> hub_time::Signed {
        hub_time::Signed::make(&HubTime { agent, nonce, at }, &self.key)
    }

    /// Answers a program, in a signed envelope.
    pub(crate) fn envelope(&self, answer: &Answer) -> String {
        answer.envelope(&self.key)
    }

    /// What agents and programs are to trust.
    pub(crate) const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Says what a site may do.
    pub(crate) fn snapshot(&self, parts: SnapshotParts, to: Addressee, now: UnixMillis) -> snapshot::Signed {
        // A certificate takes one signature; it is made anew with each snapshot, so that none is stored or renewed.
        let certificate =
            self.authority.issue_signing(&to.signing_key, to.agent, parts.site, now).unwrap_or_else(|error| {
                tracing::error!(%error, agent = %to.agent, "an agent gets no certificate for its proofs");
                Vec::new()
            });
        let fresh_days = parts.fresh_days.unwrap_or(self.promises.fresh_days);
        let snapshot = Snapshot {
            site: parts.site,
            site_name: parts.site_name,
            plant: parts.plant,
            plant_name: parts.plant_name,
            // Numbers are counted up from 1.
            customer: parts.customer.unsigned_abs(),
            customer_name: parts.customer_name,
            version: Version { revision: parts.revision, issued_at: now },
            fresh_until: now.after(DAY * u32::from(fresh_days)),
            licenses: parts.licenses,
            trust: self.trust.clone(),
            override_days: parts.override_days.unwrap_or(self.promises.override_days),
            administrators: parts.administrators.into_iter().map(administrator).collect(),
            api_keys: parts.api_keys,
            sealing_key: Some(self.sealing.newest()),
            certificate,
        };
        snapshot::Signed::make(&snapshot, to.version, &self.key)
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
