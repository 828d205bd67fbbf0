//! Log lines on standard error.

use crate::config::{Log, LogFormat};
use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

/// Starts logging. A second call changes nothing.
///
/// # Errors
/// One line if the filter cannot be read.
pub fn start(log: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|error| format!("configuration: log.filter: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let json = match log.format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // Fails only if there is a subscriber already, as in tests that start several agents.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(stderr().is_terminal()).try_init()
    };
    Ok(())
}
