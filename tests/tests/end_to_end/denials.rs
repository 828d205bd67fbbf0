//! Every denial reaches the hub with its cause, and a loop of them as a number.

use sitewarden_tests::harness::{Line, USER};

#[test]
fn denied_checks_reach_the_hub_as_one_record_and_a_count() {
    let mut line = Line::new(3).unwrap();
    let mut app = line.app().unwrap();
    for _ in 0..50 {
        assert_eq!(app.get("/_config/licenses/_verify?app=EMS").unwrap().status, 401);
    }
    // A clean stop writes what was counted.
    assert_eq!(line.agent.stop().unwrap(), Some(0));
    line.agent.start().unwrap();
    line.drained().unwrap();
    let words = ["record", "list", "--agent", &line.agent_id, "--kind", "denials", "--all", "--oldest-first"];
    let records = line.hub.command(&words).unwrap().list().unwrap();
    let counts: Vec<_> = records.iter().map(|record| record["body"]["count"].as_u64().unwrap()).collect();
    assert_eq!((counts.first(), counts.iter().sum::<u64>()), (Some(&1), 50), "{records:?}");
    assert!(counts.len() <= 3, "a record a minute at most: {records:?}");
    let body = &records[0]["body"];
    assert_eq!((&body["app"], &body["action"]), (&"EMS".into(), &"verify".into()));
    // Who asked leaves the site as a pseudonym only.
    let user = body["user"].as_str().unwrap();
    assert!(user.starts_with("anon-") && user != USER, "{body}");
    assert_eq!(body["cause"], "the license L1 for EMS is not activated; activate it with its key");
}
