//! A second plant, with many licences and many monitors, and reservations made durable there.

use super::disk;
use super::load::{self, Load};
use super::table::{Row, Table, Target};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use sitewarden_tests::harness::{Line, call, until};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const LICENSES: usize = 50;
const MONITORS: usize = 10_000;
/// As many as the agent takes in one request.
const AT_ONCE: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(30);
const SPAN: Duration = Duration::from_secs(5);
const CLIENTS: usize = 64;
const SYNCS: &str = "sitewarden_agent_journal_syncs_total";
/// The target at 64 clients.
const PER_SYNC: f64 = 20.0;

/// A plant with fifty licences in force, and ten thousand monitors of EMS reserved.
pub(crate) fn line() -> Result<Line> {
    let line = Line::new(1_000_000)?;
    line.agent.command(&["activate", &line.key])?;
    let (hub, agent) = (line.hub.folder().join("run/admin.sock"), line.agent.folder().join("run/agent.sock"));
    for number in 2..=LICENSES {
        let new = json!({"site": line.site, "app": format!("APP{number}"), "name": format!("L{number}"), "quota": 100,
            "validity": "1y"});
        let issued = call(&hub, "POST", "/api/v1/admin/licenses", Some(&new))?;
        let activate = json!({"key": issued["license_key"], "replace": false});
        until(LIMIT, "a licence to reach the plant", || {
            Ok(call(&agent, "POST", "/agent/v1/activate", Some(&activate)).ok())
        })?;
    }
    let mut app = line.app()?;
    for first in (0..MONITORS).step_by(AT_ONCE) {
        let monitors: Vec<_> = (first..first + AT_ONCE).map(|number| format!("pump-{number}")).collect();
        let answer =
            app.post("/_config/monitors/_bulk", json!({"app": "EMS", "monitors": monitors}).to_string().as_bytes())?;
        ensure!(answer.status == 200, "reserving was answered {}: {}", answer.status, answer.text());
    }
    line.drained()?;
    let status = line.agent.status()?;
    let active = |license: &&serde_json::Value| license["status"] == "Active";
    let licenses = status["licenses"].as_array().context("no licences")?.iter().filter(active).count();
    ensure!(licenses == LICENSES, "{licenses} licences are Active: {status}");
    Ok(line)
}

/// Reservations acknowledged on disk, each of a monitor of its own, with the hub stopped.
pub(crate) fn reservations(line: &mut Line, table: &mut Table) -> Result<()> {
    line.hub.stop()?;
    let yardstick = disk::synced_appends(line.agent.folder())?;
    let (number, before) = (AtomicU64::new(0), line.agent.metric(SYNCS)?);
    let Load { rate, p99, answers } = load::run(
        CLIENTS,
        SPAN,
        200,
        || line.app(),
        |client| {
            let number = number.fetch_add(1, Ordering::Relaxed);
            client.put(&format!("/_config/monitors/fan-{number}?app=EMS"))
        },
    )?;
    // The clients' first requests were not timed, but synced.
    let per_sync = (answers + CLIENTS as u64) as f64 / (line.agent.metric(SYNCS)? - before);
    let mut add =
        |what: &str, figure, yardstick, target| table.add(Row { what: what.into(), figure, yardstick, target });
    let appends = Some((yardstick, "synced appends/s of the disk"));
    add("monitors reserved, 64 clients", (rate, "/s"), appends, Target::None);
    add("  p99 of an answer", (p99, "ms"), None, Target::None);
    add("  reservations a disk sync", (per_sync, ""), None, Target::AtLeast(PER_SYNC));
    Ok(())
}
