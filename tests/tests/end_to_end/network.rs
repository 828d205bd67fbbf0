//! Faults of the network, with real processes in networks of their own: the plant's and the vendor's, and a bad line
//! between them. Each test bears the name of its row in ARCHITECTURE.md's table of faults.

use super::callers::{Told, send};
use super::invariants;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sitewarden_tests::harness::{BadLine, Line, in_own_network, until};
use sitewarden_tests::simulation::random::Random;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const CALLERS: u64 = 4;
const EVENTS: u64 = 4_000;
/// Events of about a kilobyte that are queued before a fault begins.
const BACKLOG: u64 = 600;
const SEED: u64 = 20;
const LIMIT: Duration = Duration::from_secs(120);

/// A plant and its hub at the two ends of a bad line, which is good at first.
struct World {
    line: Line,
    network: BadLine,
}

impl World {
    /// With a session over this carrier, and these settings of the agent's line.
    fn new(carrier: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let network = BadLine::start(SEED)?;
        let mut line = Line::to(Some(network.vendor()), 3)?;
        line.agent.stop()?;
        for (name, value) in settings {
            line.agent.set(&format!("SITEWARDEN_AGENT_SYNC__{name}"), value);
        }
        line.agent.start()?;
        let world = Self { line, network };
        world.goes_over(carrier)?;
        Ok(world)
    }

    fn goes_over(&self, carrier: &str) -> Result<()> {
        until(LIMIT, &format!("a session over {carrier}"), || {
            let sync = self.sync()?;
            Ok((sync["connected"] == true && sync["carrier"] == carrier).then_some(()))
        })
    }

    fn sync(&self) -> Result<Value> {
        Ok(self.line.agent.status()?["sync"].clone())
    }

    /// Sends events while `faults` happens, behind a backlog that fills whole windows; afterwards the line is good, and the
    /// invariants are looked at. Some packets must have met each of `expected`.
    fn suffers(
        &mut self,
        expected: &[&str],
        faults: impl FnOnce(&mut BadLine, &Line, &AtomicU64) -> Result<()>,
    ) -> Result<()> {
        self.network.has(&json!({"cut": true}))?;
        let backlog = backlog(&self.line)?;
        let (address, sent) = (self.line.agent.http()?, AtomicU64::new(0));
        let mut told = thread::scope(|scope| -> Result<Told> {
            let callers = scope.spawn(|| send(address, CALLERS, EVENTS, SEED, &sent));
            let happened = faults(&mut self.network, &self.line, &sent);
            let told = callers.join().unwrap();
            happened.map(|()| told)
        })?;
        let met = self.network.has(&json!({}))?;
        println!("what packets met: {met}");
        let missing: Vec<_> = expected.iter().filter(|fault| met[**fault].is_null()).collect();
        assert!(missing.is_empty(), "no packet met {missing:?}: {met}");
        assert!(told.unknown.is_empty(), "the agent's own API failed: {:?}", told.unknown.first());
        told.acknowledged.extend(backlog);
        invariants::hold(&self.line, &told);
        Ok(())
    }
}

/// Queues what does not compress well; answers the events' ids.
fn backlog(line: &Line) -> Result<Vec<String>> {
    let (mut app, mut random) = (line.app()?, Random::new(SEED));
    let ids: Vec<String> = (0..BACKLOG).map(|number| format!("backlog-{number}")).collect();
    for id in &ids {
        let noise: String = (0..50).map(|_| format!("{:016x}", random.number())).collect();
        let attributes = json!({"id": id, "noise": noise});
        let event = json!({"app": "EMS", "kind": "run", "count": 1, "attributes": attributes});
        let answer = app.post("/api/v1/telemetry/events", event.to_string().as_bytes())?;
        ensure!(answer.status == 202, "{}: {}", answer.status, answer.text());
    }
    Ok(ids)
}

/// Until so many events were sent.
fn sent_more_than(sent: &AtomicU64, events: u64) -> Result<()> {
    until(LIMIT, "the callers to go on", || Ok((sent.load(Ordering::Relaxed) >= events).then_some(())))
}

/// Until all that is queued has passed the line, bad as it is.
fn passes(line: &Line, sent: &AtomicU64) -> Result<()> {
    sent_more_than(sent, EVENTS)?;
    line.drained()
}

const MESS: [&str; 3] = ["lost", "duplicated", "reordered"];

fn bad() -> Value {
    json!({"loss": 0.03, "duplicate": 0.03, "reorder": 0.05, "delay": 20, "jitter": 20})
}

#[test]
fn lost_repeated_late_reordered_messages_over_quic() {
    in_own_network("network::lost_repeated_late_reordered_messages_over_quic", || {
        World::new("quic", &[("CARRIER", "quic")])?.suffers(&MESS, |network, line, sent| {
            network.has(&bad())?;
            passes(line, sent)
        })
    })
    .unwrap();
}

#[test]
fn lost_repeated_late_reordered_messages_over_https() {
    in_own_network("network::lost_repeated_late_reordered_messages_over_https", || {
        World::new("https", &[("CARRIER", "https")])?.suffers(&MESS, |network, line, sent| {
            network.has(&bad())?;
            passes(line, sent)
        })
    })
    .unwrap();
}

/// UDP blocked by a firewall on the way: HTTPS carries what there is, and QUIC is taken up again when it gets through.
#[test]
fn udp_blocked() {
    in_own_network("network::udp_blocked", || {
        let mut world = World::new("quic", &[("QUIC_RETRY_SECONDS", "1")])?;
        let over = |line: &Line, carrier: &str| {
            until(LIMIT, &format!("a session over {carrier}"), || {
                let sync = line.agent.status()?["sync"].clone();
                Ok((sync["connected"] == true && sync["carrier"] == carrier).then_some(()))
            })
        };
        world.suffers(&["blocked"], |network, line, sent| {
            network.has(&json!({"block_udp": true}))?;
            over(line, "https")?;
            passes(line, sent)?;
            network.has(&json!({}))?;
            over(line, "quic")
        })
    })
    .unwrap();
}

/// A line that is cut again and again, longer than either end waits.
#[test]
fn cut_lines() {
    in_own_network("network::cut_lines", || {
        World::new("quic", &[])?.suffers(&["blocked"], |network, line, sent| {
            network.has(&json!({}))?;
            for cut in 1..=2 {
                sent_more_than(sent, cut * EVENTS / 4)?;
                network.has(&json!({"cut": true}))?;
                until(LIMIT, "the cut to be noticed", || {
                    Ok((line.agent.status()?["sync"]["connected"] == false).then_some(()))
                })?;
                network.has(&json!({}))?;
                until(
                    LIMIT,
                    "a new session",
                    || Ok((line.agent.status()?["sync"]["connected"] == true).then_some(())),
                )?;
            }
            Ok(())
        })
    })
    .unwrap();
}

/// A line that carries no packet larger than the smallest that QUIC needs, and tells nobody.
#[test]
fn small_mtu_over_quic() {
    in_own_network("network::small_mtu_over_quic", || {
        World::new("quic", &[("CARRIER", "quic")])?.suffers(&["too_large"], |network, line, sent| {
            network.has(&json!({"mtu": 1_280}))?;
            passes(line, sent)
        })
    })
    .unwrap();
}

/// The same for TCP, where the line says so, as routers do.
#[test]
fn small_mtu_over_https() {
    in_own_network("network::small_mtu_over_https", || {
        World::new("https", &[("CARRIER", "https")])?.suffers(&["too_large"], |network, line, sent| {
            // A new address ends the old connection, whose end of TCP has learnt from the cut to send small packets.
            network.has(&json!({"mtu": 1_280, "tell_mtu": true, "plant_address": "10.77.0.15"}))?;
            passes(line, sent)
        })
    })
    .unwrap();
}

/// A line too narrow for QUIC altogether, which TCP gets through: HTTPS is fallen back to.
#[test]
fn an_mtu_below_what_quic_needs() {
    in_own_network("network::an_mtu_below_what_quic_needs", || {
        World::new("quic", &[])?.suffers(&["too_large"], |network, line, sent| {
            network.has(&json!({"mtu": 1_000, "tell_mtu": true}))?;
            passes(line, sent)
        })
    })
    .unwrap();
}

/// The plant's address changes under a session, as behind a NAT that forgets: QUIC goes on without a new session, HTTPS
/// begins one.
#[test]
fn changed_address() {
    in_own_network("network::changed_address", || {
        let mut world = World::new("quic", &[])?;
        let failures = |line: &Line| -> Result<usize> {
            Ok(line.agent.client()?.get("/metrics")?.text().matches("sync_failures_total{").count())
        };
        let before = failures(&world.line)?;
        world.suffers(&["passed"], |network, line, sent| {
            network.has(&json!({}))?;
            sent_more_than(sent, EVENTS / 4)?;
            network.has(&json!({"plant_address": "10.77.0.9"}))?;
            sent_more_than(sent, EVENTS / 2)?;
            network.has(&json!({"plant_address": "10.77.0.11"}))?;
            passes(line, sent)?;
            assert_eq!(failures(line)?, before, "the session did not outlive the change of address");
            Ok(())
        })?;
        world.line.agent.stop()?;
        world.line.agent.set("SITEWARDEN_AGENT_SYNC__CARRIER", "https");
        world.line.agent.start()?;
        world.goes_over("https")?;
        world.network.has(&json!({"plant_address": "10.77.0.13"}))?;
        let mut app = world.line.app()?;
        let event = br#"{"app": "EMS", "kind": "run", "count": 1, "attributes": {"id": "after"}}"#;
        assert_eq!(app.post("/api/v1/telemetry/events", event)?.status, 202);
        world.line.drained()
    })
    .unwrap();
}

/// A network card that cuts packets wrongly is got along with by a setting: everything arrives without it.
#[test]
fn segmentation_offload_switched_off() {
    in_own_network("network::segmentation_offload_switched_off", || {
        let settings = [("CARRIER", "quic"), ("SEGMENTATION_OFFLOAD", "false")];
        World::new("quic", &settings)?.suffers(&["passed"], |network, line, sent| {
            network.has(&json!({}))?;
            passes(line, sent)
        })
    })
    .unwrap();
}
