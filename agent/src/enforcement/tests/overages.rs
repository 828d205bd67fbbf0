//! From when the grace of an overage counts, over a real journal.

use super::*;
use sitewarden_protocol::license::{Rule, Rung};

/// Quota 2, with so much overage, and a week's grace beyond it.
fn with_overage(revision: u64, overage_percent: u16) -> snapshot::Signed {
    let mut snapshot = plain(revision, Limits { monitors: Some(2), ..Limits::default() });
    let overage = Rule { grace_days: 7, then: Rung::Block };
    snapshot.licenses[0].policy = Policy { overage, overage_percent, ..Policy::default() };
    sign(&snapshot)
}

#[tokio::test]
async fn grace_counts_from_when_more_run_than_is_permitted_and_not_from_the_quota() {
    let (_temporary, folder) = prepare(2);
    let running = start(&folder);
    running.enforcement.install(with_overage(2, 50)).await.unwrap();
    running.enforcement.activate("the key".into(), false, "operator".into()).await.unwrap();
    for monitor in ["a", "b", "c"] {
        running.enforcement.reserve("EMS".into(), monitor.into()).await.unwrap();
    }
    let sold = running.enforcement.state().used("EMS");
    assert!(sold.over_since.is_some() && sold.excess_since.is_none(), "the overage was sold: {sold:?}");
    running.enforcement.install(with_overage(3, 0)).await.unwrap();
    running.enforcement.monitors("EMS".into()).await.unwrap();
    let used = running.enforcement.state().used("EMS");
    assert_eq!(used.over_since, sold.over_since);
    assert!(used.excess_since >= used.over_since, "{used:?}");
    stop(&folder, running, false).await;
    let running = start(&folder);
    assert_eq!(running.enforcement.state().used("EMS"), used, "a replay tells the same");
    assert!(running.enforcement.release("EMS".into(), "c".into()).await.unwrap());
    let within = running.enforcement.state().used("EMS");
    assert_eq!((within.over_since, within.excess_since), (None, None));
}
