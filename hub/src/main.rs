//! The hub's program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sitewarden_hub::cli::run()
}
