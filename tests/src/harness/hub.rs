//! A hub in a folder.

use super::binaries::Binary;
use super::command::{Answer, run};
use super::process::{Process, tail};
use super::wait::until;
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a start may take, recovery included.
pub(super) const START_LIMIT: Duration = Duration::from_secs(60);

/// The password of the first administrator, `admin`; the hub listens on loopback only.
pub const ADMIN_PASSWORD: &str = "an administrator of the tests";

/// A network other than the test's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The address that a hub has there.
    pub address: String,
    /// The command that runs another one there.
    pub enter: Vec<String>,
}

/// A hub that can be started, killed and started again on the same folder and the same ports.
#[derive(Debug)]
pub struct Hub {
    folder: PathBuf,
    elsewhere: Option<Elsewhere>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    process: Option<Process>,
    /// Picked at the first start, kept after it: agents know them.
    ports: Option<(SocketAddr, SocketAddr)>,
}

impl Hub {
    /// Makes a hub in a folder that does not exist yet.
    ///
    /// # Errors
    /// If `init` fails.
    pub fn init(folder: &Path) -> Result<Self> {
        Self::init_at(folder, None)
    }

    /// The same for a hub that serves in another network.
    ///
    /// # Errors
    /// If `init` fails.
    pub fn init_at(folder: &Path, elsewhere: Option<Elsewhere>) -> Result<Self> {
        let password = folder.with_extension("password");
        fs::write(&password, format!("{ADMIN_PASSWORD}\n"))?;
        private(&password)?;
        let mut command = Command::new(Binary::Hub.path()?);
        command.arg("init").arg("--data-dir").arg(folder).arg("--admin-password-file").arg(&password);
        if let Some(elsewhere) = &elsewhere {
            command.args(["--hostname", &elsewhere.address]);
        }
        run(command)?.succeeded()?;
        Ok(Self {
            folder: folder.to_owned(),
            elsewhere,
            environment: Vec::new(),
            arguments: Vec::new(),
            process: None,
            ports: None,
        })
    }

    /// Its data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts a line in front of its settings, for the next start.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn set(&self, line: &str) -> Result<()> {
        let file = self.folder.join("hub.toml");
        let settings = fs::read_to_string(&file)?;
        Ok(fs::write(&file, format!("{line}\n{settings}"))?)
    }

    /// Sets an environment variable of every later start.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Gives these words to `serve`, too, at every later start.
    pub fn set_arguments(&mut self, words: &[&str]) {
        self.arguments = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// If it does not come up, with the end of its log.
    pub fn start(&mut self) -> Result<()> {
        let addresses = ["https.addr", "sync.addr"].map(|name| self.folder.join("run").join(name));
        for address in &addresses {
            let _ = fs::remove_file(address); // Of a life before; a new file means that it serves.
        }
        let address = self.elsewhere.as_ref().map_or("127.0.0.1", |elsewhere| &elsewhere.address);
        let any = SocketAddr::new(address.parse()?, 0);
        let (https, sync) = self.ports.unwrap_or((any, any));
        let mut command = self.program()?;
        command.arg("serve").arg("--data-dir").arg(&self.folder);
        command.args(["--https", &https.to_string(), "--sync", &sync.to_string()]);
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let process = self.process.insert(Process::start(command, &self.folder.with_extension("log"))?);
        let [https, sync] = addresses.map(|path| serving(process, &path));
        self.ports = Some((https?, sync?));
        Ok(())
    }

    /// Where HTTPS is served, once it was started.
    ///
    /// # Errors
    /// Before the first start.
    pub fn https(&self) -> Result<SocketAddr> {
        Ok(self.ports.context("the hub was never started")?.0)
    }

    /// Where agents come in (UDP), once it was started.
    ///
    /// # Errors
    /// Before the first start.
    pub fn sync(&self) -> Result<SocketAddr> {
        Ok(self.ports.context("the hub was never started")?.1)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("the hub does not run")?.signal(signal)
    }

    /// Resident memory, bytes.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resident(&self) -> Result<u64> {
        self.process.as_ref().context("the hub does not run")?.resident()
    }

    /// Processor time used so far.
    ///
    /// # Errors
    /// If it does not run.
    pub fn processor(&self) -> Result<Duration> {
        self.process.as_ref().context("the hub does not run")?.processor()
    }

    /// SIGTERM; answers the exit code.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&mut self) -> Result<Option<i32>> {
        let mut process = self.process.take().context("the hub does not run")?;
        Ok(process.stop()?.code())
    }

    /// Runs a command on it with `--json`, as typed; it must succeed.
    ///
    /// # Errors
    /// With what the command said, if it failed.
    pub fn command(&self, words: &[&str]) -> Result<Answer> {
        self.try_command(words)?.succeeded().with_context(|| tail(&self.folder.with_extension("log")))
    }

    /// Runs a command on it with `--json`, as typed; it may fail.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn try_command(&self, words: &[&str]) -> Result<Answer> {
        let mut command = Command::new(Binary::Hub.path()?);
        command.args(words).arg("--json").arg("--data-dir").arg(&self.folder);
        run(command)
    }

    /// Adds something and answers its id.
    ///
    /// # Errors
    /// As [`Hub::command`].
    pub fn add(&self, words: &[&str]) -> Result<String> {
        text(&self.command(words)?.json()?, "id")
    }

    /// A token for a new agent of a site.
    ///
    /// # Errors
    /// As [`Hub::command`].
    pub fn invite(&self, site: &str) -> Result<String> {
        text(&self.command(&["agent", "invite", "--site", site])?.json()?, "token")
    }

    /// A token that gives an agent other keys.
    ///
    /// # Errors
    /// As [`Hub::command`].
    pub fn invite_again(&self, agent: &str) -> Result<String> {
        text(&self.command(&["agent", "invite", "--agent", agent])?.json()?, "token")
    }

    fn program(&self) -> Result<Command> {
        let hub = Binary::Hub.path()?;
        let Some((first, rest)) = self.elsewhere.as_ref().and_then(|elsewhere| elsewhere.enter.split_first()) else {
            return Ok(Command::new(hub));
        };
        let mut command = Command::new(first);
        command.args(rest).arg(hub);
        Ok(command)
    }

    /// Every event that is stored of an agent.
    ///
    /// # Errors
    /// As [`Hub::command`].
    pub fn events(&self, agent: &str) -> Result<Vec<Value>> {
        self.command(&["record", "list", "--agent", agent, "--kind", "event", "--all"])?.list()
    }
}

/// The address in a file that a starting process writes once it serves.
pub(super) fn serving(process: &mut Process, path: &Path) -> Result<SocketAddr> {
    until(START_LIMIT, &path.display().to_string(), || {
        if let Some(status) = process.ended()? {
            bail!("it ended with {status} instead of serving\n{}", process.tail());
        }
        Ok(fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()))
    })
    .with_context(|| process.tail())
}

/// A field that is a text or a number.
pub(super) fn text(value: &Value, field: &str) -> Result<String> {
    match &value[field] {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => bail!("no {field} in {value}"),
    }
}

/// Makes a secret file 0600.
///
/// # Errors
/// If the file system refuses.
pub fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}
