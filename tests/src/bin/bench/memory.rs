//! The agent's resident memory, idle and with a long backlog, and how fast that backlog opens.

use super::table::{Row, Table, Target};
use anyhow::{Context, Result, ensure};
use sitewarden_tests::harness::{Line, until};
use std::thread;
use std::time::{Duration, Instant};

const MIB: f64 = 1_048_576.0;
/// Events in one request, as many as the agent takes.
const AT_ONCE: u64 = 1_000;
const FILLERS: u64 = 4;

pub(crate) fn idle(line: &Line, table: &mut Table) -> Result<()> {
    until(Duration::from_secs(30), "a session", || {
        Ok((line.agent.status()?["sync"]["connected"] == true && line.agent.backlog()? == 0).then_some(()))
    })?;
    resident(line, "agent's resident memory, idle", 25.0, table)
}

/// Three months without a hub: memory with a tenth of the backlog, with all of it, after a kill, and while it drains.
pub(crate) fn backlog(records: u64, table: &mut Table) -> Result<()> {
    let mut line = Line::new(1)?;
    line.drained()?;
    line.hub.stop()?;
    line.agent.stop()?;
    line.agent.set("SITEWARDEN_AGENT_JOURNAL__QUOTA_MIB", "32768");
    line.agent.start()?;
    let tenth = records / 10;
    fill(&line, tenth)?;
    resident(&line, &format!("agent's resident memory, {tenth} queued"), 64.0, table)?;
    with_backlog(&mut line, records, table)?;
    line.hub.start()?;
    let (begun, mut most) = (Instant::now(), 0);
    until(Duration::from_secs(1_800), "the backlog to drain", || {
        most = most.max(line.agent.resident()?);
        Ok((line.agent.backlog()? == 0).then_some(()))
    })?;
    let what = format!("  most resident memory while they drain, in {:.0} s", begun.elapsed().as_secs_f64());
    table.add(Row { what, figure: (most as f64 / MIB, "MiB"), yardstick: None, target: Target::Below(96.0) });
    let hub = line.hub.resident()? as f64 / MIB;
    table.add(Row { what: "  hub's after it".into(), figure: (hub, "MiB"), yardstick: None, target: Target::None });
    Ok(())
}

/// Queues so many records with the hub stopped, kills the agent and opens the journal again.
pub(crate) fn with_backlog(line: &mut Line, records: u64, table: &mut Table) -> Result<()> {
    fill(line, records)?;
    resident(line, &format!("agent's resident memory, {records} queued"), 64.0, table)?;
    line.agent.kill();
    let begun = Instant::now();
    line.agent.start()?;
    let took = begun.elapsed().as_secs_f64();
    let what = format!("open after SIGKILL with {records} queued");
    table.add(Row { what, figure: (took, "s"), yardstick: None, target: Target::Below(2.0) });
    let found = line.agent.backlog()?;
    ensure!(found >= records, "{found} of {records} records were found again");
    resident(line, "  resident memory after it", 64.0, table)
}

fn resident(line: &Line, what: &str, below: f64, table: &mut Table) -> Result<()> {
    let figure = (line.agent.resident()? as f64 / MIB, "MiB");
    table.add(Row { what: what.to_owned(), figure, yardstick: None, target: Target::Below(below) });
    Ok(())
}

/// Queues records until there are so many.
pub(crate) fn fill(line: &Line, records: u64) -> Result<()> {
    let missing = records.saturating_sub(line.agent.backlog()?);
    let share = missing.div_ceil(FILLERS * AT_ONCE);
    thread::scope(|scope| -> Result<()> {
        let fillers: Vec<_> = (0..FILLERS).map(|filler| scope.spawn(move || fill_some(line, filler, share))).collect();
        fillers.into_iter().try_for_each(|filler| filler.join().ok().context("a filler panicked")?)
    })
}

fn fill_some(line: &Line, filler: u64, requests: u64) -> Result<()> {
    let mut app = line.app()?;
    for request in 0..requests {
        let event = |number| {
            format!(
                r#"{{"app": "EMS", "kind": "reading", "environment": "production", "outcome": "success", "attributes": {{"pump": "north-{filler}", "number": {}, "pressure": {}.25}}}}"#,
                request * AT_ONCE + number,
                number % 90
            )
        };
        let events = (0..AT_ONCE).map(event).collect::<Vec<_>>().join(",");
        let answer = app.post("/api/v1/telemetry/events", format!("[{events}]").as_bytes())?;
        ensure!(answer.status == 202, "filling was answered {}: {}", answer.status, answer.text());
    }
    Ok(())
}
