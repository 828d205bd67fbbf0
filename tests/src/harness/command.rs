//! One command of a program under test, run to its end.

use super::wait::until;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::Duration;

/// No command of ours may take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// What a command answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub error: String,
    line: String,
}

/// Runs a command to its end.
///
/// # Errors
/// If it cannot be started or does not end.
pub fn run(command: Command) -> Result<Answer> {
    run_within(LIMIT, command)
}

/// Runs a command that may take longer to its end.
///
/// # Errors
/// If it cannot be started or does not end.
pub fn run_within(limit: Duration, mut command: Command) -> Result<Answer> {
    let (mut output, mut error) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(error.try_clone()?);
    let line = format!("{command:?}");
    let mut child = command.spawn().with_context(|| line.clone())?;
    let ended = until(limit, &line, || Ok(child.try_wait()?));
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok(Answer { code: ended?.code(), output: read(&mut output)?, error: read(&mut error)?, line })
}

fn read(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Answer {
    /// The answer, if the command succeeded.
    ///
    /// # Errors
    /// With what the command said, if it did not.
    pub fn succeeded(self) -> Result<Self> {
        if self.code == Some(0) {
            return Ok(self);
        }
        bail!("{} ended with {:?}: {}{}", self.line, self.code, self.output, self.error)
    }

    /// Standard output as one JSON value.
    ///
    /// # Errors
    /// If it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.output).with_context(|| format!("{} answered {}", self.line, self.output))
    }

    /// Standard output as a list: one JSON array, an object with one array in it, or one value a line.
    ///
    /// # Errors
    /// If it is none of them.
    pub fn list(&self) -> Result<Vec<Value>> {
        match serde_json::from_str(&self.output) {
            Ok(Value::Array(rows)) => return Ok(rows),
            Ok(Value::Object(fields)) if fields.values().filter(|value| value.is_array()).count() == 1 => {
                let rows = fields.into_iter().find_map(|(_, value)| value.as_array().cloned());
                return Ok(rows.unwrap_or_default());
            }
            _ => {}
        }
        let lines = self.output.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| serde_json::from_str(line).with_context(|| format!("{} answered {line}", self.line))).collect()
    }
}
