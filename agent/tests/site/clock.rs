//! A clock that is moved, seen from the operator.

use super::support::{DAY, NOW, Site, license, snapshot};
use sitewarden_protocol::time::UnixMillis;

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_moved_is_a_warning_in_words_and_burns_nothing() {
    let mut site = Site::new(&snapshot(vec![license("EMS", 2)]));
    site.start().await;
    assert!(site.json(&["status"]).await["clock"]["warning"].is_null());
    site.clocks.set(NOW.after(DAY * 1_000));
    site.until(|status| status["clock"]["pace"] == "ahead").await;
    assert_eq!(site.json(&["explain", "EMS"]).await["verdict"], "allowed");
    let said = site.say(&["status"]).await.text;
    assert!(said.contains("WARNING: this machine's clock is 1000 days ahead of license time"), "{said}");
    site.clocks.set(NOW);
    site.until(|status| status["clock"]["pace"] == "steady").await;
    site.clocks.set(UnixMillis(NOW.0 - 3_600_000));
    let status = site.until(|status| status["clock"]["pace"] == "behind").await;
    assert!(status["clock"]["offset_seconds"].as_i64().unwrap() <= -3_600, "{status}");
    assert_eq!(site.json(&["explain", "EMS"]).await["verdict"], "allowed");
}
