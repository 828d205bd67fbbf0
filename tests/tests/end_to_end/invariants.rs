//! The invariants that hold whatever happens, looked at from outside once the faults are over. (That disk use stays within
//! the quota while a queue grows is shown where quotas are.)

use super::callers::Told;
use sitewarden_tests::harness::{Line, until};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long what the agent itself records after the drain may take to arrive, too.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// Waits for the drain, and compares what callers were told with what is at both ends.
///
/// 1. What was acknowledged is at the hub. 2. Nothing is there twice. 3. The numbers of each epoch have no gap. 4. What the
///    drained journal keeps is little. 5. The queue drains by itself. 6. Both ends count the same.
pub(crate) fn hold(line: &Line, told: &Told) {
    line.drained().unwrap();
    let at_hub = line.ids_at_hub().unwrap();
    let twice: Vec<_> = at_hub.iter().filter(|(_, times)| **times > 1).take(5).collect();
    assert!(twice.is_empty(), "stored more than once: {twice:?}");
    let missing: Vec<_> = told.acknowledged.iter().filter(|id| !at_hub.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{} acknowledged and not at the hub, such as {:?}", missing.len(), missing.first());
    let known = |id: &String| told.acknowledged.contains(id) || told.unknown.contains(id);
    let strange: Vec<_> = at_hub.keys().filter(|id| !known(id)).take(5).collect();
    assert!(strange.is_empty(), "at the hub and never sent: {strange:?}");
    // The agent records the machine and its clock at any time, so both ends are looked at until they are at rest.
    until(SETTLE_LIMIT, "both ends to count the same", || {
        let (epochs, journal) = (epochs_at_hub(line)?, line.agent.status()?["journal"].clone());
        let (epoch, last) = (journal["epoch"].as_u64().unwrap(), journal["last"].as_u64().unwrap());
        let newest = epochs.get(&epoch).and_then(|numbers| numbers.last()).copied();
        Ok((journal["backlog"] == 0 && newest == Some(last)).then_some(()))
    })
    .unwrap();
    assert!(line.agent.status().unwrap()["journal"]["bytes"].as_u64().unwrap() < 64 << 20);
}

/// The numbers of each epoch at the hub, which have no gaps and no repeats.
fn epochs_at_hub(line: &Line) -> anyhow::Result<BTreeMap<u64, BTreeSet<u64>>> {
    let mut epochs: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for record in line.hub.command(&["record", "list", "--agent", &line.agent_id, "--all"])?.list()? {
        let (epoch, number) = (record["epoch"].as_u64().unwrap(), record["seq"].as_u64().unwrap());
        assert!(epochs.entry(epoch).or_default().insert(number), "record {epoch}/{number} is there twice");
    }
    for (epoch, numbers) in &epochs {
        assert_eq!(numbers.last().copied(), Some(numbers.len() as u64), "epoch {epoch} has gaps");
    }
    Ok(epochs)
}
