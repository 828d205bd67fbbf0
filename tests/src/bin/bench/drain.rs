//! A backlog drains to the hub, beside bare rusqlite that inserts the very same rows.
//!
//! The yardstick has the hub's own schema with its indexes, WAL and `synchronous=FULL`. It does nothing else: no line,
//! no signatures, no roll-ups. Reading the rows is not counted. How many batches the hub puts into a transaction
//! depends on what waits, so the yardstick is tried with small and with the largest transactions, and the faster counts.

use super::table::{Row, Table, Target};
use super::{carried, memory};
use anyhow::{Context, Result};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use sitewarden_protocol::batch::MAX_RECORDS;
use sitewarden_protocol::sync::WINDOW;
use sitewarden_tests::harness::{Line, until};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const BACKLOG: &str = "sitewarden_agent_journal_backlog";
const CARRIER: &str = "SITEWARDEN_AGENT_SYNC__CARRIER";
const LIMIT: Duration = Duration::from_secs(600);
/// A thousand rows, and a full window of full batches.
const TRANSACTIONS: [usize; 2] = [1_000, WINDOW * MAX_RECORDS as usize];
/// The target.
const SHARE: f64 = 0.4;

/// What is queued drains over QUIC; as much again then drains over HTTPS, and once more in a file, beside it.
pub(crate) fn over_all(line: &mut Line, records: u64, table: &mut Table) -> Result<()> {
    line.agent.stop()?;
    line.agent.set(CARRIER, "quic");
    line.agent.start()?;
    let (queued, quic) = drain(line)?;
    let mut yardstick: f64 = 0.0;
    for rows in TRANSACTIONS {
        yardstick = yardstick.max(bare(line.hub.folder(), rows)?);
    }
    table.add(Row {
        what: format!("drain of {queued} records over QUIC"),
        figure: (quic, "/s"),
        yardstick: Some((yardstick, "rows/s, bare rusqlite")),
        target: Target::Share(SHARE),
    });
    line.hub.stop()?;
    line.agent.stop()?;
    line.agent.set(CARRIER, "https");
    line.agent.start()?;
    memory::fill(line, records)?;
    let (queued, https) = drain(line)?;
    table.add(Row {
        what: format!("drain of {queued} records over HTTPS"),
        figure: (https, "/s"),
        yardstick: Some((quic, "/s over QUIC")),
        target: Target::None,
    });
    carried::in_a_file(line, records, quic, table)
}

/// Starts the hub, and answers how many records were queued and how many a second it took in.
fn drain(line: &mut Line) -> Result<(f64, f64)> {
    let queued = line.agent.metric(BACKLOG)?;
    line.hub.start()?;
    // From the moment when the line stands: dialling and back-off are not what is measured.
    until(LIMIT, "the drain to begin", || Ok((line.agent.metric(BACKLOG)? < queued).then_some(())))?;
    let (begun, from) = (Instant::now(), line.agent.metric(BACKLOG)?);
    until(LIMIT, "the queue to drain", || Ok((line.agent.metric(BACKLOG)? == 0.0).then_some(())))?;
    Ok((queued, from / begun.elapsed().as_secs_f64()))
}

/// Rows a second that bare rusqlite inserts of what the hub stored.
fn bare(hub: &Path, at_once: usize) -> Result<f64> {
    let source = Connection::open_with_flags(database(hub)?, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let path = hub.join("yardstick.sqlite");
    let mut copy = Connection::open(&path)?;
    copy.pragma_update(None, "journal_mode", "WAL")?;
    copy.pragma_update(None, "synchronous", "FULL")?;
    copy.pragma_update(None, "foreign_keys", false)?;
    copy_schema(&source, &copy)?;
    let mut select = source.prepare("SELECT * FROM records")?;
    let columns = select.column_count();
    let insert = format!("INSERT INTO records VALUES ({})", vec!["?"; columns].join(","));
    let mut rows = select.query([])?;
    let (mut spent, mut count) = (Duration::ZERO, 0);
    loop {
        let mut page: Vec<Vec<Value>> = Vec::with_capacity(at_once);
        while page.len() < at_once
            && let Some(row) = rows.next()?
        {
            page.push((0..columns).map(|column| row.get(column)).collect::<Result<_, _>>()?);
        }
        if page.is_empty() {
            break;
        }
        count += page.len();
        let begun = Instant::now();
        let transaction = copy.transaction()?;
        let mut statement = transaction.prepare_cached(&insert)?;
        for row in &page {
            statement.execute(params_from_iter(row))?;
        }
        drop(statement);
        transaction.commit()?;
        spent += begun.elapsed();
    }
    drop(copy);
    fs::remove_file(path)?;
    Ok(count as f64 / spent.as_secs_f64())
}

/// The table of records and its indexes, word for word.
fn copy_schema(source: &Connection, copy: &Connection) -> Result<()> {
    let mut statement = source.prepare(
        "SELECT sql FROM sqlite_master WHERE tbl_name = 'records' AND type IN ('table', 'index') AND sql IS NOT NULL
         ORDER BY type DESC",
    )?;
    for sql in statement.query_map([], |row| row.get::<_, String>(0))? {
        copy.execute_batch(&sql?)?;
    }
    Ok(())
}

/// The hub's database: the file that begins as SQLite's do.
fn database(hub: &Path) -> Result<PathBuf> {
    let is_one = |path: &PathBuf| {
        let mut magic = [0; 16];
        File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"SQLite format 3\0"
    };
    let mut waiting = vec![hub.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        } else if path.is_file() && is_one(&path) {
            return Ok(path);
        }
    }
    None.context("no SQLite database in the hub's folder")
}
