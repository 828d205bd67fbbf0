//! Trusted time over a real session: an agent in this process whose clock the test turns, and a real hub that answers
//! with today.

use serde_json::Value;
use sitewarden_agent::clock::{Machine, Source};
use sitewarden_agent::config::Config;
use sitewarden_agent::folder::Folder;
use sitewarden_agent::server::{self, Running};
use sitewarden_protocol::trusted_time::Reading;
use sitewarden_tests::harness::{Line, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const LIMIT: Duration = Duration::from_secs(60);

/// This machine's clocks, with a wall clock that is off by so many milliseconds and as many starts as the test wants.
#[derive(Clone)]
struct Turned {
    machine: Arc<Machine>,
    off: Arc<AtomicI64>,
    boot: Arc<AtomicU8>,
}

impl Source for Turned {
    fn uptime(&self) -> Duration {
        self.machine.uptime()
    }

    fn read(&self) -> Reading {
        let mut reading = self.machine.read();
        reading.wall.0 += self.off.load(Ordering::Relaxed);
        reading.boot = [self.boot.load(Ordering::Relaxed); 16];
        reading
    }
}

/// A line whose agent runs in this process, under a licence of ten days.
struct Plant {
    line: Line,
    clock: Turned,
    runtime: Runtime,
    running: Option<Running>,
}

impl Plant {
    fn new() -> Self {
        let mut line = Line::new(3).unwrap();
        let issue = ["license", "issue", "--site", &line.site, "--app", "CBM", "--quota", "2", "--validity", "10d"];
        let issued = line.hub.command(&[&issue[..], &["--name", "L2"]].concat()).unwrap().json().unwrap();
        until(LIMIT, "the licence to be activated", || {
            let answer = line.agent.try_command(&["activate", issued["key"].as_str().unwrap()])?;
            Ok((answer.code == Some(0)).then_some(()))
        })
        .unwrap();
        line.drained().unwrap();
        line.agent.stop().unwrap();
        let clock = Turned { machine: Arc::new(Machine::new()), off: Arc::default(), boot: Arc::default() };
        Self { line, clock, runtime: Runtime::new().unwrap(), running: None }
    }

    /// Starts the agent with a clock that is off by so much, after a start of the machine.
    fn start(&mut self, off: i64) {
        self.clock.boot.fetch_add(1, Ordering::Relaxed);
        self.turn(off);
        let mut config = Config::default();
        config.http.set_port(0);
        config.sync.retry_max_seconds = 1;
        let folder = Folder::at(self.line.agent.folder());
        let started = until(LIMIT, "the agent to start", || {
            // sled lets go of its files a moment after the journal before was closed.
            let source = Box::new(self.clock.clone());
            match self.runtime.block_on(server::start(&folder, &config, source)) {
                Err(server::Error::Journal(_)) => Ok(None),
                started => Ok(Some(started?)),
            }
        });
        self.running = Some(started.unwrap());
    }

    fn stop(&mut self) {
        self.runtime.block_on(self.running.take().unwrap().stop());
    }

    fn turn(&self, off: i64) {
        self.clock.off.store(off, Ordering::Relaxed);
    }

    fn verdict(&self) -> String {
        let told = self.line.agent.command(&["explain", "CBM", "--json"]).unwrap().json().unwrap();
        told["verdict"].as_str().unwrap().to_owned()
    }

    fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) {
        until(LIMIT, what, || Ok(condition(&self.line.agent.status()?).then_some(()))).unwrap();
    }

    fn paced(&self, pace: &str) {
        self.until(pace, |status| status["clock"]["pace"] == pace);
    }

    /// The hub is told just these changes of the clock, in this order.
    fn told(&self, expected: &[&str]) {
        let words = ["record", "list", "--agent", &self.line.agent_id, "--kind", "clock", "--all", "--oldest-first"];
        let causes = || {
            let records = self.line.hub.command(&words)?.list()?;
            let causes = records.iter().map(|record| record["body"]["cause"].as_str().unwrap_or("none").to_owned());
            anyhow::Ok(causes.collect::<Vec<_>>())
        };
        until(LIMIT, "the changes at the hub", || Ok((causes()?.len() >= expected.len()).then_some(()))).unwrap();
        self.line.drained().unwrap();
        assert_eq!(causes().unwrap(), expected);
    }
}

#[test]
fn a_clock_that_was_ahead_at_a_start_burns_nothing_once_the_hub_is_heard() {
    let mut plant = Plant::new();
    plant.line.hub.stop().unwrap();
    plant.start(20 * DAY);
    assert_eq!(plant.verdict(), "denied", "the machine may have been off for twenty days");
    plant.line.hub.start().unwrap();
    plant.until("the hub's correction", |status| status["clock"]["offset_seconds"].as_i64() > Some(19 * 86_400));
    assert_eq!(plant.verdict(), "allowed");
    plant.paced("ahead");
    plant.turn(0);
    plant.paced("steady");
    plant.told(&["corrected_back", "settled"]);
    assert_eq!(plant.verdict(), "allowed");
    plant.stop();
    plant.start(0);
    assert_eq!(plant.verdict(), "allowed", "nor after a restart");
    plant.stop();
    let licenses = plant.line.hub.command(&["license", "list", "--site", &plant.line.site]).unwrap().list().unwrap();
    assert!(licenses.iter().all(|license| license["status"] != "Expired"), "{licenses:?}");
}

#[test]
fn a_clock_moved_back_far_forward_and_back_again_is_told_and_changes_no_decision() {
    let mut plant = Plant::new();
    plant.start(0);
    plant.paced("steady");
    for (off, pace) in [(-2 * HOUR, "behind"), (0, "steady"), (1_000 * DAY, "ahead"), (0, "steady")] {
        plant.turn(off);
        plant.paced(pace);
        assert_eq!(plant.verdict(), "allowed", "{pace}");
    }
    plant.told(&["stepped_back", "settled", "stepped_forward", "settled"]);
    plant.stop();
}
