//! What Sitewarden's tests stand on: a simulated plant and vendor in virtual time, and a harness of real processes, and a model
//! of what disks keep when the power goes.
//!
//! Test code may end the test where it stands when something it relies on is not so, hence the lints switched off here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

pub mod harness;
pub mod power;
pub mod simulation;
