//! A backlog drains in a file, beside what the disk does with the same bytes and what the line does with as many records.

use super::memory;
use super::table::{Row, Table, Target};
use anyhow::{Context, Result, ensure};
use sitewarden_tests::harness::Line;
use std::fs::{self, File};
use std::io;
use std::time::Instant;

const BACKLOG: &str = "sitewarden_agent_journal_backlog";
const CARRIER: &str = "SITEWARDEN_AGENT_SYNC__CARRIER";

/// As much again is queued, exported, imported at the hub, and confirmed by the reply; `quic` is what the line took a second.
pub(crate) fn in_a_file(line: &mut Line, records: u64, quic: f64, table: &mut Table) -> Result<()> {
    line.agent.stop()?;
    line.agent.set(CARRIER, "none");
    line.agent.start()?;
    memory::fill(line, records)?;
    let queued = line.agent.metric(BACKLOG)?;
    let path = |name: &str| line.agent.folder().with_extension(name);
    let (report, copy, reply) = (path("swb"), path("copy"), path("reply"));
    let text = |path: &std::path::Path| path.to_str().map(str::to_owned).context("a path in UTF-8");
    let begun = Instant::now();
    line.agent.command(&["bundle", "export", &text(&report)?])?;
    let exported = queued / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let (mut from, mut to) = (File::open(&report)?, File::create(&copy)?);
    let bytes = io::copy(&mut from, &mut to)?;
    to.sync_all()?;
    let bare = queued / begun.elapsed().as_secs_f64();
    table.add(Row {
        what: format!("export of {queued} records into a bundle of {} MiB", bytes >> 20),
        figure: (exported, "/s"),
        yardstick: Some((bare, "/s, bare copy of the file")),
        target: Target::None,
    });
    let begun = Instant::now();
    line.hub.command(&["bundle", "import", &text(&report)?, "--reply", &text(&reply)?])?;
    let imported = queued / begun.elapsed().as_secs_f64();
    table.add(Row {
        what: format!("import of {queued} records from a bundle"),
        figure: (imported, "/s"),
        yardstick: Some((quic, "/s over QUIC")),
        target: Target::None,
    });
    line.agent.command(&["bundle", "import", &text(&reply)?])?;
    ensure!(line.agent.metric(BACKLOG)? < queued, "the reply confirmed nothing");
    for file in [report, copy, reply] {
        fs::remove_file(file)?;
    }
    Ok(())
}
