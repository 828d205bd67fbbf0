//! Stories of one site without a hub: an agent that runs in this process, with a clock that the test turns, and the
//! command line as the operator types it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where what it relies on is not so, and says what it met"
)]

mod clock;
mod explain;
mod relief;
mod support;
