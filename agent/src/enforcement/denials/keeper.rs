//! The one task that writes denials down.

use super::{Denials, Unwritten, WRITE_EVERY};
use sitewarden_protocol::record::{Body, Record};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Writes down what is noted.
pub struct Keeper {
    denials: Denials,
    first: mpsc::Receiver<Unwritten>,
}

impl Keeper {
    pub(super) fn new(denials: Denials, first: mpsc::Receiver<Unwritten>) -> Self {
        Self { denials, first }
    }

    /// Until `stopping` changes; then everything that was counted is written.
    pub async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut minute = interval_at(Instant::now() + WRITE_EVERY, WRITE_EVERY);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(first) = self.first.recv() => self.write_first(first).await,
                _ = minute.tick() => self.write_counted().await,
                _ = stopping.changed() => break,
            }
        }
        while let Ok(first) = self.first.try_recv() {
            self.write_first(first).await;
        }
        self.write_counted().await;
    }

    async fn write_first(&self, first: Unwritten) {
        if let Err(error) = self.denials.append(first.last, &Body::Denials(first.denials.clone())).await {
            tracing::warn!(%error, "a denial is not recorded yet; it stays counted");
            self.denials.put_back(&first);
        }
    }

    pub(super) async fn write_counted(&self) {
        let taken = self.denials.take();
        if taken.is_empty() {
            return;
        }
        // Names and causes are cut when they are counted, so that every record is taken.
        let encode = |one: &Unwritten| Record::encode(one.last, &Body::Denials(one.denials.clone())).ok();
        if let Err(error) = self.denials.0.journal.append(taken.iter().filter_map(encode).collect()).await {
            tracing::warn!(%error, "denials are not recorded yet; they stay counted");
            taken.iter().for_each(|one| self.denials.put_back(one));
        }
    }
}
