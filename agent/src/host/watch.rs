//! Watching the machine: once at the start as it is, from then on folded into hourly totals on site.

use super::Observer;
use super::hour::{Hours, Look};
use crate::anonymity::Anonymity;
use crate::clock::Clock;
use crate::journal::Journal;
use crate::schedule::Waker;
use sitewarden_protocol::record::{Body, HostHour, HostSample};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const HOUR: Duration = Duration::from_secs(3_600);

/// What watching works with.
pub struct Parts {
    /// Takes the records.
    pub journal: Journal,
    /// Dates them.
    pub clock: Clock,
    /// Encodes them.
    pub anonymity: Arc<Anonymity>,
    /// Any path on the disk that counts.
    pub disk: PathBuf,
    /// From one look to the next.
    pub interval: Duration,
}

/// Watches until `stopping` changes; then the hour under way is written as far as it went.
pub async fn watch(parts: Parts, mut stopping: watch::Receiver<bool>) {
    // An hour that is over is written also where the machine is looked at less often.
    let wake = parts.interval.min(HOUR);
    let (observer, mut waker) = match (Observer::new(parts.disk.clone()), Waker::start(wake).await) {
        (Ok(observer), Ok(waker)) => (observer, waker),
        (observer, waker) => {
            let (observer, waker) =
                (observer.err().map(|error| error.to_string()), waker.err().map(|error| error.to_string()));
            tracing::error!(?observer, ?waker, "the machine is not observed");
            return;
        }
    };
    let mut watching =
        Watching { parts, observer: Some(observer), hours: Hours::default(), started: Instant::now(), last: None };
    loop {
        watching.look(wake).await;
        tokio::select! {
            woken = waker.woken() => if !woken { break },
            _ = stopping.changed() => break,
        }
    }
    watching.end().await;
    waker.stop().await;
}

struct Watching {
    parts: Parts,
    /// Away only while it looks.
    observer: Option<Observer>,
    hours: Hours,
    started: Instant,
    last: Option<Instant>,
}

impl Watching {
    /// Looks, if it is time. The waker may fire in a storm after the clock was moved: what is due is decided here, by
    /// monotonic time.
    async fn look(&mut self, wake: Duration) {
        if !self.parts.anonymity.switches().records() {
            // Nothing of this time is to be found in an hour that is begun before or ends after it.
            (self.hours, self.last) = (Hours::default(), None);
            return;
        }
        let now = self.parts.clock.now();
        let due = self.last.is_none_or(|last| last.elapsed() + wake / 2 >= self.parts.interval);
        let over = if due {
            let is_first = self.last.replace(Instant::now()).is_none();
            let Some(sample) = self.sample().await else { return };
            if is_first {
                self.append(Body::Host(sample.clone())).await;
            }
            let (standing, size) = (self.parts.clock.standing(), self.parts.journal.size());
            let look = Look {
                at: standing.now,
                sample,
                agent_uptime: self.started.elapsed().as_secs(),
                backlog: size.backlog,
                journal_bytes: size.bytes,
                wall_offset: standing.wall.0.saturating_sub(standing.now.0),
            };
            self.hours.add(&look)
        } else {
            self.hours.over(now)
        };
        self.append_hour(over).await;
    }

    async fn end(&mut self) {
        let under_way = self.hours.end();
        self.append_hour(under_way).await;
    }

    async fn sample(&mut self) -> Option<HostSample> {
        let mut observer = self.observer.take()?;
        let sampled = tokio::task::spawn_blocking(move || {
            let sample = observer.sample();
            (observer, sample)
        });
        match sampled.await {
            Ok((observer, sample)) => {
                self.observer = Some(observer);
                Some(sample)
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn append_hour(&self, hour: Option<HostHour>) {
        if let Some(hour) = hour {
            self.append(Body::HostHourly(hour)).await;
        }
    }

    async fn append(&self, body: Body) {
        let Parts { journal, clock, anonymity, .. } = &self.parts;
        // Also an hour that was under way when telemetry was switched off.
        if !anonymity.switches().records() {
            return;
        }
        let appended = match anonymity.encode(clock.now(), &body) {
            Ok(record) => {
                journal.append([record].into_iter().collect()).await.map(drop).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = appended {
            tracing::warn!(error, "how the machine is was not recorded");
        }
    }
}
