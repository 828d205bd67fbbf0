//! The store, against real files.

mod enrolling;
mod ingesting;
mod licensing;
mod paging;
