//! The emergency override, from the command line to its end.

use super::support::{DAY, NOW, Site, license, snapshot};
use sitewarden_protocol::license::Status;

#[tokio::test(flavor = "multi_thread")]
async fn an_override_lets_an_expired_plant_run_and_ends_by_itself() {
    let mut expired = license("EMS", 3);
    (expired.status, expired.expires_at) = (Status::Expired, Some(NOW));
    let mut site = Site::new(&snapshot(vec![expired]));
    site.start().await;
    let begun = site.say(&["override", "--days", "5", "--reason", "the vendor cannot be reached"]).await;
    assert_eq!(begun.code, Some(0), "{}", begun.error);
    assert!(begun.text.contains("in force until 2027-01-20T08:00:00Z"), "{}", begun.text);
    assert!(begun.text.contains("2 of 7 days in a year are left"), "{}", begun.text);
    let told = site.say(&["explain", "EMS"]).await.text;
    assert!(told.starts_with("EMS may be used, with a warning."), "{told}");
    assert!(told.contains("an emergency override is in force until 2027-01-20T08:00:00Z"), "{told}");
    let status = site.json(&["status"]).await;
    assert_eq!(status["override"]["until"], "2027-01-20T08:00:00Z", "{status}");
    assert_eq!(status["licenses"][0]["concern"]["changes_at"], "2027-01-20T08:00:00Z", "{status}");
    assert!(site.say(&["status"]).await.text.contains("Override  in force until 2027-01-20T08:00:00Z"));
    site.stop().await;
    site.start().await;
    assert_eq!(site.json(&["explain", "EMS"]).await["verdict"], "warned", "it survives a restart");
    site.clocks.pass(DAY * 6);
    assert_eq!(site.json(&["explain", "EMS"]).await["verdict"], "denied");
    assert!(site.json(&["status"]).await["override"]["until"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_outside_its_bounds_is_refused_in_words() {
    let mut site = Site::new(&snapshot(vec![license("EMS", 3)]));
    site.start().await;
    let long = "x".repeat(501);
    for (days, reason, code, words) in [
        ("8", "why", 1, "8 days are more than the 7 that are left of 7 in a year"),
        ("0", "why", 2, "0 is not in 1.."),
        ("1", " ", 1, "reason: 1 to 500 characters"),
        ("1", &long, 1, "reason: 1 to 500 characters"),
    ] {
        let said = site.say(&["override", "--days", days, "--reason", reason]).await;
        assert_eq!(said.code, Some(code), "{}", said.error);
        assert!(said.error.contains(words), "{}", said.error);
    }
    assert_eq!(site.say(&["override", "--days", "1"]).await.code, Some(2), "a reason is required");
    assert_eq!(site.say(&["override", "--days", "1", "--reason", "why"]).await.code, Some(0));
    let again = site.say(&["override", "--days", "1", "--reason", "why"]).await;
    assert!(again.error.contains("an override is in force until 2027-01-16T08:00:00Z"), "{}", again.error);
    site.stop().await;
    let none = snapshot(vec![license("EMS", 3)]);
    site.replace(&sitewarden_protocol::snapshot::Snapshot { override_days: 0, ..none });
    site.clocks.pass(DAY * 2);
    site.start().await;
    let said = site.say(&["override", "--days", "1", "--reason", "why"]).await;
    assert!(said.error.contains("your vendor allows no emergency override at this site"), "{}", said.error);
}
