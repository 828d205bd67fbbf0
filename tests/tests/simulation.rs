//! The state machines of agent and hub under every fault, thousands of times; see `sitewarden_tests::simulation`.
//!
//! `SITEWARDEN_SEEDS` sets how many seeds are tried, `SITEWARDEN_SEED` runs that one alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where what it relies on is not so, and says what it met"
)]

use sitewarden_tests::simulation::invariants::Broken;
use sitewarden_tests::simulation::{Mutation, Summary, run, run_aloud};
use std::env;

/// As many as take about a minute unoptimised on one core.
const SEEDS: u64 = 10_000;
/// Seeds within which every defect put in on purpose must be found.
const MUTATION_SEEDS: u64 = 2_500;

#[test]
fn the_six_invariants_hold_under_every_fault() {
    let replayed = number("SITEWARDEN_SEED");
    let seeds = match replayed {
        Some(seed) => seed..seed + 1,
        None => 0..number("SITEWARDEN_SEEDS").unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    let mut total = Summary::default();
    for seed in seeds {
        match if replayed.is_some() { run_aloud(seed) } else { run(seed, Mutation::None) } {
            Ok(summary) => add(&mut total, &summary),
            Err(broken) => panic!("seed {seed}: {broken}\nreplay it with: {}", replay(seed)),
        }
    }
    println!("{count} seeds held: {total:?}");
    // A run that meets no fault shows nothing, so the sum must.
    if count >= 100 {
        let met = [
            total.clock_moves,
            total.corrected_back,
            total.agent_kills,
            total.hub_kills,
            total.epochs,
            total.restores,
            total.batches,
            total.stored,
            total.forks,
            total.cleared,
            total.carried,
        ];
        assert!(met.iter().all(|times| *times > 0) && total.declared_lost > 0, "a fault never happened: {total:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        let events = |outcome: Result<Summary, Broken>| outcome.map(|summary| summary.events);
        assert_eq!(events(run(seed, Mutation::None)), events(run(seed, Mutation::None)), "seed {seed}");
    }
}

#[test]
fn a_hub_that_sends_receipts_before_it_commits_is_caught() {
    caught(Mutation::ReceiptBeforeCommit, 1);
}

#[test]
fn a_hub_that_stores_repeats_is_caught() {
    caught(Mutation::StoresRepeats, 2);
}

#[test]
fn a_hub_that_ignores_gaps_is_caught() {
    caught(Mutation::IgnoresGaps, 1);
}

#[test]
fn a_hub_that_forgets_what_was_declared_lost_is_caught() {
    caught(Mutation::ForgetsLosses, 3);
    caught(Mutation::ForgetsLosses, 1);
}

#[test]
fn a_hub_that_stays_busy_is_caught() {
    caught(Mutation::StaysBusy, 5);
}

#[test]
fn a_journal_without_a_quota_is_caught() {
    caught(Mutation::GrowsForEver, 4);
}

#[test]
fn an_agent_that_answers_before_its_disk_is_caught() {
    caught(Mutation::AnswersBeforeSync, 1);
}

#[test]
fn an_agent_that_sends_what_is_not_on_disk_is_caught() {
    caught(Mutation::SendsBeforeSync, 0);
}

#[test]
fn a_journal_that_lets_go_of_what_was_only_sent_is_caught() {
    caught(Mutation::LetsGoOfSent, 1);
}

#[test]
fn an_agent_that_judges_by_the_wall_clock_is_caught() {
    caught(Mutation::BelievesTheWall, 8);
}

#[test]
fn an_agent_that_does_not_take_the_hubs_time_is_caught() {
    caught(Mutation::IgnoresTheHubsTime, 8);
}

#[test]
fn an_agent_that_takes_receipts_for_another_history_is_caught() {
    caught(Mutation::BelievesForeignReceipts, 1);
}

#[test]
fn a_journal_that_forgets_what_came_since_a_roll_back_is_caught() {
    caught(Mutation::ForgetsSinceTheFork, 1);
}

#[test]
fn an_administrator_who_never_looks_is_noticed() {
    caught(Mutation::NeverClears, 5);
}

#[test]
fn an_agent_that_believes_every_bundle_is_caught() {
    caught(Mutation::BelievesEveryBundle, 1);
}

/// Runs seeds with a defect until the named invariant sees it; 0 stands for "the agent takes itself for a clone".
fn caught(mutation: Mutation, by: u8) {
    let sees = |seed: &u64| run(*seed, mutation).is_err_and(|broken| broken.invariant == by);
    let seed = (0..MUTATION_SEEDS).find(sees);
    let seed = seed.unwrap_or_else(|| panic!("{mutation:?} went unseen by invariant {by} in {MUTATION_SEEDS} runs"));
    println!("{mutation:?}: caught by invariant {by} in seed {seed}");
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

fn replay(seed: u64) -> String {
    format!("SITEWARDEN_SEED={seed} cargo test -p sitewarden-tests --test simulation the_six_invariants -- --nocapture")
}

fn add(total: &mut Summary, one: &Summary) {
    total.events += one.events;
    total.agent_kills += one.agent_kills;
    total.hub_kills += one.hub_kills;
    total.epochs += one.epochs;
    total.restores += one.restores;
    total.batches += one.batches;
    total.stored += one.stored;
    total.declared_lost += one.declared_lost;
    total.clock_moves += one.clock_moves;
    total.corrected_back += one.corrected_back;
    total.forks += one.forks;
    total.cleared += one.cleared;
    total.carried += one.carried;
}
