//! `make bench`: what the line does, each figure beside its yardstick from the same run.
//!
//! `SITEWARDEN_BENCH_RECORDS` sets how many records are queued for the backlog and the drain (1,000,000).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod bare;
mod crowd;
mod disk;
mod drain;
mod events;
mod load;
mod memory;
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

fn run() -> Result<()> {
    let records = env::var("SITEWARDEN_BENCH_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
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
    drain::measure(&mut line, &mut table)?;
    println!("\n{table}");
    let missed = table.missed();
    ensure!(missed.is_empty(), "targets missed: {}", missed.join("; "));
    Ok(())
}
