//! How a command ends that could not be done: one line, and an exit code.

use super::output;
use std::process::ExitCode;

pub(super) const FAILED: u8 = 1;
pub(super) const MISUSE: u8 = 2;
pub(super) const NOT_INITIALISED: u8 = 3;

/// Why a command could not be done.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub(super) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// An error with all that led to it, on one line.
    pub(super) fn of(code: u8, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = error.to_string();
        for cause in std::iter::successors(error.source(), |error| error.source()).map(ToString::to_string) {
            // Transparent errors repeat their source.
            if !message.ends_with(&cause) {
                message = format!("{message}: {cause}");
            }
        }
        Self { code, message }
    }

    /// Prints the line, and answers the exit code.
    pub(super) fn report(self) -> ExitCode {
        output::complain(&self.message);
        ExitCode::from(self.code)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(FAILED, format!("the output cannot be written: {error}"))
    }
}
