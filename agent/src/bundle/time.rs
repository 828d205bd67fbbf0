//! What time it is by the hub, asked and answered in bundles: `state/asked-time.json` has the last question.
//!
//! Always true: an answer says that it was no earlier than the hub's word, and no later than that word plus what has passed
//! here since the question, which the machine's own uptime tells unless it was started again. So an answer that was on the
//! way for weeks still takes back a licence time that ran ahead, and never puts it forward by the weeks.

use super::{Error, Parts, random};
use crate::host;
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::hub_time::{Nonce, Signed};
use std::time::Duration;

const FILE: &str = "asked-time.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    nonce: Nonce,
    /// The machine's start at which it was asked.
    boot: [u8; 16],
    /// The machine's uptime then, milliseconds.
    uptime: u64,
}

/// A new question, which takes the place of the one before.
pub(super) fn ask(parts: &Parts) -> Result<Nonce, Error> {
    let uptime = u64::try_from(parts.clock.uptime().as_millis()).unwrap_or(u64::MAX);
    let asked = Asked { nonce: random()?, boot: host::boot_id(), uptime };
    secret_file::write(&parts.folder.state(FILE), &serde_json::to_vec(&asked).unwrap_or_default())?;
    Ok(asked.nonce)
}

/// The hub's answer; what is to be told of it.
pub(super) fn answered(parts: &Parts, signed: &Signed) -> Option<String> {
    let asked: Asked = serde_json::from_slice(&secret_file::read(&parts.folder.state(FILE)).ok()?).ok()?;
    let at = signed.verify(&parts.trusted(), parts.names.agent, &asked.nonce).ok()?;
    parts.clock.heard(at);
    let uptime = u64::try_from(parts.clock.uptime().as_millis()).unwrap_or(u64::MAX);
    let passed = uptime.checked_sub(asked.uptime).filter(|_| asked.boot == host::boot_id())?;
    let latest = at.after(Duration::from_millis(passed));
    let before = parts.clock.now();
    if before <= latest {
        return None;
    }
    parts.clock.answered(latest);
    Some(format!("licence time was ahead ({before}) and is taken back to {latest}, by the hub's word"))
}
