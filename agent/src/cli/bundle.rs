//! `bundle`: what goes to the hub and comes back in files.

use super::client::Client;
use super::output::{Output, size};
use super::{Failure, enrolled};
use crate::bundle::{Chunk, Chunks, ExportRequest, Exported, MAX_FILE, Outcome, PartDone, Start, offline};
use crate::folder::Folder;
use crate::identity::Identity;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sitewarden_protocol::bundle::Inspector;
use sitewarden_protocol::sealing::OpeningKey;
use std::fs::{self, File};
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often progress is shown on a terminal.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// What is read of a file at once.
const BLOCK: usize = 256 << 10;

#[derive(Subcommand)]
pub(super) enum BundleCommand {
    /// Write what the hub has not confirmed into a file, or several, to be carried to it.
    Export(ExportArgs),
    /// Take what the hub answered: receipts, licences, certificates; or complete an enrolment.
    Import {
        /// The file, or all parts of a bundle.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Show what is in a file; ends with 1 if it is no bundle, or not whole.
    Inspect {
        /// The file, or several.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Args)]
pub(super) struct ExportArgs {
    /// Where to; with --split the parts are FILE.001, FILE.002, …
    file: PathBuf,
    /// The most bytes of one part, 2M or more, such as 650M or 4G.
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    split: Option<u64>,
    /// Begin after what was exported last, although the hub has not confirmed it.
    #[arg(long = "continue", conflicts_with = "after")]
    go_on: bool,
    /// Begin after this record, such as 1:5000, confirmed or not, as far as it is still here.
    #[arg(long, value_name = "EPOCH:NUMBER", value_parser = position)]
    after: Option<(u64, u64)>,
    /// Have the hub activate the licence with this key, - reads it from standard input; the answer comes back with the
    /// hub's bundle.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    activate: Vec<String>,
    /// Let that licence take the place of one in force for the same app.
    #[arg(long, requires = "activate")]
    replace: bool,
}

pub(super) async fn run(folder: &Folder, command: BundleCommand, output: &mut Output) -> Result<(), Failure> {
    match command {
        BundleCommand::Export(args) => export(folder, args, output).await,
        BundleCommand::Import { files } => import(folder, &files, output).await,
        BundleCommand::Inspect { files } => inspect(folder, &files, output),
    }
}

/// `enroll --offline-request FILE`.
pub(super) fn request(
    folder: &Folder,
    (token, again): (&str, bool),
    file: &Path,
    output: &mut Output,
) -> Result<(), Failure> {
    let (bytes, bundle) = offline::request_file(folder, token, again).map_err(super::not_enrolled)?;
    let mut part = Part::begin(file)?;
    part.write(&bytes)?;
    part.finish()?;
    output.value(&json!({"bundle": bundle, "file": file}), |_| {
        format!(
            "Written to {0}. Carry it to the hub: sitewarden-hub bundle import {0} --reply REPLY\n\
             Then here{2}: sitewarden-agent bundle import REPLY --data-dir {1}",
            file.display(),
            folder.path().display(),
            if again { ", when the agent is stopped" } else { "" }
        )
    })
}

async fn export(folder: &Folder, args: ExportArgs, output: &mut Output) -> Result<(), Failure> {
    let start = match (args.after, args.go_on) {
        (Some((epoch, seq)), _) => Start::After(epoch, seq),
        (None, true) => Start::Continue,
        (None, false) => Start::Unconfirmed,
    };
    let client = Client::new(folder)?;
    let activate = args.activate.into_iter().map(super::typed).collect::<Result<_, _>>()?;
    let request = ExportRequest { split: args.split, start, activate, replace: args.replace };
    let mut answer = client.stream("/agent/v1/bundles/export", &request).await?;
    let mut files = Files { base: args.file, split: args.split.is_some(), number: 1, open: None, whole: Vec::new() };
    let (mut chunks, mut progress) = (Chunks::default(), Progress::new());
    loop {
        let Some(bytes) = answer.chunk().await.map_err(Failure::failed)? else {
            return Err(Failure::failed("the agent's answer was cut; the parts that are whole can be used"));
        };
        chunks.feed(&bytes);
        while let Some(chunk) = chunks.take().map_err(Failure::failed)? {
            match chunk {
                Chunk::Bytes(bytes) => {
                    files.write(&bytes)?;
                    progress.add(bytes.len());
                }
                Chunk::Part(part) => {
                    files.finish()?;
                    confirm(&client, &part).await?;
                }
                Chunk::Done(exported) => return done(&exported, &files.whole, output),
                Chunk::Failed(reason) => return Err(Failure::failed(reason)),
            }
        }
    }
}

async fn confirm(client: &Client, part: &PartDone) -> Result<(), Failure> {
    client.post::<Value>("/agent/v1/bundles/exported", part).await.map(drop)
}

fn done(exported: &Exported, files: &[PathBuf], output: &mut Output) -> Result<(), Failure> {
    let mut answer = json!(exported);
    answer["files"] = json!(files);
    output.value(&answer, |_| {
        let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        let what = match exported.records {
            0 => "No records, but how this site stands".to_owned(),
            count => format!("{count} records ({} to {})", exported.after, exported.through),
        };
        let sealed =
            if exported.sealed { "only the hub can open it" } else { "NOT sealed: the hub has told no key yet" };
        let next = match exported.one_way {
            true => "They count as delivered from now on.".to_owned(),
            false => format!(
                "Carry to the hub: sitewarden-hub bundle import {} --reply REPLY, and REPLY back here: \
                 sitewarden-agent bundle import REPLY",
                names.join(" ")
            ),
        };
        format!("{what}, in {}; {sealed}.\n{next}", names.join(", "))
    })
}

async fn import(folder: &Folder, files: &[PathBuf], output: &mut Output) -> Result<(), Failure> {
    let first = read(&files[0])?;
    if offline::completes(folder, &first) {
        let outcome = offline::complete(folder, &first).await.map_err(super::not_enrolled)?;
        return enrolled(folder, &outcome, output);
    }
    let client = Client::new(folder)?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for file in files {
        let outcome = client.upload("/agent/v1/bundles/import", read(file)?).await;
        outcomes.push(outcome.map_err(|failure| failure.about(file))?);
    }
    output.value(&json!(outcomes), |_| outcomes.iter().map(told).collect::<Vec<_>>().join("\n"))
}

fn told(outcome: &Outcome) -> String {
    let confirmed = match outcome.confirmed {
        0 => "Nothing is confirmed that was not before".to_owned(),
        1 => "1 record is confirmed".to_owned(),
        count => format!("{count} records are confirmed"),
    };
    let snapshot = if outcome.snapshot_taken { "is new" } else { "was in force before" };
    let mut lines = vec![
        format!("{confirmed}; {} are still to be sent.", outcome.backlog),
        format!("Snapshot revision {} {snapshot}.", outcome.snapshot_revision),
    ];
    lines.extend(outcome.notes.iter().map(|note| format!("Note: {note}.")));
    lines.join("\n")
}

fn inspect(folder: &Folder, files: &[PathBuf], output: &mut Output) -> Result<(), Failure> {
    let (mut found, keys) = (Vec::new(), own_keys(folder));
    for file in files {
        let mut inspector = Inspector::new(Arc::clone(&keys));
        let mut open = File::open(file).map_err(|error| Failure::failed(error).about(file))?;
        let mut block = vec![0; BLOCK];
        loop {
            let count = open.read(&mut block).map_err(|error| Failure::failed(error).about(file))?;
            if count == 0 {
                break;
            }
            inspector.feed(&block[..count]);
        }
        found.push(inspector.finish());
    }
    let json: Vec<_> = found.iter().map(sitewarden_protocol::bundle::Inspected::json).collect();
    output.value(&json!(json), |_| found.iter().map(|found| found.text()).collect::<Vec<_>>().join("\n\n"))?;
    let problem = files.iter().zip(&found).find_map(|(file, found)| Some((file, found.problem.clone()?)));
    problem.map_or(Ok(()), |(file, problem)| Err(Failure::failed(problem).about(file)))
}

/// What was sealed to this agent can be opened here; without an identity there is just less to see.
fn own_keys(folder: &Folder) -> Arc<[OpeningKey]> {
    let identity = Identity::load(folder).ok();
    identity.and_then(|identity| OpeningKey::of_signer(&identity.signing_key).ok()).into_iter().collect()
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::failed(error).about(file);
    let mut bytes = Vec::new();
    File::open(file).and_then(|open| open.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() > MAX_FILE {
        let message =
            format!("the file has more than {} MiB; what a hub writes for an agent is smaller", MAX_FILE >> 20);
        return Err(Failure::failed(message).about(file));
    }
    Ok(bytes)
}

/// The files of an export.
struct Files {
    base: PathBuf,
    split: bool,
    number: u32,
    open: Option<Part>,
    whole: Vec<PathBuf>,
}

impl Files {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.open.is_none() {
            let mut name = self.base.clone().into_os_string();
            if self.split {
                name.push(format!(".{:03}", self.number));
            }
            self.open = Some(Part::begin(Path::new(&name))?);
        }
        match &mut self.open {
            Some(part) => part.write(bytes),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if let Some(part) = self.open.take() {
            self.whole.push(part.finish()?);
        }
        self.number += 1;
        Ok(())
    }
}

/// A file that gets its name when it is whole and on the disk.
struct Part {
    file: File,
    name: PathBuf,
    partial: PathBuf,
}

impl Part {
    fn begin(name: &Path) -> Result<Self, Failure> {
        if name.exists() {
            return Err(Failure::failed("it is there already; remove it, or give another name").about(name));
        }
        let mut partial = name.to_owned().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&partial);
        let file = file.map_err(|error| Failure::failed(error).about(&partial))?;
        Ok(Self { file, name: name.to_owned(), partial })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| Failure::failed(error).about(&self.partial))
    }

    fn finish(self) -> Result<PathBuf, Failure> {
        let result = self.file.sync_all().and_then(|()| fs::rename(&self.partial, &self.name)).and_then(|()| {
            let folder = self.name.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        });
        result.map_err(|error| Failure::failed(error).about(&self.name))?;
        Ok(self.name)
    }
}

/// How far it is, on a terminal.
struct Progress {
    bytes: u64,
    shown: Instant,
    visible: bool,
}

impl Progress {
    fn new() -> Self {
        Self { bytes: 0, shown: Instant::now(), visible: std::io::stderr().is_terminal() }
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.visible && self.shown.elapsed() >= PROGRESS_EVERY {
            self.shown = Instant::now();
            // Nobody has to see it.
            drop(writeln!(std::io::stderr(), "… {}", size(self.bytes)));
        }
    }
}

/// A number of bytes with K, M or G behind it, powers of 1024.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "a size is a number of bytes, or one with K, M or G behind it, 2M or more, such as 650M".to_owned();
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).filter(|size| *size >= crate::bundle::MIN_SPLIT).ok_or_else(wrong)
}

fn position(text: &str) -> Result<(u64, u64), String> {
    let parsed = text.split_once(':').and_then(|(epoch, seq)| Some((epoch.parse().ok()?, seq.parse().ok()?)));
    parsed.ok_or_else(|| "a record is named by epoch and number, such as 1:5000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_too_small_ones_refused() {
        assert_eq!((bytes("650M"), bytes("4g"), bytes("2097152")), (Ok(650 << 20), Ok(4 << 30), Ok(2 << 20)));
        for bad in ["", "M", "1M", "2.5M", "-2M", "99999999999G", "é"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_record_is_named_by_epoch_and_number() {
        assert_eq!(position("1:5000"), Ok((1, 5_000)));
        assert!(position("5000").is_err() && position("1:").is_err());
    }
}
