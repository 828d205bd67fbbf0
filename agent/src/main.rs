//! The `sitewarden-agent` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // For TLS clients that are made without a provider of their own; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    sitewarden_agent::cli::run()
}
