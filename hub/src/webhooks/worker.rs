//! The worker: takes what is due from the outbox, sends it, and keeps what became of it.
//!
//! Always true: at most [`TOTAL`] attempts run, at most [`EACH`] for one endpoint, and one for an endpoint that fails, which
//! then rests a little; endpoints take turns. What is on its way is known here only: a hub that is killed sends it again.

use super::send::{NoClient, Outcome, Sender};
use crate::config::Webhooks as Settings;
use crate::metrics::{DeliveryOutcome, Metrics};
use crate::store::{self, Attempt, DeliveryId, DueDelivery, Room, Store};
use sitewarden_protocol::time::UnixMillis;
use std::{
    collections::HashMap,
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    task::{self, JoinError, JoinSet},
    time::sleep,
};
use tracing::{debug, error, warn};

/// Attempts at the same time.
const TOTAL: usize = 64;

/// Attempts for one endpoint at the same time.
const EACH: usize = 4;

/// The longest that an endpoint rests after failures: it is tried at least so often while something is due.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The longest that nobody looks: the wall clock may have been set, and timers stop in suspend.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How long to wait when the database does not answer.
const NO_STORE: Duration = Duration::from_secs(1);

/// How often the figures are made.
const FIGURES_EVERY: Duration = Duration::from_secs(1);

/// By how much a pause grows with each failure.
const GROWTH: u32 = 3;

/// What is known of an endpoint.
#[derive(Debug, Default)]
struct Endpoint {
    on_their_way: usize,
    /// In a row.
    failures: u32,
    rests_until: Option<Instant>,
}

struct Worker {
    store: Store,
    metrics: Arc<Metrics>,
    settings: Arc<Settings>,
    sender: Sender,
    endpoints: HashMap<i64, Endpoint>,
    /// Of each attempt: what is sent, and to which webhook.
    on_their_way: HashMap<task::Id, (DeliveryId, i64)>,
    last: i64,
    figures_at: Option<Instant>,
}

/// Works for ever; is aborted at the end.
///
/// # Errors
/// [`NoClient`], before it begins.
pub(crate) fn work(
    store: Store,
    metrics: Arc<Metrics>,
    settings: Settings,
) -> Result<impl Future<Output = ()> + Send, NoClient> {
    let worker = Worker {
        sender: Sender::new(settings.allowed.clone(), settings.limit)?,
        settings: Arc::new(settings),
        store,
        metrics,
        endpoints: HashMap::new(),
        on_their_way: HashMap::new(),
        last: 0,
        figures_at: None,
    };
    Ok(worker.run())
}

impl Worker {
    async fn run(mut self) {
        let mut attempts = JoinSet::new();
        loop {
            let pause = match self.begin(&mut attempts).await {
                Ok(pause) => pause,
                Err(failure) => {
                    error!(error = &failure as &dyn StdError, "webhooks cannot be looked up or kept; trying again");
                    NO_STORE
                }
            };
            tokio::select! {
                Some(done) = attempts.join_next_with_id() => self.take(done),
                () = self.store.deliveries_written() => {}
                () = sleep(pause) => {}
            }
            while let Some(done) = attempts.try_join_next_with_id() {
                self.take(done);
            }
        }
    }

    /// Begins what is due, and answers how long to wait for what is not.
    async fn begin(&mut self, attempts: &mut JoinSet<bool>) -> Result<Duration, store::Error> {
        let now = crate::wall_clock();
        let busy = self.endpoints.iter().filter(|(_, endpoint)| endpoint.on_their_way > 0).map(|(id, _)| *id).collect();
        self.store.write_site_news(now, busy).await?;
        self.store.give_up_deliveries(now, now.before(self.settings.give_up)).await?;
        let outbox = self.store.outbox(now, self.room()).await?;
        self.last = outbox.last;
        for delivery in outbox.due {
            let name = (delivery.id, delivery.webhook);
            self.endpoints.entry(delivery.webhook).or_default().on_their_way += 1;
            let (store, sender, settings) = (self.store.clone(), self.sender.clone(), Arc::clone(&self.settings));
            let metrics = Arc::clone(&self.metrics);
            let task = attempts.spawn(async move { attempt(&store, &sender, &settings, &metrics, delivery).await });
            self.on_their_way.insert(task.id(), name);
        }
        self.figures(now).await?;
        let due = outbox.next.map(|next| next.since(now));
        let at = Instant::now();
        let rested = self.endpoints.values().filter_map(|endpoint| endpoint.rests_until);
        let rested = rested.map(|until| until.saturating_duration_since(at)).filter(|left| !left.is_zero()).min();
        Ok(due.into_iter().chain(rested).fold(LOOK_EVERY, Duration::min))
    }

    fn room(&self) -> Room {
        let at = Instant::now();
        let of = self.endpoints.iter().map(|(id, endpoint)| {
            let most = if endpoint.failures > 0 { 1 } else { EACH };
            let rests = endpoint.rests_until.is_some_and(|until| at < until);
            (*id, if rests { 0 } else { most.saturating_sub(endpoint.on_their_way) })
        });
        Room {
            of: of.collect(),
            total: TOTAL.saturating_sub(self.on_their_way.len()),
            each: EACH,
            on_their_way: self.on_their_way.values().map(|(id, _)| *id).collect(),
            after: self.last,
        }
    }

    /// Takes note of an attempt that ended: whether it succeeded.
    fn take(&mut self, done: Result<(task::Id, bool), JoinError>) {
        let (task, succeeded) = done.unwrap_or_else(|panicked| {
            error!("an attempt to send a webhook ended badly; it is sent again");
            (panicked.id(), false)
        });
        let Some((_, webhook)) = self.on_their_way.remove(&task) else { return };
        let Some(endpoint) = self.endpoints.get_mut(&webhook) else { return };
        endpoint.on_their_way = endpoint.on_their_way.saturating_sub(1);
        if succeeded {
            endpoint.failures = 0;
            endpoint.rests_until = None;
        } else {
            let rest = pause(&self.settings, endpoint.failures).min(LONGEST_REST);
            endpoint.failures = endpoint.failures.saturating_add(1);
            endpoint.rests_until = Some(Instant::now() + rest);
        }
        // One that is as good as new needs not be remembered.
        if endpoint.on_their_way == 0 && endpoint.failures == 0 {
            self.endpoints.remove(&webhook);
        }
    }

    async fn figures(&mut self, now: UnixMillis) -> Result<(), store::Error> {
        if self.figures_at.is_some_and(|at| at.elapsed() < FIGURES_EVERY) {
            return Ok(());
        }
        self.figures_at = Some(Instant::now());
        let standing = self.store.outbox_standing().await?;
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.metrics.webhook_waiting.set(whole(standing.waiting));
        self.metrics.webhook_failing.set(whole(standing.failing));
        self.metrics.webhook_oldest.set(standing.oldest.map_or(0, |since| whole(now.since(since).as_secs())));
        Ok(())
    }
}

/// Sends, and keeps what became of it. Answers whether it was delivered.
async fn attempt(
    store: &Store,
    sender: &Sender,
    settings: &Settings,
    metrics: &Metrics,
    delivery: DueDelivery,
) -> bool {
    let (id, webhook) = (delivery.id, delivery.webhook);
    let outcome = sender.send(&delivery, crate::wall_clock()).await;
    let now = crate::wall_clock();
    let succeeded = matches!(outcome, Outcome::Delivered(_));
    let (attempt, counted) = match outcome {
        Outcome::Delivered(status) => {
            debug!(webhook, delivery = %id, status, "a webhook was delivered");
            (Attempt::Delivered { status }, DeliveryOutcome::Delivered)
        }
        Outcome::Failed { status, error, pause: asked } => {
            let over = now.since(delivery.since) >= settings.give_up;
            let wait = jittered(pause(settings, delivery.attempts)).max(asked);
            let again = (!over).then(|| now.after(wait));
            warn!(webhook, delivery = %id, attempts = delivery.attempts + 1, error, given_up = over, "a webhook failed");
            let counted = if over { DeliveryOutcome::GivenUp } else { DeliveryOutcome::Failed };
            (Attempt::Failed { status, error, again }, counted)
        }
    };
    metrics.webhook_delivery(counted);
    if let Err(failure) = store.settle_delivery(now, id, attempt).await {
        error!(error = &failure as &dyn StdError, "what became of a webhook could not be kept; it is sent again");
    }
    succeeded
}

/// The pause after so many failures before the last.
fn pause(settings: &Settings, failures: u32) -> Duration {
    let grown = GROWTH.checked_pow(failures).and_then(|factor| settings.first_pause.checked_mul(factor));
    grown.unwrap_or(settings.longest_pause).min(settings.longest_pause)
}

/// Between half of it and all of it, so that what failed together does not come back together.
fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    // Without randomness nothing is spread, and nothing else is wrong.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::Networks;
    use std::collections::HashSet;

    #[test]
    fn pauses_grow_up_to_the_longest_and_are_spread() {
        let settings = Settings {
            allowed: Networks::default(),
            limit: Duration::from_secs(10),
            first_pause: Duration::from_secs(5),
            longest_pause: Duration::from_secs(3_600),
            give_up: Duration::from_secs(259_200),
            keep: Duration::from_secs(1),
        };
        let pauses: Vec<u64> = (0..9).map(|failures| pause(&settings, failures).as_secs()).collect();
        assert_eq!(pauses, [5, 15, 45, 135, 405, 1_215, 3_600, 3_600, 3_600]);
        assert_eq!(pause(&settings, u32::MAX), settings.longest_pause);
        let spread: HashSet<Duration> = (0..50).map(|_| jittered(Duration::from_secs(60))).collect();
        let bounds = Duration::from_secs(30)..=Duration::from_secs(60);
        assert!(spread.len() > 10 && spread.iter().all(|wait| bounds.contains(wait)), "{spread:?}");
    }
}
