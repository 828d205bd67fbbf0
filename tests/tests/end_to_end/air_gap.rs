//! With the air gap set, the agent opens no socket but those of its local API: shown by its system calls, over a run with
//! load, commands and a transmission that is due.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sitewarden_tests::harness::{Agent, Line, until};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
const NAME: &str = "air_gap::no_socket_is_opened_beyond_the_local_api";
const CARRIER: &str = "SITEWARDEN_AGENT_SYNC__CARRIER";

#[test]
fn no_socket_is_opened_beyond_the_local_api() {
    if let Err(reason) = can_trace() {
        assert!(std::env::var_os("CI").is_none(), "{NAME} needs strace, and in CI no test is skipped: {reason:#}");
        eprintln!("SKIPPED {NAME}: {reason:#}");
        return;
    }
    let mut line = Line::new(3).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    line.drained().unwrap();
    // The watcher sees what it is to see: without the air gap there is a line.
    let connected = traced(&mut line, "auto", |line| {
        until(LIMIT, "a session", || Ok((line.agent.status()?["sync"]["connected"] == true).then_some(())))
    });
    assert!(!beyond(&connected).is_empty(), "the trace of a connected agent shows no line:\n{connected}");
    let gapped = traced(&mut line, "none", busy);
    assert_eq!(beyond(&gapped), Vec::<&str>::new());
    let listeners = gapped.lines().filter(|call| call.contains("bind(") && call.contains("AF_INET"));
    assert_eq!(listeners.filter(|call| call.contains("127.0.0.1")).count(), 1, "{gapped}");
}

#[test]
fn enrolling_over_a_line_is_refused() {
    let line = Line::new(1).unwrap();
    let folder = line.agent.folder().with_extension("other");
    let refused = Agent::new(&folder).with(CARRIER, "none").enroll(&line.hub.invite(&line.site).unwrap()).unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.error.contains("the air gap is set"), "{}", refused.error);
    assert!(!folder.exists(), "a refusal leaves nothing behind");
}

/// What an agent does all day, and a run of its schedule that was missed.
fn busy(line: &Line) -> Result<()> {
    let mut app = line.app()?;
    for id in 0..200 {
        let event = format!(r#"{{"app": "EMS", "kind": "run", "count": 1, "attributes": {{"id": "{id}"}}}}"#);
        ensure!(app.post("/api/v1/telemetry/events", event.as_bytes())?.status == 202);
    }
    ensure!(app.get("/_config/licenses/_verify?app=EMS")?.status == 200);
    ensure!(app.put("/_config/monitors/pump-1?app=EMS")?.status == 200);
    line.agent.command(&["explain", "EMS"])?;
    line.agent.try_command(&["activate", "SW-NOT-A-KEY"])?;
    let sync = line.agent.status()?["sync"].clone();
    ensure!(sync["carrier"] == "none" && sync["connected"] == false, "{sync}");
    ensure!(sync["trouble"].as_str().is_some_and(|trouble| trouble.contains("air gap")), "{sync}");
    until(LIMIT, "the transmission that is due to have been tried", || {
        Ok((!due(line.agent.folder(), None)?["retry"].is_null()).then_some(()))
    })
}

/// What the system was asked of the network by an agent with this carrier, while `story` happened.
fn traced(line: &mut Line, carrier: &str, story: impl FnOnce(&Line) -> Result<()>) -> String {
    line.agent.stop().unwrap();
    due(line.agent.folder(), Some(0)).unwrap();
    let trace = line.agent.folder().with_extension(format!("{carrier}.trace"));
    let file = trace.to_str().unwrap();
    line.agent.set(CARRIER, carrier);
    line.agent.under(&["strace", "-D", "-f", "-qq", "-e", "trace=network", "-o", file]);
    line.agent.start().unwrap();
    story(line).unwrap();
    line.agent.stop().unwrap();
    line.agent.under(&[]);
    line.agent.start().unwrap();
    fs::read_to_string(trace).unwrap()
}

/// The calls that reach beyond the machine: a socket of another family than the listeners', or a way to somebody.
fn beyond(trace: &str) -> Vec<&str> {
    let listeners =
        trace.lines().filter(|call| call.contains("socket(AF_INET,") && call.contains("SOCK_STREAM")).take(1);
    let known: Vec<&str> = listeners.collect();
    let reaches = |call: &&str| {
        let foreign = call.contains("socket(") && !call.contains("socket(AF_UNIX") && !known.contains(call);
        let away = ["connect(", "sendto(", "sendmsg(", "sendmmsg("].iter().any(|name| call.contains(name))
            && call.contains("AF_INET");
        foreign || away
    };
    trace.lines().filter(reaches).collect()
}

/// What the schedule remembers; with `through`, it is made to have seen to nothing since then.
fn due(folder: &Path, through: Option<i64>) -> Result<Value> {
    let path = folder.join("state/transmissions.json");
    let mut stored: Value = serde_json::from_slice(&fs::read(&path)?)?;
    let schedule = schedule(&mut stored).context("no schedule in transmissions.json")?;
    if let Some(through) = through {
        schedule["through"] = through.into();
        schedule["retry"] = Value::Null;
    }
    let remembered = schedule.clone();
    if through.is_some() {
        fs::write(&path, stored.to_string())?;
    }
    Ok(remembered)
}

/// The part that says up to when the schedule is seen to.
fn schedule(value: &mut Value) -> Option<&mut Value> {
    if value.get("through").is_some() {
        return Some(value);
    }
    value.as_object_mut()?.values_mut().find_map(schedule)
}

fn can_trace() -> Result<()> {
    let output = Command::new("strace").args(["-f", "-qq", "-e", "trace=network", "true"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
