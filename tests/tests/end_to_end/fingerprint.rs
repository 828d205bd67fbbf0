//! An agent that finds itself on another machine goes on, and the hub is told once.

use sitewarden_tests::harness::{Line, until};
use std::fs;
use std::time::Duration;

#[test]
fn another_machine_is_told_to_the_hub_once_and_stops_nothing() {
    let mut line = Line::new(3).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    let told = |line: &Line| {
        line.drained().unwrap();
        let words = ["record", "list", "--agent", &line.agent_id, "--kind", "fingerprint", "--all"];
        line.hub.command(&words).unwrap().list().unwrap()
    };
    assert_eq!(told(&line).len(), 0);
    line.agent.stop().unwrap();
    // The folder was copied from a machine with other parts.
    let file = line.agent.folder().join("state/fingerprint.json");
    let digest = vec![7; 32];
    let parts = serde_json::json!({"parts": [["machine_id", digest], ["product_uuid", digest], ["mac", digest]]});
    fs::write(&file, parts.to_string()).unwrap();
    for _ in 0..2 {
        line.agent.start().unwrap();
        // Shown after it was recorded.
        until(Duration::from_secs(20), "the other machine to be seen", || {
            Ok((line.agent.status()?["machine"]["same_machine"] == false).then_some(()))
        })
        .unwrap();
        let records = told(&line);
        assert_eq!(records.len(), 1, "{records:?}");
        assert_eq!(records[0]["body"]["same_machine"], false, "{records:?}");
        assert_eq!(line.app().unwrap().get("/_config/licenses/_verify?app=EMS").unwrap().json(), "Authorised");
        line.agent.stop().unwrap();
    }
}
