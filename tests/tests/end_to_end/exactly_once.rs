//! Every acknowledged event is at the hub once, however often either process is killed in the middle of it.

use super::callers::send;
use super::invariants;
use sitewarden_tests::harness::{Line, until};
use sitewarden_tests::simulation::random::Random;
use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

const EVENTS: u64 = 100_000;
const CALLERS: u64 = 16;
/// Kills of each process.
const KILLS: u64 = 6;
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
    println!("{acknowledged} acknowledged, {unknown} unanswered, {KILLS} kills of each process");
}

/// Kills agent and hub in turn, at random moments spread over the run.
fn kill_now_and_then(line: &mut Line, sent: &AtomicU64, seed: u64) {
    let mut random = Random::new(seed);
    let step = EVENTS / (2 * KILLS + 1);
    for turn in 0..2 * KILLS {
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

fn seed() -> u64 {
    let set = env::var("SITEWARDEN_SEED").ok().and_then(|text| text.parse().ok());
    let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos()));
    set.unwrap_or_else(now)
}
