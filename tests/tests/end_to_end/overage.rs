//! A quota that is lowered below what runs stops nothing that runs: it blocks what is new, and says so.

use sitewarden_tests::harness::{Client, Line, until};
use std::time::Duration;

const VERIFY: &str = "/_config/licenses/_verify?app=EMS";

fn explained(line: &Line) -> serde_json::Value {
    line.agent.command(&["explain", "EMS", "--json"]).unwrap().json().unwrap()
}

fn license_id(line: &Line) -> String {
    let licenses = line.hub.command(&["license", "list", "--site", &line.site]).unwrap().list().unwrap();
    licenses[0]["id"].as_str().map_or_else(|| licenses[0]["id"].to_string(), str::to_owned)
}

/// The in-use counts of the overages that the hub was told, oldest first.
fn told(line: &Line) -> Vec<(u64, u64)> {
    line.drained().unwrap();
    let words = ["record", "list", "--agent", &line.agent_id, "--kind", "overage", "--all", "--oldest-first"];
    let records = line.hub.command(&words).unwrap().list().unwrap();
    let number = |record: &serde_json::Value, field: &str| record["body"][field].as_u64().unwrap();
    records.iter().map(|record| (number(record, "in_use"), number(record, "quota"))).collect()
}

fn reserve(app: &mut Client, monitor: &str) -> (u16, String) {
    let answer = app.put(&format!("/_config/monitors/{monitor}?app=EMS")).unwrap();
    (answer.status, answer.text())
}

#[test]
fn a_quota_lowered_below_what_runs_blocks_only_what_is_new() {
    let line = Line::new(3).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    let mut app = line.app().unwrap();
    for monitor in ["a", "b", "c"] {
        assert_eq!(reserve(&mut app, monitor).0, 200);
    }
    line.hub.command(&["license", "edit", &license_id(&line), "--quota", "1"]).unwrap();
    until(Duration::from_secs(20), "the lowered quota", || Ok((explained(&line)["permitted"] == 1).then_some(())))
        .unwrap();

    let listed = app.get("/_config/monitors/_list?app=EMS").unwrap().json();
    assert_eq!(listed["in_use"], 3, "{listed}");
    assert_eq!(app.get(VERIFY).unwrap().json(), "Authorised");
    assert_eq!(reserve(&mut app, "a").0, 200, "what runs may be reserved again");
    let (status, text) = reserve(&mut app, "d");
    assert!(status == 409 && text.contains("the monitor count (4) exceeds the permitted count (1)"), "{text}");
    let explained = explained(&line);
    assert_eq!((&explained["verdict"], &explained["new_monitors"]), (&"no_new".into(), &false.into()), "{explained}");
    assert!(explained["reasons"][0]["text"].as_str().unwrap().contains("3 monitors run"), "{explained}");
    assert_eq!(told(&line), [(3, 1)]);

    for monitor in ["b", "c"] {
        line.agent.command(&["monitors", "remove", monitor, "--app", "EMS"]).unwrap();
    }
    assert_eq!(self::explained(&line)["verdict"], "allowed");
    assert_eq!(told(&line), [(3, 1), (1, 1)], "the end is told too");
}
