//! Faults of disks, under real processes. Each test bears the name of its row in ARCHITECTURE.md's table of faults.

use super::callers::{Told, body, send, send_as};
use super::invariants;
use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use serde_json::{Value, json};
use sitewarden_tests::harness::{Agent, Binary, Client, Hub, Line, Process, scratch, until, with_own_mounts};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// After so many syncs each further one fails.
const GOOD_SYNCS: u32 = 60;

/// Words before a program whose syncs fail from then on, as those of a dying disk.
fn dying() -> Vec<String> {
    let fault = format!("inject=fsync,fdatasync:error=EIO:when={GOOD_SYNCS}+");
    let words = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &fault, "--"];
    words.map(str::to_owned).to_vec()
}

/// Sends events one by one until the agent is gone.
fn send_until_it_ends(client: &mut Client, told: &mut Told) {
    for number in 0..100_000 {
        let id = format!("single-{number}");
        match client.post("/api/v1/telemetry/events", body(std::slice::from_ref(&id)).as_bytes()) {
            Ok(answer) if answer.status == 202 => drop(told.acknowledged.insert(id)),
            Ok(_) => drop(told.unknown.insert(id)),
            Err(_) => {
                told.unknown.insert(id);
                return;
            }
        }
    }
    panic!("the agent never ended");
}

#[test]
fn a_failed_sync_of_the_agent() -> Result<()> {
    let mut line = Line::new(5)?;
    line.agent.stop()?;
    let words = dying();
    line.agent.under(&words.iter().map(String::as_str).collect::<Vec<_>>());
    line.agent.start()?;
    let mut told = Told::default();
    send_until_it_ends(&mut line.app()?, &mut told);
    let code = line.agent.ends()?;
    ensure!(code.is_none_or(|code| code != 0), "it ended as if all were well");
    println!("{} acknowledged, {} unanswered", told.acknowledged.len(), told.unknown.len());
    ensure!(told.acknowledged.len() > 10, "the syncs failed too early to show anything");
    line.agent.under(&[]);
    line.agent.start()?;
    told.and(send(line.agent.http()?, 2, 200, 7, &AtomicU64::new(0)));
    invariants::hold(&line, &told);
    Ok(())
}

#[test]
fn a_failed_sync_of_the_hub() -> Result<()> {
    let scratch = scratch()?;
    let folder = scratch.path().join("hub");
    let mut hub = Hub::init(&folder)?;
    hub.start()?;
    let customer = hub.add(&["customer", "add", "Acme"])?;
    let key = hub.command(&["apikey", "add", "--name", "programs", "--customer", &customer])?.json()?;
    let key = key["key"].as_str().context("no key")?.to_owned();
    hub.stop()?;
    let words = dying();
    let mut program = Command::new(&words[0]);
    program.args(&words[1..]).arg(Binary::Hub.path()?).arg("serve");
    program
        .args(["--https", "127.0.0.1:0", "--sync", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(&folder);
    let mut process = Process::start(program, &folder.with_extension("dying.log"))?;
    let address = folder.join("run/http.addr");
    let at = until(LIMIT, "the hub to serve", || {
        Ok(fs::read_to_string(&address).ok().and_then(|text| text.trim().parse().ok()))
    })?;
    let (mut sender, mut acknowledged) = (Client::new(at), BTreeSet::new());
    for number in 0..10_000 {
        let group = format!("g{number}");
        let body = json!({"api_key": key, "data_type": "text", "text_data": "x", "data_group": group}).to_string();
        match sender.post("/api/v1/send-telemetry-data", body.as_bytes()) {
            Ok(answer) if answer.status == 200 => drop(acknowledged.insert(group)),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    let ended = until(LIMIT, "the hub to end by itself", || process.ended())?;
    ensure!(!ended.success(), "it ended as if all were well");
    ensure!(acknowledged.len() > 10, "the syncs failed too early to show anything");
    hub.start()?;
    hub.stop()?;
    let database = Connection::open(folder.join("hub.sqlite"))?;
    let mut query = database.prepare("SELECT data_group FROM measurements")?;
    let found: BTreeSet<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let missing: Vec<_> = acknowledged.difference(&found).collect();
    ensure!(missing.is_empty(), "acknowledged and gone: {missing:?}");
    Ok(())
}

/// Mounts an own small disk where the agent's data is, with what is there.
fn on_a_small_disk(agent: &Agent, size: &str) -> Result<()> {
    let (folder, kept) = (agent.folder(), agent.folder().with_extension("kept"));
    fs::rename(folder, &kept)?;
    fs::create_dir(folder)?;
    shell(&format!(
        "mount -t tmpfs -o mode=0700,size={size} none {0} && cp -a {1}/. {0}",
        folder.display(),
        kept.display()
    ))
}

fn shell(command: &str) -> Result<()> {
    let output = Command::new("sh").args(["-c", command]).output()?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Takes all the space there is.
fn fill(path: &Path) -> Result<()> {
    let (mut file, block) = (File::create(path)?, vec![0x5a; 64 << 10]);
    while file.write_all(&block).is_ok() {}
    Ok(())
}

#[test]
fn disk_full_then_freed() -> Result<()> {
    with_own_mounts("disk::disk_full_then_freed", || {
        let mut line = Line::new(5)?;
        line.agent.command(&["activate", &line.key])?;
        line.drained()?;
        line.agent.stop()?;
        on_a_small_disk(&line.agent, "64m")?;
        line.agent.set("SITEWARDEN_AGENT_JOURNAL__RESERVE_MIB", "4");
        line.agent.start()?;
        let mut told = send(line.agent.http()?, 2, 500, 3, &AtomicU64::new(0));
        let filler = line.agent.folder().join("filler");
        fill(&filler)?;
        let mut app = line.app()?;
        let mut refused = 0;
        for number in 0..50 {
            let answer = app.post("/api/v1/telemetry/events", body(&[format!("full-{number}")]).as_bytes())?;
            ensure!(answer.status == 507, "{}: {}", answer.status, answer.text());
            ensure!(answer.text().contains("no space"), "it does not say why: {}", answer.text());
            refused += 1;
        }
        // What runs goes on, and whoever looks is told.
        ensure!(app.get("/_config/licenses/_verify?app=EMS")?.status == 200);
        let journal = line.agent.status()?["journal"].clone();
        ensure!(journal["room"] == "full" && journal["dropped"] == refused, "{journal}");
        fs::remove_file(&filler)?;
        told.and(send_as("later-", line.agent.http()?, 2, 500, 4, &AtomicU64::new(0)));
        line.drained()?;
        let record =
            line.hub.command(&["record", "list", "--agent", &line.agent_id, "--kind", "dropped", "--all"])?.list()?;
        let counted: u64 = record.iter().filter_map(|record| record["body"]["counts"]["event"].as_u64()).sum();
        ensure!(counted == refused, "{counted} counted of {refused} refused: {record:?}");
        let agent = line.hub.command(&["agent", "show", &line.agent_id])?.json()?;
        ensure!(agent["records_dropped"].as_u64() >= Some(refused), "{agent}");
        ensure!(line.agent.status()?["journal"]["room"] == "room");
        invariants::hold(&line, &told);
        Ok(())
    })
}

/// Takes all the space but so many MiB.
fn fill_but(path: &Path, left: u64) -> Result<()> {
    let folder = path.parent().context("a folder")?;
    let output = Command::new("df").args(["--block-size=1", "--output=avail"]).arg(folder).output()?;
    let said = String::from_utf8(output.stdout)?;
    let free: u64 = said.lines().last().context("df says nothing")?.trim().parse()?;
    let zeros = vec![0; usize::try_from(free.saturating_sub(left << 20))?];
    Ok(File::create(path)?.write_all(&zeros)?)
}

#[test]
fn a_fork_that_was_cleared_waits_for_room_on_the_disk() -> Result<()> {
    with_own_mounts("disk::a_fork_that_was_cleared_waits_for_room_on_the_disk", || {
        let mut line = Line::new(5)?;
        line.agent.command(&["activate", &line.key])?;
        line.drained()?;
        line.agent.stop()?;
        on_a_small_disk(&line.agent, "64m")?;
        line.agent.set("SITEWARDEN_AGENT_JOURNAL__RESERVE_MIB", "1");
        // The machine is put back to here, after the hub has heard more.
        let (folder, backup) =
            (line.agent.folder().display().to_string(), line.agent.folder().with_extension("backup"));
        shell(&format!("cp -a {folder} {}", backup.display()))?;
        line.agent.start()?;
        send_as("heard-", line.agent.http()?, 1, 20, 5, &AtomicU64::new(0));
        line.drained()?;
        line.agent.stop()?;
        shell(&format!("find {folder} -mindepth 1 -delete && cp -a {}/. {folder}", backup.display()))?;
        line.hub.stop()?;
        line.agent.start()?;
        send_as("since-", line.agent.http()?, 1, 20, 6, &AtomicU64::new(0));
        line.hub.start()?;
        until(LIMIT, "the fork to be flagged", || {
            let flags = line.hub.command(&["flag", "list", "--open"])?.list()?;
            Ok(flags.iter().any(|flag| flag["kind"] == "fork").then_some(()))
        })?;
        let filler = line.agent.folder().join("filler");
        fill_but(&filler, 6)?;
        let clear = ["agent", "clear", &line.agent_id, "--note", "the VM was restored from a backup"];
        line.hub.command(&clear)?;
        let waits = || Ok(line.agent.logged()?.contains("no room for a fresh epoch").then_some(()));
        until(LIMIT, "the agent to say that there is no room", waits)?;
        ensure!(line.app()?.get("/_config/licenses/_verify?app=EMS")?.status == 200);
        ensure!(line.agent.status()?["journal"]["epoch"] == 1, "{}", line.agent.status()?);
        // With room it is carried out as soon as the hub says it again.
        fs::remove_file(&filler)?;
        line.hub.stop()?;
        line.hub.start()?;
        until(LIMIT, "the fresh epoch at the hub", || {
            let agent = line.hub.command(&["agent", "show", &line.agent_id])?.json()?;
            Ok((agent["epochs"][0]["epoch"] == 2).then_some(()))
        })?;
        line.agent.wait()?;
        line.drained()?;
        let ids = line.ids_at_hub()?;
        let here = ids.iter().filter(|(id, times)| id.starts_with("since-") && **times == 1).count();
        ensure!(here == 20, "{here} of 20: {ids:?}");
        Ok(())
    })
}

#[test]
fn a_disk_that_becomes_read_only() -> Result<()> {
    with_own_mounts("disk::a_disk_that_becomes_read_only", || {
        let mut line = Line::new(5)?;
        line.drained()?;
        line.agent.stop()?;
        on_a_small_disk(&line.agent, "64m")?;
        line.agent.set("SITEWARDEN_AGENT_JOURNAL__RESERVE_MIB", "4");
        line.agent.start()?;
        let mut told = send(line.agent.http()?, 2, 300, 5, &AtomicU64::new(0));
        let folder = line.agent.folder().display().to_string();
        // A disk that failed is read-only to the file system itself; here an own mount over it is.
        line.agent.stop()?;
        shell(&format!("mount -o remount,ro none {folder}"))?;
        line.agent.launch()?;
        let code = line.agent.ends()?;
        ensure!(code == Some(1), "it ended with {code:?}");
        let log = line.agent.logged()?;
        let last = log.lines().rev().find(|line| line.contains("ERROR") || line.contains("error")).unwrap_or_default();
        ensure!(last.contains("ead-only") && last.contains(&folder), "it does not say what and where: {last}");
        shell(&format!("mount -o remount,rw none {folder}"))?;
        line.agent.start()?;
        told.and(send_as("later-", line.agent.http()?, 2, 300, 6, &AtomicU64::new(0)));
        invariants::hold(&line, &told);
        Ok(())
    })
}

#[test]
fn two_agents_on_one_folder() -> Result<()> {
    let line = Line::new(5)?;
    let second = line.agent.try_command(&["serve", "--http", "127.0.0.1:0"])?;
    ensure!(second.code == Some(4), "{:?}: {}", second.code, second.error);
    ensure!(second.error.contains("in use"), "{}", second.error);
    let _: Value = line.agent.status()?;
    Ok(())
}

/// Somebody else's user started them, such as root by hand: they say whose folder it is and touch nothing.
#[test]
fn wrong_owner() -> Result<()> {
    const STRANGER: u32 = 12_345;
    if !rustix::process::geteuid().is_root() {
        ensure!(
            std::env::var_os("CI").is_none(),
            "wrong_owner has to give a folder away, and in CI no test is skipped"
        );
        eprintln!("SKIPPED wrong_owner: only root may give a folder away");
        return Ok(());
    }
    let mut line = Line::new(5)?;
    line.agent.stop()?;
    line.hub.stop()?;
    let folders = [line.agent.folder().to_owned(), line.hub.folder().to_owned()];
    let give = |to: u32| folders.iter().try_for_each(|folder| std::os::unix::fs::chown(folder, Some(to), None));
    give(STRANGER)?;
    let agent = line.agent.try_command(&["serve", "--http", "127.0.0.1:0"])?;
    let hub = line.hub.try_command(&["serve", "--https", "127.0.0.1:0", "--sync", "127.0.0.1:0"])?;
    for refused in [agent, hub] {
        ensure!(refused.code == Some(1), "{:?}: {}", refused.code, refused.error);
        ensure!(refused.error.contains("belongs to user 12345"), "{}", refused.error);
    }
    give(0)?;
    line.hub.start()?;
    line.agent.start()?;
    line.drained()
}
