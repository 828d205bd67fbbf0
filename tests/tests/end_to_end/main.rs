//! Stories of the whole line, told with the real programs: `cargo build --workspace` before, or `make test`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where what it relies on is not so, and says what it met"
)]

mod bad_input;
mod callers;
mod control;
mod enrolment;
mod exactly_once;
mod offline;
mod passwords;
mod plant_api;
mod quota;
mod reservation;
mod whole_line;
