//! Networks of a test's own, without root: the test runs again in new namespaces, with a bad line between the plant's
//! network, where it and the agent are, and the vendor's, where the hub is.
//!
//! Where the kernel gives no namespaces or no tunnel device, such a test says by name that it was skipped; in CI it fails.

use super::binaries::workspace;
use super::hub::Elsewhere;
use super::namespace::inside;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What a namespace is made with.
const UNSHARE: [&str; 4] = ["--user", "--map-root-user", "--net", "--mount"];
/// The hub's address in the vendor's network.
const HUB: &str = "10.77.1.2";

/// Runs a story in networks of its own; `name` is the test's, as the test program knows it.
///
/// # Errors
/// With what the story said, if it failed; in CI, if there can be no such networks.
pub fn in_own_network(name: &str, story: impl FnOnce() -> Result<()>) -> Result<()> {
    inside(name, &UNSHARE, "command -v ip && command -v python3 && : <> /dev/net/tun", story)
}

/// The line between the two networks. Ends with its owner.
#[derive(Debug)]
pub struct BadLine {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl BadLine {
    /// A good line at first, whose chance begins with this seed.
    ///
    /// # Errors
    /// If it cannot be made; inside [`in_own_network`] only.
    pub fn start(seed: u64) -> Result<Self> {
        let mut command = Command::new("python3");
        command.arg(workspace().join("tests/network/bad_line.py")).arg(seed.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("bad_line.py")?;
        let orders = process.stdin.take().context("its standard input")?;
        let answers = BufReader::new(process.stdout.take().context("its standard output")?);
        let mut line = Self { process, orders, answers };
        ensure!(line.answer()? == "ready", "bad_line.py did not start");
        Ok(line)
    }

    /// The vendor's network.
    pub fn vendor(&self) -> Elsewhere {
        let id = self.process.id().to_string();
        let enter = ["nsenter", "--net", "--target", &id, "--"].map(str::to_owned).to_vec();
        Elsewhere { address: HUB.to_owned(), enter }
    }

    /// These faults from now on, and no others; answers how many packets met which before. See `bad_line.py` for the names.
    ///
    /// # Errors
    /// If the line is gone, or there is no such fault.
    pub fn has(&mut self, faults: &Value) -> Result<Value> {
        writeln!(self.orders, "{faults}")?;
        let answer = self.answer()?;
        serde_json::from_str(&answer).with_context(|| answer)
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the bad line has ended");
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for BadLine {
    fn drop(&mut self) {
        let _ = self.process.kill(); // It may have ended by itself.
        let _ = self.process.wait();
    }
}
