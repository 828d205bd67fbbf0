//! Suspend and resume: a machine that slept looks at the time again and redials, and what had waited arrives.

use super::callers::{send, send_as};
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
