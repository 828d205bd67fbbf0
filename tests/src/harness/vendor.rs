//! Snapshots that a test signs itself, for what no hub would say yet.

use super::agent::Agent;
use anyhow::{Context, Result};
use serde_json::Value;
use sitewarden_certs::secret_file;
use sitewarden_protocol::codec;
use sitewarden_protocol::message::NEWEST_VERSION;
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::snapshot::{Signed, Snapshot};

/// The key that these snapshots are signed with.
const SEED: [u8; 32] = [0x5e; 32];

/// Changes what an agent that does not run was told last, and makes it believe that its hub said so. The revision is far
/// above the hub's, whose own word does not count any more.
///
/// # Errors
/// If the agent's files are not as expected.
pub fn resign(agent: &Agent, change: impl FnOnce(&mut Snapshot)) -> Result<()> {
    let key = PrivateKey::from_seed(&SEED);
    let names = agent.folder().join("identity/agent.json");
    let mut told: Value = serde_json::from_slice(&secret_file::read(&names)?)?;
    let trusted = told["signing_keys"].as_array_mut().context("no signing_keys in agent.json")?;
    trusted.push(Value::String(key.public().to_string()));
    secret_file::write(&names, &serde_json::to_vec(&told)?)?;
    let path = agent.folder().join("state/snapshot.bin");
    let stored: Signed = codec::decode(&secret_file::read(&path)?)?;
    let mut snapshot = stored.read()?;
    snapshot.version.revision += 1_000_000;
    change(&mut snapshot);
    let signed = Signed::make(&snapshot, NEWEST_VERSION, &key);
    Ok(secret_file::write(&path, &codec::encode(&signed))?)
}
