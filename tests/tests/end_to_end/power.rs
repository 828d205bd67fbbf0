//! Power loss and dropped write-back: what agent and hub said yes to is on disk, whatever else the disk lost.
//!
//! Real processes are watched while they work; then the power goes at moments that chance picks, and of what they had not
//! synced the disk keeps what chance leaves. `SITEWARDEN_CUTS` sets how many, `SITEWARDEN_SEED` which.

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use serde_json::json;
use sitewarden_agent::journal::{Counters, Journal, Settings};
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::record::{Body, Record, Value};
use sitewarden_protocol::time::UnixMillis;
use sitewarden_tests::harness::{Agent, Binary, Client, Hub, Line, PASSWORD, Process, USER, scratch, until};
use sitewarden_tests::power::{Disk, Trace, watched};
use sitewarden_tests::simulation::random::Random;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// A process that is watched is slow.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Requests that are answered before the power goes for good.
const REQUESTS: usize = 120;
/// Events in one request; with their texts two generations of the journal are filled.
const EVENTS: usize = 20;

fn cuts() -> u64 {
    std::env::var("SITEWARDEN_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

fn seed() -> u64 {
    std::env::var("SITEWARDEN_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(9)
}

/// Starts a program under watch; answers it and where it serves.
fn watch(program: &Command, folder: &Path, trace: &Path) -> Result<(Process, SocketAddr)> {
    let address = folder.join("run/http.addr");
    let _ = fs::remove_file(&address);
    let process = Process::start(watched(program, trace), &folder.with_extension("watched.log"))?;
    let serving = || Ok(fs::read_to_string(&address).ok().and_then(|text| text.trim().parse().ok()));
    let at = until(START_LIMIT, "the watched process to serve", serving).with_context(|| process.tail())?;
    Ok((process, at))
}

/// Cuts the power many times: `check` gets a folder as it may be then, and how many answers were given.
fn cut(disk: &Disk, trace: &Trace, answer: &str, check: impl Fn(&Path, usize) -> Result<()>) -> Result<()> {
    let length = trace.length();
    let all = trace.told(answer, length);
    let first = (0..length).find(|at| trace.told(answer, *at) > 0).context("no answer was given")?;
    let mut whole = disk.clone();
    whole.play(trace, length);
    let mut misunderstood = whole.misunderstood(whole.root());
    // Written as memory, and nothing after a power cut: SQLite makes it anew from its log.
    misunderstood.retain(|path| !path.to_string_lossy().ends_with("-shm"));
    ensure!(misunderstood.is_empty(), "the model of the disk is not what the process did to {misunderstood:?}");
    println!("{} calls, {all} answers; seed {}", trace.calls.len(), seed());
    for number in 0..cuts() {
        let mut random = Random::new(seed() ^ (number << 32));
        let at = usize::try_from(random.between(first as u64, length as u64))?;
        let mut disk = disk.clone();
        disk.play(trace, at);
        let folder = scratch()?;
        let image = folder.path().join("image");
        disk.image(&image, &mut random)?;
        owners_only(&image)?;
        check(&image, trace.told(answer, at)).with_context(|| format!("cut {number} at {at} of {length}"))?;
    }
    Ok(())
}

fn owners_only(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.is_dir();
    fs::set_permissions(path, fs::Permissions::from_mode(if folder { 0o700 } else { 0o600 }))?;
    if folder {
        for entry in fs::read_dir(path)? {
            owners_only(&entry?.path())?;
        }
    }
    Ok(())
}

/// The files below a folder and their lengths, for whoever looks into a failure.
fn tree(folder: &Path) -> Result<String> {
    let mut lines = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let below = if path.is_dir() { tree(&path)? } else { format!("{} bytes", fs::metadata(&path)?.len()) };
        lines.push_str(&format!("\n{} {below}", path.display()));
    }
    Ok(lines)
}

/// Every text in the journal below a folder.
fn in_journal(folder: &Path, agent: &str) -> Result<BTreeSet<String>> {
    let settings = Settings { quota: 1 << 40, reserve: 0 };
    let (agent, counters): (AgentId, _) = (agent.parse()?, Arc::new(Counters::default()));
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let journal =
        Journal::open(&folder.join("journal"), agent, settings, Position::default(), counters, UnixMillis(1))?;
    let (mut after, mut ids) = (Position::default(), BTreeSet::new());
    while let Some(draft) = journal.read_after(after)? {
        after = draft.after.position;
        after.seq += u64::from(draft.records.count());
        for bytes in draft.records.iter() {
            let event = match Record::decode(bytes).and_then(|record| record.decode_body()) {
                Ok(Body::Event(event)) => event,
                Ok(Body::EpochBegun(begun)) if begun.previous > 0 => {
                    println!("{begun:?}");
                    continue;
                }
                _ => continue,
            };
            let id = event.attributes.into_iter().find(|(name, _)| name == "run");
            if let Some((_, Value::Text(text))) = id {
                ids.insert(text);
            }
        }
    }
    Ok(ids)
}

fn events(request: usize) -> String {
    let event = |number| {
        let attributes = json!({"run": format!("{request}-{number}"), "text": "x".repeat(2_000)});
        json!({"app": "EMS", "kind": "run", "attributes": attributes})
    };
    json!((0..EVENTS).map(event).collect::<Vec<_>>()).to_string()
}

#[test]
fn power_loss_of_the_agent() -> Result<()> {
    let mut line = Line::new(5)?;
    line.agent.stop()?;
    line.hub.stop()?;
    let folder = line.agent.folder().to_owned();
    let disk = Disk::holding(&folder, &folder)?;
    let trace = folder.with_extension("trace");
    let mut program = Command::new(Binary::Agent.path()?);
    program.args(["serve", "--http", "127.0.0.1:0", "--data-dir"]).arg(&folder);
    program.env("SITEWARDEN_AGENT_JOURNAL__QUOTA_MIB", "32");
    let (mut process, at) = watch(&program, &folder, &trace)?;
    let mut app = Client::new(at).basic(USER, PASSWORD);
    for request in 0..REQUESTS {
        let answer = app.post("/api/v1/telemetry/events", events(request).as_bytes())?;
        assert_eq!((answer.status, answer.text().contains("folded")), (202, false), "{}", answer.text());
    }
    let id = process.id();
    process.kill();
    fs::copy(&trace, "/tmp/st/agent.trace")?;
    let trace = Trace::read(&trace, id)?;
    assert_eq!(trace.told("HTTP/1.1 202", trace.length()), REQUESTS, "the watch saw every answer");
    cut(&disk, &trace, "HTTP/1.1 202", |image, answered| {
        let found = in_journal(image, &line.agent_id)?;
        let missing = (0..answered).flat_map(|request| (0..EVENTS).map(move |number| format!("{request}-{number}")));
        let missing: Vec<_> = missing.filter(|id| !found.contains(id)).collect();
        let first = missing.first();
        ensure!(
            missing.is_empty(),
            "{} lost of {answered} requests, such as {first:?}: {}",
            missing.len(),
            tree(image)?
        );
        Ok(())
    })?;
    // And the agent starts by itself on what is left.
    let mut disk = disk;
    disk.play(&trace, trace.length());
    let image = folder.with_extension("image");
    disk.image(&image, &mut Random::new(seed()))?;
    owners_only(&image)?;
    let mut again = Agent::new(&image);
    again.start()?;
    assert!(again.backlog()? >= (REQUESTS * EVENTS) as u64);
    Ok(())
}

#[test]
fn power_loss_of_the_hub() -> Result<()> {
    let scratch = scratch()?;
    let folder = scratch.path().join("hub");
    let mut hub = Hub::init(&folder)?;
    hub.start()?;
    let customer = hub.add(&["customer", "add", "Acme"])?;
    let key = hub.command(&["apikey", "add", "--name", "programs", "--customer", &customer])?.json()?;
    let key = key["key"].as_str().context("no key")?.to_owned();
    hub.stop()?;
    let disk = Disk::holding(&folder, &folder)?;
    let trace = scratch.path().join("trace");
    let mut program = Command::new(Binary::Hub.path()?);
    program.arg("serve").args(["--https", "127.0.0.1:0", "--sync", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    program.arg("--data-dir").arg(&folder);
    let (mut process, at) = watch(&program, &folder, &trace)?;
    let mut sender = Client::new(at);
    for request in 0..REQUESTS {
        let body = json!({"api_key": key, "data_type": "text", "text_data": "x".repeat(1_000), "data_group": format!("g{request}")});
        let answer = sender.post("/api/v1/send-telemetry-data", body.to_string().as_bytes())?;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let id = process.id();
    process.kill();
    let trace = Trace::read(&trace, id)?;
    assert_eq!(trace.told("HTTP/1.1 200", trace.length()), REQUESTS, "the watch saw every answer");
    cut(&disk, &trace, "HTTP/1.1 200", |image, answered| {
        let database = Connection::open(image.join("hub.sqlite"))?;
        let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        ensure!(sound == "ok", "{sound}");
        let mut query = database.prepare("SELECT data_group FROM measurements")?;
        let found: BTreeSet<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let missing: Vec<_> = (0..answered).filter(|request| !found.contains(&format!("g{request}"))).collect();
        ensure!(missing.is_empty(), "lost of {answered}: {missing:?}");
        Ok(())
    })
}
