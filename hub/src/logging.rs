//! The log: on standard error, text for people on a terminal, JSON for machines otherwise.
//!
//! Always true: nothing secret reaches it, because secrets are types that do not print.

use crate::config::{LogFormat, LogLevel};
use std::io::{self, IsTerminal};
use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging. A second call changes nothing: tests start many hubs in one process.
pub fn start(format: LogFormat, level: LogLevel) {
    let text = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let filter = EnvFilter::new(directives(level));
    let log = fmt().with_writer(io::stderr).with_env_filter(filter).with_ansi(text);
    // Fails only if the process logs already.
    let _ = if text { log.try_init() } else { log.json().flatten_event(true).try_init() };
}

/// The libraries below speak of single packets at their finer levels; they stay at `warn` unless all is asked for.
fn directives(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "warn,sitewarden_hub=info",
        LogLevel::Debug => "warn,sitewarden_hub=debug",
        LogLevel::Trace => "debug,sitewarden_hub=trace",
    }
}
