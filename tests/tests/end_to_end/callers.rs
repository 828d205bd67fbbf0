//! Concurrent apps that send events with unique ids and remember what they were told.

use sitewarden_tests::harness::{Client, PASSWORD, USER};
use sitewarden_tests::simulation::random::Random;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long an agent may be away before a caller gives up on the test.
const AWAY_LIMIT: Duration = Duration::from_secs(90);

/// What the callers know.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Answered with 202.
    pub(crate) acknowledged: BTreeSet<String>,
    /// The call failed: the event may be there or not.
    pub(crate) unknown: BTreeSet<String>,
}

/// Sends `total` events from `callers` threads; `sent` counts along.
pub(crate) fn send(agent: SocketAddr, callers: u64, total: u64, seed: u64, sent: &AtomicU64) -> Told {
    send_as("", agent, callers, total, seed, sent)
}

/// The same with ids that begin with a name, for those who send more than once.
pub(crate) fn send_as(name: &str, agent: SocketAddr, callers: u64, total: u64, seed: u64, sent: &AtomicU64) -> Told {
    let told = Mutex::new(Told::default());
    thread::scope(|scope| {
        for caller in 0..callers {
            let share = total / callers + u64::from(caller < total % callers);
            let told = &told;
            scope.spawn(move || {
                one(agent, &format!("{name}{caller}"), share, Random::new(seed ^ (caller + 1)), sent, told)
            });
        }
    });
    told.into_inner().unwrap()
}

fn one(agent: SocketAddr, caller: &str, share: u64, mut random: Random, sent: &AtomicU64, told: &Mutex<Told>) {
    let mut client = Client::new(agent).basic(USER, PASSWORD);
    let mut next = 0;
    while next < share {
        // Mostly single events, some in small batches.
        let count = if random.chance(300) { random.between(2, 8).min(share - next) } else { 1 };
        let ids: Vec<String> = (next..next + count).map(|number| format!("{caller}-{number}")).collect();
        next += count;
        let answer = client.post("/api/v1/telemetry/events", body(&ids).as_bytes());
        sent.fetch_add(count, Ordering::Relaxed);
        let failed = match answer {
            Ok(answer) if answer.status == 202 => {
                told.lock().unwrap().acknowledged.extend(ids);
                continue;
            }
            Ok(answer) if answer.status == 503 => false,
            Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
            Err(_) => true,
        };
        told.lock().unwrap().unknown.extend(ids);
        if failed {
            wait_for(&mut client);
        }
    }
}

impl Told {
    /// And what these callers know.
    pub(crate) fn and(&mut self, more: Self) {
        self.acknowledged.extend(more.acknowledged);
        self.unknown.extend(more.unknown);
    }
}

fn wait_for(client: &mut Client) {
    let begun = Instant::now();
    while client.get("/healthz").is_err() {
        assert!(begun.elapsed() < AWAY_LIMIT, "the agent did not come back");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Events with these ids, as a request's body.
pub(crate) fn body(ids: &[String]) -> String {
    let event = |id: &String| format!(r#"{{"app": "EMS", "kind": "run", "count": 1, "attributes": {{"id": "{id}"}}}}"#);
    match ids {
        [one] => event(one),
        many => format!("[{}]", many.iter().map(event).collect::<Vec<_>>().join(",")),
    }
}
