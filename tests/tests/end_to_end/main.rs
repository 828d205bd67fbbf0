//! Stories of the whole line, told with the real programs: `cargo build --workspace` before, or `make test`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where what it relies on is not so, and says what it met"
)]

mod activation;
mod again;
mod air_gap;
mod backup;
mod bad_input;
mod bundles;
mod callers;
mod carried;
mod carriers;
mod clock;
mod cloned;
mod control;
mod denials;
mod described;
mod disk;
mod doctor;
mod enrolment;
mod exactly_once;
mod fingerprint;
mod floating;
mod idempotency;
mod identity;
mod invariants;
mod measurements;
mod network;
mod offline;
mod overage;
mod passwords;
mod plant;
mod plant_api;
mod plant_licenses;
mod power;
mod privacy;
mod proof;
mod push;
mod quota;
mod race;
mod relief;
mod reservation;
mod roles;
mod rollback;
mod suspended;
mod users;
mod webhooks;
mod whole_line;
mod without_a_line;
mod wrong_measurements;
