//! The command line.

mod bundle;
mod client;
mod explanation;
mod output;
mod relief;
mod serve;
mod sessions;
mod user;
mod webhook;

use crate::clock::Moment;
use crate::config::Config;
use crate::doctor::{self, Finding, State};
use crate::enrolment;
use crate::folder::{self, Folder};
use crate::http::{ActivateRequest, MonitorRequest, Status, Told};
use clap::{Args, Parser, Subcommand};
use client::Client;
use output::Output;
use serde_json::{Value, json};
use std::io::{BufRead, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// The longest line that is read from standard input, bytes.
const MAX_LINE: u64 = 8 << 10;

/// Enforces licences on site, offline, and carries telemetry to the hub.
#[derive(Parser)]
#[command(name = "sitewarden-agent", version, max_term_width = 100)]
struct Cli {
    /// The agent's data folder.
    #[arg(long, global = true, env = "SITEWARDEN_AGENT_DATA_DIR", default_value = "/var/lib/sitewarden/agent")]
    data_dir: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make this machine known to its hub, with a token from `sitewarden-hub agent invite`.
    Enroll {
        /// The token, one line that begins with swt; - reads it from standard input, so that no list of processes and
        /// no shell history shows it.
        #[arg(long)]
        token: String,
        /// Where there is no line: write a request into this file, to be carried to the hub. Its answer is taken by
        /// `bundle import`.
        #[arg(long, value_name = "FILE")]
        offline_request: Option<PathBuf>,
        /// Give an agent that is known other keys: it keeps its id, its licences, monitors and queue. On its own folder, whatever
        /// became of its keys, or on a new machine in place of one that is gone; with a token of `sitewarden-hub agent invite
        /// --agent`. The agent must not run.
        #[arg(long)]
        again: bool,
    },
    /// Run the agent in the foreground until SIGTERM.
    Serve {
        /// Where the local API listens; port 0 picks one. Overrides agent.toml.
        #[arg(long, value_name = "ADDR")]
        http: Option<SocketAddr>,
    },
    /// Show licences, quotas, the queue and the line to the hub.
    Status,
    /// Look at everything the agent needs (folder, settings, identity, licences, journal, disk), running or not, and say what
    /// is wrong; ends with 1 if something is.
    Doctor,
    /// Activate the licence with this key.
    Activate {
        /// The licence key; - reads it from standard input, which spares quoting its signs.
        #[arg(allow_hyphen_values = true)]
        key: String,
        /// Give up the licence that is in force for the same app.
        #[arg(long)]
        replace: bool,
    },
    /// Say why an app may or may not be used, and what will change on which date.
    Explain {
        /// The app's code, such as EMS.
        app: String,
        /// What would be so then, if nothing else happened: a day such as 2027-03-01, or a moment in RFC 3339.
        #[arg(long, value_name = "DATE", value_parser = date)]
        at: Option<String>,
    },
    /// Let the plant run for some days although a licence has expired or the hub cannot be reached.
    Override(relief::OverrideArgs),
    /// List, reserve or release monitors.
    #[command(subcommand)]
    Monitors(Monitors),
    /// List machines and floating users, release users, forget machines.
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// Carry records to the hub, and its answers back, in files.
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    /// Manage who may call the local API.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Manage what the hub's webhook is signed with.
    #[command(subcommand)]
    WebhookSecret(webhook::Command),
}

#[derive(Subcommand)]
enum Monitors {
    /// List an app's monitors.
    List(ForApp),
    /// Reserve a monitor.
    Add(OneMonitor),
    /// Release a monitor.
    Remove(OneMonitor),
}

#[derive(Args)]
struct ForApp {
    /// The app's code, such as EMS.
    #[arg(long)]
    app: String,
}

#[derive(Args)]
struct OneMonitor {
    /// The monitor's identifier, as the app names it.
    monitor: String,
    /// The app's code, such as EMS.
    #[arg(long)]
    app: String,
}

/// What went wrong, and the exit code that says so.
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub(crate) fn failed(error: impl ToString) -> Self {
        Self { code: 1, message: error.to_string() }
    }

    /// The same, of this file.
    fn about(self, file: &std::path::Path) -> Self {
        Self { message: format!("{}: {}", file.display(), self.message), ..self }
    }

    pub(crate) fn misuse(error: impl ToString) -> Self {
        Self { code: 2, message: error.to_string() }
    }
}

impl From<folder::Error> for Failure {
    fn from(error: folder::Error) -> Self {
        let code = match error {
            folder::Error::NotEnrolled(_) => 3,
            folder::Error::InUse(_) => 4,
            folder::Error::Owner { .. } | folder::Error::Secret(_) | folder::Error::Io { .. } => 1,
        };
        Self { code, message: error.to_string() }
    }
}

/// Runs the command line: 0 done, 1 failed, 2 misuse or bad configuration, 3 not enrolled, 4 in use.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::new(cli.json);
    match dispatch(cli, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            output.failure(&message);
            ExitCode::from(code)
        }
    }
}

fn dispatch(cli: Cli, output: &mut Output) -> Result<(), Failure> {
    let folder = Folder::at(&cli.data_dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(async {
        match cli.command {
            Command::Enroll { token, offline_request: None, again } => {
                enroll(&folder, (&typed(token)?, again), output).await
            }
            Command::Enroll { token, offline_request: Some(file), again } => {
                bundle::request(&folder, (&typed(token)?, again), &file, output)
            }
            Command::Serve { http } => serve::run(&folder, http).await,
            Command::Status => {
                let status: Status = Client::new(&folder)?.get("/agent/v1/status", &[]).await?;
                output.status(&status)
            }
            Command::Doctor => examine(&folder, output),
            Command::Activate { key, replace } => {
                let request = ActivateRequest { key: typed(key)?, replace };
                let answer: Value = Client::new(&folder)?.post("/agent/v1/activate", &request).await?;
                output.value(&answer, |answer| {
                    format!("License {} for {} activated.", text(answer, "name"), text(answer, "app"))
                })
            }
            Command::Explain { app, at } => explain(&folder, &app, at.as_deref(), output).await,
            Command::Override(args) => relief::begin(&folder, args, output).await,
            Command::Monitors(command) => monitors(&folder, command, output).await,
            Command::Sessions(command) => sessions::run(&folder, command, output).await,
            Command::Bundle(command) => bundle::run(&folder, command, output).await,
            Command::User(command) => user::run(&folder, command, output).await,
            Command::WebhookSecret(command) => webhook::run(&folder, command, output).await,
        }
    })
}

async fn enroll(folder: &Folder, (token, again): (&str, bool), output: &mut Output) -> Result<(), Failure> {
    let way = Config::load(folder, None).map_err(Failure::misuse)?.way(folder);
    let outcome = enrolment::enrol(folder, token, again, &way).await.map_err(not_enrolled)?;
    enrolled(folder, &outcome, output)
}

fn not_enrolled(error: enrolment::Error) -> Failure {
    match error {
        enrolment::Error::Folder(error) => error.into(),
        enrolment::Error::Token(_) | enrolment::Error::NotAgain | enrolment::Error::OnlyAgain(_) => {
            Failure::misuse(error)
        }
        error => Failure::failed(error),
    }
}

fn enrolled(folder: &Folder, outcome: &enrolment::Outcome, output: &mut Output) -> Result<(), Failure> {
    let answer = json!({
        "agent_id": outcome.agent, "site_id": outcome.site, "site_name": outcome.site_name, "licenses": outcome.licenses,
    });
    output.value(&answer, |_| {
        format!(
            "Enrolled as agent {} of site {}.\nNext: sitewarden-agent serve --data-dir {}",
            outcome.agent,
            outcome.site_name,
            folder.path().display()
        )
    })
}

fn examine(folder: &Folder, output: &mut Output) -> Result<(), Failure> {
    folder.check_enrolled()?;
    let findings = doctor::look(folder, crate::clock::wall());
    let row = |finding: &Finding| json!({"what": finding.what, "state": finding.state.name(), "told": finding.told});
    output.value(&json!({"findings": findings.iter().map(row).collect::<Vec<_>>()}), |_| {
        let line = |found: &Finding| format!("{:<10} {:<9} {}", found.what, found.state.name(), found.told);
        findings.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    if findings.iter().any(|finding| finding.state == State::Wrong) {
        return Err(Failure::failed("something is wrong with this agent; see above"));
    }
    Ok(())
}

async fn explain(folder: &Folder, app: &str, at: Option<&str>, output: &mut Output) -> Result<(), Failure> {
    let query: Vec<_> = [("app", app)].into_iter().chain(at.map(|at| ("at", at))).collect();
    let told: Told = Client::new(folder)?.get("/agent/v1/explain", &query).await?;
    output.told(&told, at.is_some())
}

/// A date, left as it was typed: the agent, which knows what time it is for licences, reads it.
fn date(text: &str) -> Result<String, String> {
    text.parse::<Moment>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

async fn monitors(folder: &Folder, command: Monitors, output: &mut Output) -> Result<(), Failure> {
    let client = Client::new(folder)?;
    let request = |one: OneMonitor| MonitorRequest { app: one.app, monitor: one.monitor };
    let path = "/agent/v1/monitors";
    match command {
        Monitors::List(ForApp { app }) => {
            let answer: Value = client.get(path, &[("app", &app)]).await?;
            output.value(&answer, output::monitor_list)
        }
        Monitors::Add(one) => {
            let answer: Value = client.post(path, &request(one)).await?;
            output.value(&answer, |answer| {
                format!("Monitor {} reserved for {}.", text(answer, "monitor"), text(answer, "app"))
            })
        }
        Monitors::Remove(one) => {
            let answer: Value = client.delete(path, &request(one)).await?;
            output.value(&answer, |answer| {
                let done = if answer["released"] == true { "released" } else { "was not reserved" };
                format!("Monitor {} of {}: {done}.", text(answer, "monitor"), text(answer, "app"))
            })
        }
    }
}

/// What was given, or the first line of standard input for `-`.
fn typed(given: String) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given);
    }
    let mut line = String::new();
    std::io::stdin().lock().take(MAX_LINE).read_line(&mut line).map_err(Failure::failed)?;
    Ok(line.trim().to_owned())
}

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap_or_default()
}
