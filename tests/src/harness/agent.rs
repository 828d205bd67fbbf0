//! An agent in a folder.

use super::binaries::Binary;
use super::command::{Answer, run};
use super::http::Client;
use super::hub::{START_LIMIT, private, serving};
use super::process::{Process, tail};
use super::wait::until;
use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// An agent that can be started, killed and started again on the same folder and the same port.
#[derive(Debug)]
pub struct Agent {
    folder: PathBuf,
    process: Option<Process>,
    http: Option<SocketAddr>,
    environment: Vec<(String, String)>,
    /// What its `serve` is started by, if not by itself.
    under: Vec<String>,
}

impl Agent {
    /// An agent that will live in this folder.
    pub fn new(folder: &Path) -> Self {
        // A test does not wait a minute for the next try.
        let environment = vec![("SITEWARDEN_AGENT_SYNC__RETRY_MAX_SECONDS".into(), "1".into())];
        Self { folder: folder.to_owned(), process: None, http: None, environment, under: Vec::new() }
    }

    /// Sets an environment variable of every later start.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets an environment variable of every later start, or another value of one.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it by another program from now on, which replaces itself by it; by nothing if there are no words.
    pub fn under(&mut self, words: &[&str]) {
        self.under = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// What it has logged.
    ///
    /// # Errors
    /// If it never ran.
    pub fn logged(&self) -> Result<String> {
        let log = self.log();
        fs::read_to_string(&log).with_context(|| log.display().to_string())
    }

    /// Its data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Enrols with a token; the answer may be a failure.
    ///
    /// # Errors
    /// If the command cannot be run.
    pub fn enroll(&self, token: &str) -> Result<Answer> {
        let mut command = self.program()?;
        command.args(["enroll", "--token", token]).arg("--data-dir").arg(&self.folder);
        run(command)
    }

    /// Enrols again with a token for it; the answer may be a failure.
    ///
    /// # Errors
    /// If the command cannot be run.
    pub fn enroll_again(&self, token: &str) -> Result<Answer> {
        self.try_command(&["enroll", "--again", "--token", token])
    }

    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// If it does not come up, with the end of its log.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait()
    }

    /// Starts it without waiting.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn launch(&mut self) -> Result<()> {
        let _ = fs::remove_file(self.address()); // Of a life before; a new file means that it serves.
        let http = self.http.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut command = self.program()?;
        if let Some((first, rest)) = self.under.split_first() {
            let agent = std::mem::replace(&mut command, Command::new(first));
            command.args(rest).arg(agent.get_program());
            command.envs(agent.get_envs().filter_map(|(name, value)| Some((name, value?))));
        }
        command.arg("serve").arg("--data-dir").arg(&self.folder).args(["--http", &http.to_string()]);
        self.process = Some(Process::start(command, &self.log())?);
        Ok(())
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// If it does not come up, with the end of its log.
    pub fn wait(&mut self) -> Result<()> {
        let path = self.address();
        let process = self.process.as_mut().context("the agent does not run")?;
        self.http = Some(serving(process, &path)?);
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM; answers the exit code.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&mut self) -> Result<Option<i32>> {
        let mut process = self.process.take().context("the agent does not run")?;
        Ok(process.stop()?.code())
    }

    /// Waits until it has ended by itself; answers the exit code.
    ///
    /// # Errors
    /// If it does not end.
    pub fn ends(&mut self) -> Result<Option<i32>> {
        let mut process = self.process.take().context("the agent does not run")?;
        Ok(until(START_LIMIT, "the agent to end by itself", || process.ended())?.code())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("the agent does not run")?.signal(signal)
    }

    /// Where the local API is served, once it was started.
    ///
    /// # Errors
    /// Before the first start.
    pub fn http(&self) -> Result<SocketAddr> {
        self.http.context("the agent was never started")
    }

    /// A client of the local API.
    ///
    /// # Errors
    /// Before the first start.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(self.http()?))
    }

    /// Runs a command on it, as typed; the answer may be a failure.
    ///
    /// # Errors
    /// If the command cannot be run.
    pub fn try_command(&self, words: &[&str]) -> Result<Answer> {
        let mut command = self.program()?;
        command.args(words).arg("--data-dir").arg(&self.folder);
        run(command)
    }

    /// Runs a command on it; it must succeed.
    ///
    /// # Errors
    /// With what the command said, if it failed.
    pub fn command(&self, words: &[&str]) -> Result<Answer> {
        self.try_command(words)?.succeeded().with_context(|| tail(&self.log()))
    }

    /// Adds a user of the local API.
    ///
    /// # Errors
    /// As [`Agent::command`].
    pub fn add_user(&self, name: &str, role: &str, password: &str) -> Result<()> {
        let file = self.folder.with_extension(format!("{name}.password"));
        fs::write(&file, format!("{password}\n"))?;
        private(&file)?;
        let path = file.to_str().context("a path in UTF-8")?;
        self.command(&["user", "add", name, "--role", role, "--password-file", path]).map(drop)
    }

    /// `status --json`.
    ///
    /// # Errors
    /// As [`Agent::command`].
    pub fn status(&self) -> Result<Value> {
        self.command(&["status", "--json"])?.json()
    }

    /// Records that the hub has not confirmed.
    ///
    /// # Errors
    /// As [`Agent::command`].
    pub fn backlog(&self) -> Result<u64> {
        self.status()?["journal"]["backlog"].as_u64().context("no backlog in the status")
    }

    /// A metric without labels.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let text = self.client()?.get("/metrics")?.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.trim().parse().ok()).with_context(|| format!("no {name} in the metrics"))
    }

    /// Resident memory, bytes.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resident(&self) -> Result<u64> {
        self.process.as_ref().context("the agent does not run")?.resident()
    }

    /// Processor time used so far.
    ///
    /// # Errors
    /// If it does not run.
    pub fn processor(&self) -> Result<Duration> {
        self.process.as_ref().context("the agent does not run")?.processor()
    }

    fn program(&self) -> Result<Command> {
        let mut command = Command::new(Binary::Agent.path()?);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    fn address(&self) -> PathBuf {
        self.folder.join("run/http.addr")
    }

    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }
}
