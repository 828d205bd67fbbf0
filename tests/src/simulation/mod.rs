//! The two sync state machines against each other, in virtual time, under every fault that a seed can think of.
//!
//! Everything real that is pure is real here: records, batches, signatures, frames, admission, both state machines. The
//! disk at either end, the line and the callers are models. Always true: a run depends on its seed alone, so a
//! failure replays; the invariants are checked whenever something they speak of has changed.
//!
//! `plan` draws what a run goes through; `world` turns the wheel; `plant` and `vendor` are the drivers.

mod bundles;
mod clock;
mod copies;
pub mod invariants;
pub mod journal;
mod line;
pub mod plan;
mod plant;
pub mod random;
pub mod store;
mod vendor;
mod world;

use invariants::Broken;
pub use world::{Summary, World};

/// A defect put in on purpose, to show that the invariants see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// None: the product as it is.
    None,
    /// The hub sends receipts, then commits.
    ReceiptBeforeCommit,
    /// The hub stores a repeated batch once more.
    StoresRepeats,
    /// The hub takes batches although records before them are missing.
    IgnoresGaps,
    /// The hub steps over what was declared lost and keeps no record of it.
    ForgetsLosses,
    /// The hub is busy for ever.
    StaysBusy,
    /// The agent says yes to callers before its disk does.
    AnswersBeforeSync,
    /// The agent sends what is not on its disk yet.
    SendsBeforeSync,
    /// The journal lets go of what was sent, not of what was confirmed.
    LetsGoOfSent,
    /// The journal knows no quota.
    GrowsForEver,
    /// Licence time is the wall clock.
    BelievesTheWall,
    /// The hub's answer to what time it is counts for nothing.
    IgnoresTheHubsTime,
    /// The agent takes receipts for another history than its own.
    BelievesForeignReceipts,
    /// What a machine recorded since it was rolled back does not come again.
    ForgetsSinceTheFork,
    /// Nobody lets an agent go on whose machine was rolled back.
    NeverClears,
    /// What comes in a bundle counts for the agent as if it were its own journal's end.
    BelievesEveryBundle,
}

/// Runs one seed to its end.
///
/// # Errors
/// The first invariant that did not hold.
pub fn run(seed: u64, mutation: Mutation) -> Result<Summary, Broken> {
    World::new(seed, mutation).run()
}

/// Runs one seed and prints everything that happens.
///
/// # Errors
/// The first invariant that did not hold.
pub fn run_aloud(seed: u64) -> Result<Summary, Broken> {
    World::new(seed, Mutation::None).aloud().run()
}
