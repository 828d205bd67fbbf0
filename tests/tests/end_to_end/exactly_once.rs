//! Every acknowledged event is at the hub once, however often either process is killed in the middle of it.

use super::callers::{send, send_as};
use super::invariants;
use sitewarden_tests::harness::{Line, until};
use sitewarden_tests::simulation::random::Random;
use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

const EVENTS: u64 = 100_000;
const CALLERS: u64 = 16;
/// Kills of each process, unless `SITEWARDEN_KILLS` says how many.
const KILLS: u64 = 30;
/// How long the callers may take to get from one kill to the next.
const PROGRESS_LIMIT: Duration = Duration::from_secs(180);

#[test]
fn every_acknowledged_event_arrives_once_while_both_processes_are_killed() {
    let seed = seed();
    println!("replay with SITEWARDEN_SEED={seed}");
    let mut line = Line::new(100).unwrap();
    let (address, sent) = (line.agent.http().unwrap(), AtomicU64::new(0));
    let told = thread::scope(|scope| {
        let callers = scope.spawn(|| send(address, CALLERS, EVENTS, seed, &sent));
        kill_now_and_then(&mut line, &sent, seed);
        callers.join().unwrap()
    });
    invariants::hold(&line, &told);
    let (acknowledged, unknown) = (told.acknowledged.len(), told.unknown.len());
    assert!(acknowledged as u64 > EVENTS / 2, "most calls failed: {acknowledged} of {EVENTS} went well");
    println!("{acknowledged} acknowledged, {unknown} unanswered, {} kills of each process", kills(KILLS));
}

/// Kills agent and hub in turn, at random moments spread over the run.
fn kill_now_and_then(line: &mut Line, sent: &AtomicU64, seed: u64) {
    let mut random = Random::new(seed);
    let kills = kills(KILLS);
    let step = EVENTS / (2 * kills + 1);
    for turn in 0..2 * kills {
        let moment = turn * step + random.between(step / 4, step);
        until(PROGRESS_LIMIT, "the callers to go on", || Ok((sent.load(Ordering::Relaxed) >= moment).then_some(())))
            .unwrap();
        if turn % 2 == 0 {
            line.agent.kill();
            line.agent.start().unwrap();
        } else {
            line.hub.kill();
            line.hub.start().unwrap();
        }
    }
}

/// While it opens its store, too: it is killed again before it serves.
#[test]
fn sigkill_of_the_agent_while_it_opens_its_store() {
    let (seed, mut line) = (seed(), Line::new(100).unwrap());
    println!("replay with SITEWARDEN_SEED={seed}");
    let mut random = Random::new(seed);
    let mut told = send_as("first-", line.agent.http().unwrap(), 4, 2_000, seed, &AtomicU64::new(0));
    for round in 0..kills(KILLS) {
        line.agent.kill();
        line.agent.launch().unwrap();
        let moment = Instant::now() + random.millis((0, 150));
        while let Some(left) = moment.checked_duration_since(Instant::now()) {
            thread::park_timeout(left);
        }
        if round % 5 == 4 {
            line.agent.wait().unwrap();
            let (name, sent) = (format!("{round}-"), AtomicU64::new(0));
            told.and(send_as(&name, line.agent.http().unwrap(), 2, 50, seed, &sent));
        }
    }
    line.agent.kill();
    line.agent.start().unwrap();
    invariants::hold(&line, &told);
}

/// How often is killed: as usual, or as the caller wants it.
pub(crate) fn kills(usual: u64) -> u64 {
    env::var("SITEWARDEN_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Another one for each run, unless one is to be replayed.
pub(crate) fn seed() -> u64 {
    let set = env::var("SITEWARDEN_SEED").ok().and_then(|text| text.parse().ok());
    let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos()));
    set.unwrap_or_else(now)
}
