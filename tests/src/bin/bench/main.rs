//! `make bench`: what the line does, each figure beside its yardstick from the same run.
//!
//! `SITEWARDEN_BENCH_RECORDS` sets how many records are queued for the backlog and the drain and stored for the series
//! (1,000,000), `SITEWARDEN_BENCH_AGENTS` how many agents are idle on one hub (2,000). A word limits the run: `drain`, `fleet`,
//! `licenses` or `series`; `backlog` is a long one of its own, with 10,000,000 records. `SITEWARDEN_BENCH_LICENSES` sets how
//! many licences there are for its lists (100,000).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod bare;
mod carried;
mod crowd;
mod disk;
mod drain;
mod events;
mod fleet;
mod licenses;
mod load;
mod memory;
mod peer;
mod series;
mod table;
mod verify;

use anyhow::{Result, ensure};
use sitewarden_tests::harness::Line;
use std::env;
use std::process::ExitCode;
use table::Table;

fn main() -> ExitCode {
    let done = match env::args().nth(1).as_deref() {
        Some(bare::WORD) => bare::serve(),
        Some("backlog") => alone(|table| memory::backlog(given().unwrap_or(10_000_000), table)),
        Some("drain") => alone(drains),
        Some("fleet") => alone(fleet::measure),
        Some("licenses") => alone(licenses::measure),
        Some("series") => alone(|table| series::measure(records(), table)),
        _ => run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One part, for those who work on it.
fn alone(part: impl FnOnce(&mut Table) -> Result<()>) -> Result<()> {
    let mut table = Table::default();
    part(&mut table)?;
    finish(&table)
}

/// The drains over the carriers, on a line of their own.
fn drains(table: &mut Table) -> Result<()> {
    let mut line = Line::new(1)?;
    line.drained()?;
    line.hub.stop()?;
    memory::fill(&line, records())?;
    drain::over_all(&mut line, records(), table)
}

fn records() -> u64 {
    given().unwrap_or(1_000_000)
}

fn given() -> Option<u64> {
    env::var("SITEWARDEN_BENCH_RECORDS").ok()?.parse().ok()
}

fn finish(table: &Table) -> Result<()> {
    println!("\n{table}");
    let missed = table.missed();
    ensure!(missed.is_empty(), "targets missed: {}", missed.join("; "));
    Ok(())
}

fn run() -> Result<()> {
    let records = records();
    let mut table = Table::default();
    let mut line = Line::new(1_000_000)?;
    line.agent.command(&["activate", &line.key])?;
    memory::idle(&line, &mut table)?;
    let mut crowd = crowd::line()?;
    verify::measure(&line, &crowd, &mut table)?;
    crowd::reservations(&mut crowd, &mut table)?;
    drop(crowd);
    line.hub.stop()?;
    events::measure(&line, &mut table)?;
    memory::with_backlog(&mut line, records, &mut table)?;
    drain::over_all(&mut line, records, &mut table)?;
    drop(line);
    licenses::measure(&mut table)?;
    series::measure(records, &mut table)?;
    fleet::measure(&mut table)?;
    finish(&table)
}
