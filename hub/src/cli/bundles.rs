//! `bundle`.

use super::{
    Client, Failure, Output,
    client::Sent,
    failure::FAILED,
    output::{complain, field, pairs, shown, table},
};
use crate::{folder::KEYS, keys::SealingKeys};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Subcommand;
use serde_json::{Value, json};
use sitewarden_protocol::bundle::{Inspected, Inspector};
use sitewarden_protocol::id::{AgentId, SiteId};
use sitewarden_protocol::{sealing::OpeningKey, time::UnixMillis};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{IsTerminal, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How often progress is shown on a terminal.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// What is read of a file at once.
const BLOCK: usize = 256 << 10;

/// What can be done with bundles.
#[derive(Debug, Subcommand)]
pub(super) enum BundleCommand {
    /// Take in files that agents wrote: enrolment requests, or what they have to report.
    Import {
        /// The file, or all parts of a bundle.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Write what goes back to the agent into this file: receipts, the newest snapshot, certificates.
        #[arg(long, value_name = "FILE")]
        reply: Option<PathBuf>,
    },
    /// Write what a site's agent is to hear into a file, without a file from it before.
    Export {
        /// Where to.
        file: PathBuf,
        /// The site.
        #[arg(long, value_name = "ID")]
        site: SiteId,
        /// Which of its agents, if it has several, or one that was revoked.
        #[arg(long, value_name = "ID")]
        agent: Option<AgentId>,
    },
    /// List bundles that were imported or made, the newest first.
    List {
        /// Of this agent only.
        #[arg(long, value_name = "ID")]
        agent: Option<AgentId>,
    },
    /// Show what is in a file, without taking it in; ends with 1 if it is no bundle, or not whole.
    Inspect {
        /// The file, or several.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

pub(super) async fn run(client: &Client, command: BundleCommand, output: Output) -> Result<(), Failure> {
    match command {
        BundleCommand::Import { files, reply } => import(client, files, reply.as_deref(), output).await,
        BundleCommand::Export { file, site, agent } => {
            check_free(&file)?;
            let parameters = [("site", Some(site.to_string())), ("agent", agent.map(|id| id.to_string()))];
            let answer = client.get("bundles/export", &parameters).await?;
            write(&file, &answer["file"])?;
            output.print(&json!({ "file": file }), |_| carry(&file))?;
            Ok(())
        }
        BundleCommand::List { agent } => {
            let agent = agent.map(|id| id.to_string());
            output.print(&client.all("bundles", &[("agent", agent)]).await?, many)?;
            Ok(())
        }
        BundleCommand::Inspect { files } => inspect(client, &files, output),
    }
}

async fn import(client: &Client, files: Vec<PathBuf>, reply: Option<&Path>, output: Output) -> Result<(), Failure> {
    if let Some(reply) = reply {
        check_free(reply)?;
    }
    let files = in_order(files)?;
    let path = if reply.is_some() { "bundles/import?reply=true" } else { "bundles/import" };
    let mut lines = client.send_files(path, Sent::open(&files)?).await?;
    let (mut results, mut done, mut progress) = (Vec::new(), None, Progress::new());
    while let Some(line) = lines.next_line().await? {
        match () {
            () if !line["progress"].is_null() => progress.show(&line["progress"]),
            () if !line["done"].is_null() => done = Some(line["done"].clone()),
            () => results.push(line),
        }
    }
    let names = files.iter().map(|file| file.display().to_string()).chain(std::iter::repeat(String::new()));
    let failures: Vec<_> =
        results.iter().zip(names).filter_map(|(line, name)| failure(&line["failed"], &name)).collect();
    let answer: Vec<_> = results.iter().map(|line| if line["file"].is_null() { line } else { &line["file"] }).collect();
    output.print(&json!(answer), |_| {
        results
            .iter()
            .filter(|line| !line["file"].is_null())
            .map(|line| taken(&line["file"]))
            .collect::<Vec<_>>()
            .join("\n\n")
    })?;
    failures.iter().for_each(|failure| complain(failure));
    let Some(done) = done else {
        return Err(Failure::new(
            FAILED,
            "the import ended early; what is told above was taken, and it can be done again",
        ));
    };
    if let Some(reply) = reply.filter(|_| !done["reply"].is_null()) {
        write(reply, &done["reply"])?;
        if !output.is_json() {
            complain(&carry(reply));
        }
    }
    match failures.len() {
        0 => Ok(()),
        count => Err(Failure::new(FAILED, format!("{count} of {} files were not taken", results.len()))),
    }
}

fn failure(failed: &Value, name: &str) -> Option<String> {
    failed["message"]
        .as_str()
        .map(|message| if name.is_empty() { message.to_owned() } else { format!("{name}: {message}") })
}

fn carry(file: &Path) -> String {
    format!("Written to {0}. Carry it to the site: sitewarden-agent bundle import {0}", file.display())
}

fn taken(file: &Value) -> String {
    let again = if file["again"] == json!(true) { " (imported before)" } else { "" };
    let list = |value: &Value| {
        value.as_array().map(|texts| texts.iter().map(shown).collect::<Vec<_>>().join(", ")).unwrap_or_default()
    };
    let refused = file["refused"].as_object().map(|refused| {
        refused.iter().map(|(why, count)| format!("{} batches: {why}", shown(count))).collect::<Vec<_>>().join("; ")
    });
    let mut text = pairs(&[
        ("bundle", format!("{} part {}{again}", field(file, "bundle"), field(file, "part"))),
        ("content", field(file, "content")),
        ("agent", field(file, "agent")),
        ("new records", field(file, "new_records")),
        ("here through", list(&file["through"])),
        ("refused", refused.unwrap_or_default()),
    ]);
    for note in file["notes"].as_array().into_iter().flatten() {
        text.push_str(&format!("\nNote: {}.", shown(note)));
    }
    text
}

fn many(bundles: &Value) -> String {
    let names = ["id", "last_at", "direction", "agent", "content", "part", "times", "by"];
    let rows: Vec<_> =
        bundles.as_array().into_iter().flatten().map(|row| names.map(|name| field(row, name)).to_vec()).collect();
    table(&["ID", "LAST", "WAY", "AGENT", "CONTENT", "PART", "TIMES", "BY"], &rows)
}

fn inspect(client: &Client, files: &[PathBuf], output: Output) -> Result<(), Failure> {
    let (mut found, keys) = (Vec::new(), own_keys(client.data_dir()));
    for file in files {
        let mut inspector = Inspector::new(Arc::clone(&keys));
        each_block(file, |block| inspector.feed(block))?;
        found.push(inspector.finish());
    }
    let json: Vec<_> = found.iter().map(Inspected::json).collect();
    output.print(&json!(json), |_| found.iter().map(Inspected::text).collect::<Vec<_>>().join("\n\n"))?;
    let problem = files.iter().zip(&found).find_map(|(file, found)| Some((file, found.problem.as_ref()?)));
    problem.map_or(Ok(()), |(file, problem)| Err(Failure::new(FAILED, format!("{}: {problem}", file.display()))))
}

/// What opens what is sealed to this hub; without it there is just less to see.
fn own_keys(data_dir: &Path) -> Arc<[OpeningKey]> {
    SealingKeys::load(&data_dir.join(KEYS)).map_or_else(|_| Vec::new().into(), |keys| keys.all())
}

/// Older bundles first, and each in the order of its parts, so that every part joins on to the one before. What is no bundle
/// comes last, and is told as such.
fn in_order(files: Vec<PathBuf>) -> Result<Vec<PathBuf>, Failure> {
    let (mut placed, mut begun) = (Vec::with_capacity(files.len()), BTreeMap::new());
    for file in files {
        let mut inspector = Inspector::new(Vec::new().into());
        let mut block = Vec::with_capacity(BLOCK);
        let open = File::open(&file).map_err(|error| about(&file, &error))?;
        open.take(BLOCK as u64).read_to_end(&mut block).map_err(|error| about(&file, &error))?;
        inspector.feed(&block);
        let place = inspector.finish().manifest.map(|manifest| (manifest.bundle, manifest.part, manifest.made_at));
        if let Some((bundle, _, at)) = place {
            begun.entry(bundle).and_modify(|begun| *begun = at.min(*begun)).or_insert(at);
        }
        placed.push((place, file));
    }
    let key = |place: &Option<([u8; 16], u32, UnixMillis)>| match place {
        Some((bundle, part, _)) => (false, begun.get(bundle).copied().unwrap_or_default(), *bundle, *part),
        None => (true, UnixMillis::default(), [0; 16], 0),
    };
    placed.sort_by_key(|(place, _)| key(place));
    Ok(placed.into_iter().map(|(_, file)| file).collect())
}

fn each_block(file: &Path, mut each: impl FnMut(&[u8])) -> Result<(), Failure> {
    let mut open = File::open(file).map_err(|error| about(file, &error))?;
    let mut block = vec![0; BLOCK];
    loop {
        match open.read(&mut block).map_err(|error| about(file, &error))? {
            0 => return Ok(()),
            count => each(&block[..count]),
        }
    }
}

fn check_free(file: &Path) -> Result<(), Failure> {
    if file.exists() {
        let message = format!("{}: it is there already; remove it, or give another name", file.display());
        return Err(Failure::new(FAILED, message));
    }
    Ok(())
}

/// Whole and on the disk when this returns, or not there.
fn write(file: &Path, base64: &Value) -> Result<(), Failure> {
    let bytes = base64.as_str().and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.ok_or_else(|| Failure::new(FAILED, "the hub's answer holds no file"))?;
    let mut partial = file.to_owned().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written =
        File::options().create(true).truncate(true).write(true).mode(0o600).open(&partial).and_then(|mut open| {
            open.write_all(&bytes)?;
            open.sync_all()?;
            fs::rename(&partial, file)
        });
    written.map_err(|error| about(file, &error))
}

fn about(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FAILED, format!("{}: {error}", file.display()))
}

/// How far it is, on a terminal.
struct Progress {
    shown: Instant,
    visible: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shown: Instant::now(), visible: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, progress: &Value) {
        if self.visible && self.shown.elapsed() >= PROGRESS_EVERY {
            self.shown = Instant::now();
            complain(&format!("… {} messages", field(progress, "messages")));
        }
    }
}
