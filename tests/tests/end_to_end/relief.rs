//! An emergency override: begun at the plant within the vendor's bounds, recorded, and shown at the hub.

use sitewarden_tests::harness::{Line, until};
use std::time::Duration;

#[test]
fn an_override_is_bounded_by_the_vendor_and_shown_at_the_hub() {
    let line = Line::new(3).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    line.hub.command(&["site", "edit", &line.site, "--override-days", "2"]).unwrap();
    let longer = ["override", "--days", "3", "--reason", "the vendor cannot be reached"];
    until(Duration::from_secs(20), "the vendor's bound at the site", || {
        let refused = line.agent.try_command(&longer)?;
        Ok(refused.error.contains("3 days are more than the 2 that are left of 2 in a year").then_some(()))
    })
    .unwrap();
    line.agent.command(&["override", "--days", "2", "--reason", "the vendor cannot be reached"]).unwrap();
    let again = line.agent.try_command(&["override", "--days", "1", "--reason", "again"]).unwrap();
    assert!(again.error.contains("an override is in force until"), "{}", again.error);
    line.drained().unwrap();
    let flags = line.hub.command(&["flag", "list", "--open"]).unwrap().list().unwrap();
    let flag = flags.iter().find(|flag| flag["kind"] == "override").unwrap_or_else(|| panic!("{flags:?}"));
    assert_eq!((&flag["details"]["days"], &flag["details"]["reason"]), (&2.into(), &longer[4].into()));
}
