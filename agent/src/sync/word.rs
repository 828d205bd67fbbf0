//! The hub's word, carried out: receipts, snapshots, certificates, keys, and an administrator's clearance.

use super::Driver;
use crate::enforcement::InstallError;
use sitewarden_protocol::clearance::Clearance;
use sitewarden_protocol::receipt::Receipt;
use sitewarden_protocol::renewal;
use sitewarden_protocol::signing::PublicKey;
use sitewarden_protocol::snapshot;
use std::sync::Arc;

impl Driver {
    /// What is new is tried at once: what would not work is noticed while the old certificate is still good.
    pub(super) async fn certificate_answered(&mut self, answer: renewal::Answer) {
        if self.certificate.answered(answer).await {
            self.agent.handle_trusted(self.parts.credentials.held().signing_keys.clone());
            self.agent.handle_renew(self.now());
        }
    }

    /// The hub's administrator lets this agent go on in a fresh epoch, which a start begins: then nothing else is at work in
    /// the journal.
    pub(super) async fn cleared(&mut self, clearance: Clearance) {
        let journal = self.parts.journal.clone();
        let kept = tokio::task::spawn_blocking(move || journal.clear(&clearance)).await;
        match kept {
            Ok(Ok(true)) => {
                tracing::warn!("the hub's administrator cleared this agent; it starts anew in a fresh epoch");
                self.parts.anew.notify_one();
            }
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => tracing::error!(%error, "the hub's clearance is not kept; it will be told again"),
        }
    }

    pub(super) async fn believe(&mut self, keys: Vec<PublicKey>) {
        let credentials = Arc::clone(&self.parts.credentials);
        let kept = tokio::task::spawn_blocking(move || credentials.believe(keys)).await;
        match kept.unwrap_or(Ok(())) {
            Ok(()) => tracing::info!("the hub signs with another key from now on"),
            Err(error) => tracing::error!(%error, "the hub's new signing key is not kept; it will be told again"),
        }
    }

    pub(super) async fn acknowledge(&mut self, receipt: Receipt) {
        let through = receipt.through;
        // Ends of batches sent in this session are known; others, from a welcome, are compared with the journal.
        let known = self.ends.contains(&through);
        self.ends.retain(|end| end.position > through.position);
        let journal = self.parts.journal.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let ours =
                if known { None } else { journal.chain_at(through.position).map_err(|error| error.to_string())? };
            if ours.is_some_and(|ours| ours != through.chain) {
                return Ok(false);
            }
            journal.acknowledge(through.position);
            Ok(true)
        });
        match taken.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(true) => {}
            Ok(false) => return self.agent.handle_foreign(through.position, self.parts.journal.acknowledged()),
            // Damage is met, and declared, when the records there are read.
            Err(reason) => return tracing::error!(reason, "an acknowledgement cannot be compared with the journal"),
        }
        self.parts.enforcement.acknowledged(through.position).await;
        self.parts.clock.heard(receipt.hub_time);
        let now = self.parts.clock.now();
        self.parts.line.learn(|known| {
            known.acknowledged = through.position;
            known.last_receipt_at = Some(now);
        });
    }

    pub(super) async fn install(&mut self, signed: snapshot::Signed) {
        match self.parts.enforcement.install(signed).await {
            Ok(true) => {
                self.parts.metrics.snapshots.inc();
                self.agent.handle_trusted(self.parts.credentials.held().signing_keys.clone());
                self.parts.clock.heard(self.parts.enforcement.state().snapshot.version.issued_at);
                tracing::info!(
                    revision = self.parts.enforcement.state().snapshot.version.revision,
                    "a new snapshot is in force"
                );
                self.report().await;
            }
            Ok(false) | Err(InstallError::Stopping) => {}
            Err(error) => tracing::warn!(%error, "the hub's snapshot is not taken"),
        }
    }
}
