//! Events acknowledged on disk, with the hub stopped so that only the journal is measured.

use super::disk;
use super::load::{self, Load};
use super::table::{Row, Table, Target};
use anyhow::Result;
use sitewarden_tests::harness::Line;
use std::time::Duration;

const SPAN: Duration = Duration::from_secs(5);
const EVENT: &[u8] = br#"{"app": "EMS", "kind": "reading", "environment": "production", "outcome": "success", "count": 1, "attributes": {"pump": "north-7", "pressure": 4.25, "temperature": 61.5, "shift": 2}}"#;
const SYNCS: &str = "sitewarden_agent_journal_syncs_total";
/// The issue's target at 64 clients.
const PER_SYNC: f64 = 20.0;

pub(crate) fn measure(line: &Line, table: &mut Table) -> Result<()> {
    let yardstick = disk::synced_appends(line.agent.folder())?;
    for clients in [1, 16, 64] {
        let syncs = line.agent.metric(SYNCS)?;
        let Load { rate, p99, answers } =
            load::run(clients, SPAN, 202, || line.app(), |client| client.post("/api/v1/telemetry/events", EVENT))?;
        // The clients' first requests were not timed, but synced.
        let per_sync = (answers + clients as u64) as f64 / (line.agent.metric(SYNCS)? - syncs);
        let target = if clients == 64 { Target::AtLeast(PER_SYNC) } else { Target::None };
        table.add(Row {
            what: format!("events acknowledged, {clients} clients"),
            figure: (rate, "/s"),
            yardstick: Some((yardstick, "synced appends/s of the disk")),
            target: Target::None,
        });
        table.add(Row {
            what: "  p99 of an answer".into(),
            figure: (p99, "ms"),
            yardstick: None,
            target: Target::None,
        });
        table.add(Row { what: "  events a disk sync".into(), figure: (per_sync, ""), yardstick: None, target });
    }
    Ok(())
}
