//! Power cuts: what a disk may hold when the machine stops, from what a process did to it.
//!
//! A process is watched by strace (`trace`); its calls are played to a model of a disk that keeps only what was synced
//! (`disk`), and a folder is made of what the disk might hold at some moment. The model allows more than file systems
//! do: of what was not synced any part may be there, whole, torn at a sector, or not at all, and a name is there for certain
//! only after its folder was synced. (Names of one folder come to be in order, as on journaling file systems.)

mod disk;
mod trace;

pub use disk::Disk;
pub use trace::{Call, Trace, watched};
