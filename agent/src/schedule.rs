//! What is to be done again and again. The one place that knows tokio-cron-scheduler.
//!
//! The scheduler polls the wall clock and fires storms after a jump, so it only wakes: it puts a token into a channel
//! with one place, and whoever takes the token decides by monotonic time whether anything is due.

use std::time::Duration;
use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// Wakes its receiver from time to time. Dropping it stops the waking.
pub struct Waker {
    scheduler: JobScheduler,
    tokens: mpsc::Receiver<()>,
}

impl Waker {
    /// Wakes about every `interval`, of whole seconds and at least one.
    ///
    /// # Errors
    /// If the scheduler does not start.
    pub async fn start(interval: Duration) -> Result<Self, JobSchedulerError> {
        let (token, tokens) = mpsc::channel(1);
        let scheduler = JobScheduler::new().await?;
        let job = Job::new_repeated_async(interval.max(Duration::from_secs(1)), move |_, _| {
            // A token that is still waiting says all that a second one would.
            let _ = token.try_send(());
            Box::pin(async {})
        })?;
        scheduler.add(job).await?;
        scheduler.start().await?;
        Ok(Self { scheduler, tokens })
    }

    /// Waits for the next token; `false` if there will be none.
    pub async fn woken(&mut self) -> bool {
        self.tokens.recv().await.is_some()
    }

    /// Stops waking.
    pub async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the scheduler did not stop");
        }
    }
}
