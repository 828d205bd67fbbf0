//! The licence rules under any sequence of what may happen to a site: licences are issued, edited, withdrawn and
//! activated, at the hub and at the plant, monitors come and go, and every clock is moved.
//!
//! `site` is the model: the hub's list, what of it has reached the plant, and the plant's clocks. It decides by
//! `protocol::license` and `protocol::trusted_time` alone. A sequence that breaks a rule is shrunk and printed line by line.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where what it relies on is not so")]

#[path = "license_rules/checks.rs"]
mod checks;
#[path = "license_rules/order.rs"]
mod order;
#[path = "license_rules/site.rs"]
mod site;
#[path = "license_rules/steps.rs"]
mod steps;

use proptest::prelude::*;
use site::Site;
use steps::story;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_a_site_the_rules_hold(story in story()) {
        let mut site = Site::new();
        for (number, step) in story.0.iter().enumerate() {
            let before = site.clone();
            site.happen(step);
            if let Err(broken) = checks::all(&before, step, &site) {
                return Err(TestCaseError::fail(format!("after step {} ({step}): {broken}", number + 1)));
            }
        }
    }
}
