//! A key typed at the plant: through the hub where there is a line, and by the site itself where there is none.

use sitewarden_tests::harness::{Line, until};
use std::time::Duration;

fn issue(line: &Line, app: &str, name: &str) -> serde_json::Value {
    let issue = ["license", "issue", "--site", &line.site, "--app", app, "--validity", "1y", "--name", name];
    line.hub.command(&issue).unwrap().json().unwrap()
}

fn status_at_hub(line: &Line, license: &serde_json::Value) -> String {
    let id = license["uuid"].as_str().unwrap();
    let shown = line.hub.command(&["license", "show", id]).unwrap().json().unwrap();
    shown["status"].as_str().unwrap().to_owned()
}

#[test]
fn with_a_line_the_hub_has_activated_when_the_plant_is_answered() {
    let line = Line::new(3).unwrap();
    until(Duration::from_secs(20), "a session", || {
        Ok((line.agent.status()?["sync"]["connected"] == true).then_some(()))
    })
    .unwrap();
    // No wait for the push of this licence: the hub knows the key.
    let license = issue(&line, "CBM", "fresh");
    line.agent.command(&["activate", license["key"].as_str().unwrap()]).unwrap();
    // Nor for the agent's records: the hub has acted before it answered.
    assert_eq!(status_at_hub(&line, &license), "Active");
    assert_eq!(line.app().unwrap().get("/_config/licenses/_verify?app=CBM").unwrap().status, 200);
}

#[test]
fn without_a_line_the_site_activates_and_the_hub_follows_once_it_hears_of_it() {
    let mut line = Line::new(3).unwrap();
    let license = issue(&line, "CBM", "known before the cut");
    until(Duration::from_secs(20), "the licence at the site", || {
        let status = line.agent.status()?;
        let known = status["licenses"].as_array().is_some_and(|all| all.iter().any(|one| one["app"] == "CBM"));
        Ok(known.then_some(()))
    })
    .unwrap();
    line.hub.kill();
    line.agent.command(&["activate", license["key"].as_str().unwrap()]).unwrap();
    assert_eq!(line.app().unwrap().get("/_config/licenses/_verify?app=CBM").unwrap().status, 200);
    line.hub.start().unwrap();
    line.drained().unwrap();
    assert_eq!(status_at_hub(&line, &license), "Active");
}

#[test]
fn a_licence_revoked_while_the_site_was_offline_is_flagged_and_the_hubs_word_stays() {
    let mut line = Line::new(3).unwrap();
    let license = issue(&line, "CBM", "to be revoked");
    until(Duration::from_secs(20), "the licence at the site", || {
        let status = line.agent.status()?;
        let known = status["licenses"].as_array().is_some_and(|all| all.iter().any(|one| one["app"] == "CBM"));
        Ok(known.then_some(()))
    })
    .unwrap();
    // The site acts while the hub is away; the hub revokes before it hears of that.
    line.agent.kill();
    line.hub.command(&["license", "revoke", license["uuid"].as_str().unwrap()]).unwrap();
    line.hub.kill();
    line.agent.start().unwrap();
    line.agent.command(&["activate", license["key"].as_str().unwrap()]).unwrap();
    assert_eq!(line.app().unwrap().get("/_config/licenses/_verify?app=CBM").unwrap().status, 200);
    line.hub.start().unwrap();
    until(Duration::from_secs(30), "the hub's word at the site", || {
        let answer = line.app()?.get("/_config/licenses/_verify?app=CBM")?;
        Ok((answer.status == 401).then_some(()))
    })
    .unwrap();
    line.drained().unwrap();
    assert_eq!(status_at_hub(&line, &license), "Invalid");
    let flags = line.hub.command(&["flag", "list", "--open"]).unwrap().list().unwrap();
    assert!(flags.iter().any(|flag| flag["kind"] == "activation"), "{flags:?}");
}
