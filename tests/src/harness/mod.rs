//! Real hubs and agents as child processes, on loopback, each in a folder of its own.
//!
//! Always true: ports are picked by the processes themselves; nothing waits for a time, only for a condition with a
//! limit; a process is ended by the id of the child that was started here, and none is left behind.

mod agent;
mod binaries;
mod command;
mod http;
mod hub;
mod line;
mod namespace;
mod network;
mod process;
mod proxy;
mod python;
mod socket;
mod vendor;
mod wait;

pub use agent::Agent;
pub use binaries::{Binary, scratch, workspace};
pub use command::{Answer, run, run_within};
pub use http::{Client, Response};
pub use hub::{ADMIN_PASSWORD, Elsewhere, Hub, private};
pub use line::{Line, PASSWORD, USER};
pub use namespace::{with_loopback_only, with_own_mounts};
pub use network::{BadLine, in_own_network};
pub use process::Process;
pub use proxy::Proxy;
pub use python::python;
pub use socket::call;
pub use vendor::resign;
pub use wait::until;
