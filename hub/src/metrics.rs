//! What is counted, and how it is shown to Prometheus (OpenMetrics text).
//!
//! Always true: every label has a fixed set of values, all of them present from the start, so that nothing a peer sends
//! can make a new series, and an alert on a rate never misses the first event.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::fmt::{self, Write};

/// Seconds from 100 µs to 13 s: a verification takes the first, a commit on a slow disk the last.
const LATENCY: (f64, f64, u16) = (0.0001, 2.0, 18);

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The label's value.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
                encoder.write_str(self.name())
            }
        }
    };
}

label! {
    /// Why a connection, a session or an enrolment was refused.
    Reason {
        /// More connections than allowed in all.
        ConnectionLimit => "connection_limit",
        /// More connections than allowed from one address.
        AddressLimit => "address_limit",
        /// The handshake was not finished, or not in time.
        Handshake => "handshake",
        /// No client certificate.
        NoCertificate => "no_certificate",
        /// A client certificate that is expired, or not of this hub's authority.
        UntrustedCertificate => "untrusted_certificate",
        /// A certificate of this authority that names no agent, or one that is not known.
        UnknownAgent => "unknown_agent",
        /// A certificate for another key than the agent's current one.
        OldKey => "old_key",
        /// The agent was revoked.
        Revoked => "revoked",
        /// No hello in time.
        Mute => "mute",
        /// The first bytes are another protocol's.
        NotAFrame => "not_a_frame",
        /// A frame that is longer than allowed.
        Oversize => "oversize",
        /// A frame that was not finished, or not in time.
        Truncated => "truncated",
        /// A frame that was damaged.
        Checksum => "checksum",
        /// A frame that holds no message.
        Unreadable => "unreadable",
        /// A message that names another agent.
        WrongAgent => "wrong_agent",
        /// A message out of turn.
        OutOfTurn => "out_of_turn",
        /// No protocol version in common.
        Version => "version",
        /// A batch that the agent did not sign, or that is no batch.
        BadBatch => "bad_batch",
        /// A peer that does not read what it is sent.
        Slow => "slow",
        /// All memory for frames was taken.
        Overloaded => "overloaded",
        /// An enrolment that is malformed or proves nothing.
        BadEnrolment => "bad_enrolment",
        /// A request for a certificate that is malformed or proves nothing.
        BadRenewal => "bad_renewal",
        /// An enrolment with a token that is unknown, used or expired.
        BadToken => "bad_token",
        /// Too many enrolments from one address.
        RateLimit => "rate_limit",
    }
}

label! {
    /// What became of a batch.
    Outcome {
        /// New records were committed.
        Stored => "stored",
        /// All of it was here already.
        Duplicate => "duplicate",
        /// It did not join on, or the hub could not take it.
        Refused => "refused",
        /// Not the agent's, or unreadable.
        Invalid => "invalid",
    }
}

label! {
    /// What became of an attempt to deliver a webhook.
    DeliveryOutcome {
        /// It was answered with success.
        Delivered => "delivered",
        /// It failed, and is sent again.
        Failed => "failed",
        /// It failed, and its time is over.
        GivenUp => "given_up",
    }
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DeliveryLabel {
    outcome: DeliveryOutcome,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: Reason,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

/// All of the hub's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// QUIC connections, those still in the handshake included.
    pub connections: Gauge,
    /// Sessions with agents that are known.
    pub sessions: Gauge,
    /// Those of them that came over HTTPS.
    pub https_sessions: Gauge,
    /// New records committed.
    pub records: Counter,
    /// Batches handed to the writer whose commit is awaited.
    pub writer_queue: Gauge,
    /// Bytes of frames that are held until their batch is committed.
    pub held_bytes: Gauge,
    /// Seconds from a batch's arrival to its outcome.
    pub ingest_seconds: Histogram,
    /// Seconds of verification, on one core.
    pub verify_seconds: Histogram,
    /// Seconds from handing a batch to the writer to its commit.
    pub commit_seconds: Histogram,
    /// Batches that were sealed to one of the hub's keys, by their agents' word; repeats included.
    pub sealed_batches: Counter,
    /// Snapshots sent because something changed.
    pub snapshots_pushed: Counter,
    /// QUIC connections whose address had to be proven first (Retry).
    pub address_proofs: Counter,
    /// Agents enrolled, repeats included.
    pub enrolments: Counter,
    /// Webhooks' deliveries that wait.
    pub webhook_waiting: Gauge,
    /// Seconds that the oldest of them has waited.
    pub webhook_oldest: Gauge,
    /// Webhooks whose last attempt failed.
    pub webhook_failing: Gauge,
    webhook_deliveries: Family<DeliveryLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    batches: Family<OutcomeLabel, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sitewarden_hub");
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let connections = gauge("connections", "QUIC connections, those still in the handshake included");
        let sessions = gauge("sessions", "Sessions with known agents");
        let https_sessions = gauge("https_sessions", "Sessions with known agents over HTTPS");
        let writer_queue = gauge("writer_queue_batches", "Batches handed to the writer and not yet committed");
        let held_bytes = gauge("held_bytes", "Bytes of frames held until their batch is committed");
        let webhook_waiting = gauge("webhook_deliveries_waiting", "Webhooks' deliveries that wait");
        let webhook_oldest = gauge("webhook_oldest_waiting_seconds", "How long the oldest of them has waited");
        let webhook_failing = gauge("webhooks_failing", "Webhooks whose last attempt failed");
        let mut counter = |name, help| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let records = counter("records", "New records committed");
        let sealed_batches = counter("sealed_batches", "Batches that came sealed, repeats included");
        let snapshots_pushed = counter("snapshots_pushed", "Snapshots sent because something changed");
        let address_proofs = counter("address_proofs", "QUIC connections whose address had to be proven first");
        let enrolments = counter("enrolments", "Agents enrolled, repeats included");
        let mut histogram = |name, help| {
            let (start, factor, length) = LATENCY;
            let histogram = Histogram::new(exponential_buckets(start, factor, length));
            registry.register(name, help, histogram.clone());
            histogram
        };
        let ingest_seconds = histogram("ingest_seconds", "From a batch's arrival to its outcome");
        let verify_seconds = histogram("verify_seconds", "Verification of a batch on one core");
        let commit_seconds = histogram("commit_seconds", "From handing a batch to the writer to its commit");
        let refused = Family::<ReasonLabel, Counter>::default();
        Reason::ALL.iter().for_each(|reason| drop(refused.get_or_create(&ReasonLabel { reason: *reason })));
        registry.register("refused", "Connections, sessions and enrolments refused", refused.clone());
        let batches = Family::<OutcomeLabel, Counter>::default();
        Outcome::ALL.iter().for_each(|outcome| drop(batches.get_or_create(&OutcomeLabel { outcome: *outcome })));
        registry.register("batches", "Batches taken in, by what became of them", batches.clone());
        let webhook_deliveries = Family::<DeliveryLabel, Counter>::default();
        let label = |outcome: &DeliveryOutcome| DeliveryLabel { outcome: *outcome };
        DeliveryOutcome::ALL.iter().for_each(|outcome| drop(webhook_deliveries.get_or_create(&label(outcome))));
        registry.register("webhook_deliveries", "Attempts to deliver webhooks", webhook_deliveries.clone());
        Self {
            registry,
            webhook_waiting,
            webhook_oldest,
            webhook_failing,
            webhook_deliveries,
            connections,
            sessions,
            https_sessions,
            records,
            sealed_batches,
            writer_queue,
            held_bytes,
            ingest_seconds,
            verify_seconds,
            commit_seconds,
            snapshots_pushed,
            address_proofs,
            enrolments,
            refused,
            batches,
        }
    }
}

impl Metrics {
    /// Counts a refusal.
    pub fn refuse(&self, reason: Reason) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// How often something was refused for this reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused.get_or_create(&ReasonLabel { reason }).get()
    }

    /// Counts an attempt to deliver a webhook.
    pub fn webhook_delivery(&self, outcome: DeliveryOutcome) {
        self.webhook_deliveries.get_or_create(&DeliveryLabel { outcome }).inc();
    }

    /// How many attempts to deliver webhooks ended this way.
    pub fn webhook_deliveries(&self, outcome: DeliveryOutcome) -> u64 {
        self.webhook_deliveries.get_or_create(&DeliveryLabel { outcome }).get()
    }

    /// Counts a batch.
    pub fn batch(&self, outcome: Outcome) {
        self.batches.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// How many batches ended this way.
    pub fn batches(&self, outcome: Outcome) -> u64 {
        self.batches.get_or_create(&OutcomeLabel { outcome }).get()
    }

    /// Everything, in OpenMetrics text.
    ///
    /// # Errors
    /// If a metric cannot be written as text, which no registered one does.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// A gauge that is one higher (or `by` higher) as long as this lives.
#[derive(Debug)]
pub struct Held {
    gauge: Gauge,
    by: i64,
}

impl Held {
    /// Raises a gauge.
    pub fn new(gauge: &Gauge, by: i64) -> Self {
        gauge.inc_by(by);
        Self { gauge: gauge.clone(), by }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.dec_by(self.by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_shown_before_it_ever_happened() {
        let metrics = Metrics::default();
        metrics.refuse(Reason::Oversize);
        let text = metrics.encode().unwrap();
        assert!(text.contains("sitewarden_hub_refused_total{reason=\"oversize\"} 1"), "{text}");
        assert!(text.contains("sitewarden_hub_refused_total{reason=\"mute\"} 0"), "{text}");
        assert!(text.contains("sitewarden_hub_batches_total{outcome=\"duplicate\"} 0"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn a_held_gauge_falls_back() {
        let gauge = Gauge::default();
        let held = Held::new(&gauge, 5);
        assert_eq!(gauge.get(), 5);
        drop(held);
        assert_eq!(gauge.get(), 0);
    }
}
