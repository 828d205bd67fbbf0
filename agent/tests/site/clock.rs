//! A clock that is moved, seen from the operator.

use super::support::{DAY, NOW, Site, license, snapshot};
use sitewarden_protocol::record::Body;
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::trusted_time::{Cause, Change};
use std::time::Duration;

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

fn told(site: &Site) -> Vec<Change> {
    let change = |body| if let Body::Clock(change) = body { Some(change) } else { None };
    site.records().into_iter().filter_map(change).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_while_the_agent_is_down_makes_no_licence_last_longer() {
    let mut site = Site::new(&snapshot(vec![license("EMS", 2)]));
    site.start().await;
    site.clocks.pass(DAY * 364);
    site.until(|status| status["clock"]["license_time"] == "2028-01-14T08:00:00Z").await;
    site.stop().await;
    site.clocks.set(NOW);
    site.clocks.reboot(DAY);
    site.start().await;
    let status = site.until(|status| status["clock"]["pace"] == "behind").await;
    assert_eq!(status["clock"]["license_time"], "2028-01-14T08:00:00Z", "{status}");
    site.clocks.pass(DAY);
    assert_eq!(site.json(&["explain", "EMS"]).await["verdict"], "denied", "it goes on by uptime");
    site.stop().await;
    let changes = told(&site);
    assert_eq!(changes.iter().map(|change| change.cause).collect::<Vec<_>>(), [Cause::SteppedBack]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_off_for_a_fortnight_goes_on_at_the_right_time() {
    let mut site = Site::new(&snapshot(vec![license("EMS", 2)]));
    site.start().await;
    site.stop().await;
    site.clocks.reboot(DAY * 14);
    site.start().await;
    let clock = &site.json(&["status"]).await["clock"];
    assert_eq!((&clock["license_time"], &clock["pace"]), (&"2027-01-29T08:00:00Z".into(), &"steady".into()), "{clock}");
    site.stop().await;
    assert_eq!(told(&site), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_clock_stops_no_plant_and_is_recorded() {
    let mut site = Site::new(&snapshot(vec![license("EMS", 2)]));
    site.start().await;
    site.stop().await;
    let file = site.state("clock.json");
    std::fs::write(&file, "\0\0\0").unwrap();
    site.clocks.pass(Duration::from_secs(3_600));
    site.start().await;
    assert!(site.state("clock.json.damaged").exists());
    let told_now = site.json(&["explain", "EMS"]).await;
    assert_eq!((&told_now["verdict"], &told_now["at"]), (&"allowed".into(), &"2027-01-15T09:00:00Z".into()));
    site.stop().await;
    let now = NOW.after(Duration::from_secs(3_600));
    assert_eq!(told(&site), [Change { wall: now, before: UnixMillis(0), after: now, cause: Cause::Settled }]);
    assert!(serde_json::from_slice::<serde_json::Value>(&std::fs::read(&file).unwrap()).is_ok(), "it is kept again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_whose_file_is_taken_away_gains_nothing_and_is_recorded() {
    let mut site = Site::new(&snapshot(vec![license("EMS", 2)]));
    site.start().await;
    site.clocks.pass(DAY * 364);
    site.until(|status| status["clock"]["license_time"] == "2028-01-14T08:00:00Z").await;
    // The journal's newest record is of that day.
    site.say(&["monitors", "add", "pump-1", "--app", "EMS"]).await;
    site.stop().await;
    std::fs::remove_file(site.state("clock.json")).unwrap();
    site.clocks.set(NOW);
    site.clocks.reboot(DAY);
    site.start().await;
    let status = site.until(|status| status["clock"]["pace"] == "behind").await;
    assert_eq!(status["clock"]["license_time"], "2028-01-14T08:00:00Z", "{status}");
    site.stop().await;
    let first = told(&site)[0];
    assert_eq!((first.before, first.cause), (UnixMillis(0), Cause::SteppedBack));
}
