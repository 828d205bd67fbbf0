//! What machines under licences use: sums by the hour and the day, kept in the transaction that stores what they are of.
//!
//! Always true: an answer costs the same however many heartbeats it stands for. What each figure means:
//!
//! - **heartbeats**: how often machines said how many users they have, in heartbeats or with a claim in `validate`.
//! - **active users** of an hour: the most users that each machine had in it, summed over machines. Of a day, week or month:
//!   its busiest hour. "At the same time" means "within the same hour" here.
//! - **average users**: what heartbeats said, divided by their number.
//! - **unique activations**: different machines that were heard of, on the UTC days that the range touches. Exact while no
//!   day of the scope had more than 512 of them, else within 2.3 per cent (see `sketch`).
//! - **new activations**: machines that were activated for the first time.
//! - **feature usage**: what heartbeats said, summed, on the UTC days that the range touches. Unique users of a feature are
//!   different machines that used it: whoever sits behind one is only ever counted.
//!
//! Machines that call the hub are dated by its clock, those of an agent by the site's licence time: what a plant did offline
//! for a month is put where it belongs when it arrives.

mod ledger;
mod read;
mod scope;
mod sketch;

pub(super) use ledger::{Ledger, Seen};
#[cfg(test)]
pub(super) use read::queries;
pub use read::{FeatureUse, MAX_SPAN_DAYS, Statistics, Usage, UsageOf, UsagePoint, UsageSpan};
pub(super) use read::{peak, scope_of, tallied, used_ever};
pub(super) use scope::{Place, of_license, of_site};

/// Milliseconds.
const HOUR: i64 = 3_600_000;
