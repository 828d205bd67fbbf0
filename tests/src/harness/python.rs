//! Another language's libraries, for what is to be checked by more than our own code.

use anyhow::{Result, bail};
use std::process::{Command, Stdio};

/// A Python that has the library: the one that comes first may not be the system's, which `tests/prerequisites` equips.
///
/// # Errors
/// If none has it.
pub fn python(library: &str) -> Result<Command> {
    for python in ["python3", "/usr/bin/python3"] {
        let mut probe = Command::new(python);
        probe.args(["-c", &format!("import {library}")]).stderr(Stdio::null());
        if probe.status().is_ok_and(|status| status.success()) {
            return Ok(Command::new(python));
        }
    }
    bail!("no Python with {library}; install it with: tests/prerequisites")
}
