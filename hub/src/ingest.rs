//! A batch's way into the store: verified and opened on many cores, committed by the store's one writer.
//!
//! Always true: nothing is handed to the writer that the agent did not sign, and no core is kept busy by more batches
//! than there are cores. Standing is looked up for each batch, and once more by the store inside its transaction.

use crate::keys::SealingKeys;
use crate::metrics::{Held, Metrics, Outcome};
use crate::store::{IngestOutcome, Store, VerifiedBatch};
use crate::sync::{Signer, Voice};
use sitewarden_protocol::batch::{self, Encoding, Header};
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{Refusal, Refused};
use sitewarden_protocol::sync::hub::Ingested;
use std::{any::Any, num::NonZero, sync::Arc, thread::available_parallelism, time::Duration};
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout},
};

/// How long a commit may take before the agent is told to come again later. The batch may still be committed after it;
/// the repeat is then a duplicate.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a batch may wait for a core. With 4096 agents of 8 batches each, of 3 ms each, on two cores: 50 s.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(60);

/// The way in.
#[derive(Debug)]
pub(crate) struct Ingest {
    store: Store,
    signer: Arc<Signer>,
    sealing: Arc<SealingKeys>,
    metrics: Arc<Metrics>,
    cores: Arc<Semaphore>,
}

/// A batch after its verification.
pub(crate) struct Verified {
    agent: AgentId,
    /// What its receipt is signed with.
    voice: Voice,
    arrived: Instant,
    verdict: Result<VerifiedBatch, Ingested>,
    /// What is given back when the batch is done with.
    _held: Box<dyn Any + Send>,
}

impl Ingest {
    pub(crate) fn new(store: Store, signer: Arc<Signer>, sealing: Arc<SealingKeys>, metrics: Arc<Metrics>) -> Self {
        // Without an answer from the system, two: one would let a single large batch hold up all the others.
        let cores = available_parallelism().map_or(2, NonZero::get);
        Self { store, signer, sealing, metrics, cores: Arc::new(Semaphore::new(cores)) }
    }

    /// Begins to verify a batch; `held` is kept until the batch is done with.
    pub(crate) fn verify(
        self: &Arc<Self>,
        agent: AgentId,
        voice: Voice,
        batch: Box<batch::Signed>,
        held: impl Any + Send,
    ) -> JoinHandle<Verified> {
        let (ingest, arrived, held) = (Arc::clone(self), Instant::now(), Box::new(held));
        tokio::spawn(async move {
            let verdict = ingest.verdict(agent, batch).await;
            Verified { agent, voice, arrived, verdict, _held: held }
        })
    }

    /// Commits a verified batch, and signs the receipt after that.
    pub(crate) async fn commit(self: Arc<Self>, verified: Verified) -> Ingested {
        let ingested = match verified.verdict {
            Ok(batch) => self.store(verified.agent, &verified.voice, batch).await,
            Err(ingested) => ingested,
        };
        match &ingested {
            Ingested::Stored(_) => {}
            Ingested::Refused(_) => self.metrics.batch(Outcome::Refused),
            Ingested::Invalid(_) => self.metrics.batch(Outcome::Invalid),
        }
        self.metrics.ingest_seconds.observe(verified.arrived.elapsed().as_secs_f64());
        ingested
    }

    async fn verdict(&self, agent: AgentId, batch: Box<batch::Signed>) -> Result<VerifiedBatch, Ingested> {
        let header = batch.peek().map_err(|error| Ingested::Invalid(error.to_string()))?;
        let standing = match self.store.agent_standing(agent).await {
            // Of one that was revoked, too: the store sets aside what it signed after that.
            Ok(Some(standing)) => standing,
            Ok(None) => return Err(refused(&header, Refusal::Revoked)),
            Err(error) => return Err(busy(&header, &error)),
        };
        let Ok(Ok(core)) = timeout(VERIFY_TIMEOUT, Arc::clone(&self.cores).acquire_owned()).await else {
            return Err(refused(&header, Refusal::Busy));
        };
        let (seconds, keys) = (self.metrics.verify_seconds.clone(), self.sealing.all());
        let work = move || {
            let begun = Instant::now();
            let verified = VerifiedBatch::prepare(*batch, &standing.signers(), &keys);
            seconds.observe(begun.elapsed().as_secs_f64());
            drop(core);
            verified
        };
        match spawn_blocking(work).await {
            Ok(verified) => {
                // Only now: before its signature was seen, anyone could have said that it is sealed.
                let verified = verified.map_err(|error| Ingested::Invalid(error.to_string()))?;
                if let Encoding::SealedZstd(_) = verified.header().encoding {
                    self.metrics.sealed_batches.inc();
                }
                Ok(verified)
            }
            Err(error) => Err(busy(&header, &error)),
        }
    }

    async fn store(&self, agent: AgentId, voice: &Voice, batch: VerifiedBatch) -> Ingested {
        let header = &batch.header().clone();
        let (begun, queued) = (Instant::now(), Held::new(&self.metrics.writer_queue, 1));
        let stored = timeout(COMMIT_TIMEOUT, self.store.ingest(crate::wall_clock(), batch)).await;
        drop(queued);
        self.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
        match stored {
            Ok(Ok(IngestOutcome::Stored { through, new })) => {
                self.metrics.batch(if new == 0 { Outcome::Duplicate } else { Outcome::Stored });
                self.metrics.records.inc_by(new);
                Ingested::Stored(self.signer.receipt(voice, agent, through, crate::wall_clock()))
            }
            Ok(Ok(IngestOutcome::Refused(refusal))) => refused(header, refusal),
            Ok(Err(error)) => busy(header, &error),
            Err(late) => busy(header, &late),
        }
    }
}

/// The hub's own fault: the agent keeps the batch and comes again.
fn busy(header: &Header, error: &(dyn std::error::Error + 'static)) -> Ingested {
    tracing::error!(agent = %header.agent, error, "a batch could not be stored");
    refused(header, Refusal::Busy)
}

fn refused(header: &Header, refusal: Refusal) -> Ingested {
    let place = |seq| Position { epoch: header.epoch, seq };
    Ingested::Refused(Refused { first: place(header.first), last: place(header.last), refusal })
}
