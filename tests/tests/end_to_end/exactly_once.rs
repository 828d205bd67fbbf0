//! Every acknowledged event is at the hub once, however often either process is killed in the middle of it.

use super::callers::{Told, send};
use sitewarden_tests::harness::{Line, until};
use sitewarden_tests::simulation::random::Random;
use std::collections::BTreeMap;
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
    line.drained().unwrap();
    compare(&told, &line.ids_at_hub().unwrap());
    let (acknowledged, unknown) = (told.acknowledged.len(), told.unknown.len());
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

fn compare(told: &Told, at_hub: &BTreeMap<String, u32>) {
    let twice: Vec<_> = at_hub.iter().filter(|(_, times)| **times > 1).take(5).collect();
    assert!(twice.is_empty(), "stored more than once: {twice:?}");
    let missing: Vec<_> = told.acknowledged.iter().filter(|id| !at_hub.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{} acknowledged and not at the hub, such as {:?}", missing.len(), missing.first());
    let known = |id: &String| told.acknowledged.contains(id) || told.unknown.contains(id);
    let strange: Vec<_> = at_hub.keys().filter(|id| !known(id)).take(5).collect();
    assert!(strange.is_empty(), "at the hub and never sent: {strange:?}");
    assert!(
        told.acknowledged.len() as u64 > EVENTS / 2,
        "most calls failed: {} of {EVENTS} went well",
        told.acknowledged.len()
    );
}

fn seed() -> u64 {
    let set = env::var("SITEWARDEN_SEED").ok().and_then(|text| text.parse().ok());
    let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos()));
    set.unwrap_or_else(now)
}
