//! Suspend and resume: a machine that slept looks at the time again and redials, and what had waited arrives.

use super::callers::{send, send_as};
use super::control::{add_people, admin, get};
use super::invariants;
use anyhow::{Result, ensure};
use rustix::process::Signal;
use sitewarden_tests::harness::{Line, until};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn suspend_and_resume() -> Result<()> {
    let mut line = Line::new(5)?;
    let address = line.agent.http()?;
    let mut told = send(address, 2, 200, 1, &AtomicU64::new(0));
    line.drained()?;
    line.agent.signal(Signal::STOP)?;
    // The world goes on meanwhile: of the session that the agent believes in nothing is left.
    line.hub.kill();
    line.hub.start()?;
    line.agent.signal(Signal::CONT)?;
    told.and(send_as("later-", address, 2, 200, 2, &AtomicU64::new(0)));
    until(LIMIT, "a session again", || Ok((line.agent.status()?["sync"]["connected"] == true).then_some(())))?;
    invariants::hold(&line, &told);
    ensure!(line.agent.status()?["clock"]["warning"].is_null(), "a pause is no fault of the clock");
    Ok(())
}

/// The hub's process stands and does nothing, so its connections do too.
#[test]
fn stuck_but_healthy() -> Result<()> {
    let line = Line::new(5)?;
    add_people(&line);
    let mut admin = admin(&line);
    let mut health = || get(&mut admin, "/health")["status"].as_str().map(str::to_owned);
    let mut told = send(line.agent.http()?, 2, 100, 1, &AtomicU64::new(0));
    line.drained()?;
    until(LIMIT, "health", || Ok((health().as_deref() == Some("healthy")).then_some(())))?;
    line.hub.signal(Signal::STOP)?;
    told.and(send_as("waits-", line.agent.http()?, 2, 100, 2, &AtomicU64::new(0)));
    let age = || line.agent.metric("sitewarden_agent_journal_oldest_unacknowledged_seconds");
    until(LIMIT, "the oldest that waits to age", || Ok((age()? >= 3.0).then_some(())))?;
    ensure!(line.agent.backlog()? >= 100, "what was acknowledged waits");
    until(LIMIT, "nobody to call that healthy", || Ok((health().as_deref() == Some("unhealthy")).then_some(())))?;
    line.hub.signal(Signal::CONT)?;
    until(LIMIT, "health again", || Ok((health().as_deref() == Some("healthy")).then_some(())))?;
    invariants::hold(&line, &told);
    until(LIMIT, "nothing to be old", || Ok((age()? < 3.0).then_some(())))?;
    Ok(())
}
