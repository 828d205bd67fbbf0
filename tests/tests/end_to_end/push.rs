//! A licence that is changed at the hub is enforced at a connected plant within two seconds of the hub's answer.

use sitewarden_tests::harness::{Client, Line, until};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(2);
const VERIFY: &str = "/_config/licenses/_verify?app=EMS";

/// A line with an activated licence that the hub knows to be; its number there.
fn line() -> (Line, String) {
    let line = Line::new(3).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    line.drained().unwrap();
    let listed = line.hub.command(&["license", "list", "--site", &line.site]).unwrap().list().unwrap();
    assert_eq!(listed[0]["status"], "Active", "{listed:?}");
    let id = listed[0]["id"].to_string();
    until(Duration::from_secs(20), "the hub's word on the activation to be back", || {
        let settled = line.agent.status()?["snapshot_revision"] == shown_revision(&line)?;
        Ok(settled.then_some(()))
    })
    .unwrap();
    (line, id)
}

fn shown_revision(line: &Line) -> anyhow::Result<serde_json::Value> {
    Ok(line.hub.command(&["site", "show", &line.site])?.json()?["revision"].clone())
}

/// How long `_verify` takes from now to its first answer of `status`; it answers otherwise to begin with.
fn enforced(app: &mut Client, status: u16, from: Instant) -> Duration {
    until(Duration::from_secs(20), "the change to be enforced", || {
        Ok((app.get(VERIFY)?.status == status).then(|| from.elapsed()))
    })
    .unwrap()
}

/// Changes the licence and measures.
fn changed(line: &Line, words: &[&str], app: &mut Client, status: u16) -> Duration {
    assert_ne!(app.get(VERIFY).unwrap().status, status, "there is nothing to change");
    let asked = Instant::now(); // Before the hub's answer, so that nothing is flattered.
    line.hub.command(words).unwrap();
    let took = enforced(app, status, asked);
    println!("{words:?} was enforced {took:?} after it was asked for");
    took
}

#[test]
fn a_licence_that_is_edited_revoked_or_renewed_is_enforced_within_two_seconds() {
    let (line, id) = line();
    let mut app = line.app().unwrap();
    let day = |ahead: i64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let at = i64::try_from(now.as_millis()).unwrap() + ahead * 86_400_000;
        sitewarden_protocol::time::UnixMillis(at).to_string()
    };
    let edited = changed(&line, &["license", "edit", &id, "--from", &day(-10), "--until", &day(-1)], &mut app, 401);
    let renewed = changed(&line, &["license", "edit", &id, "--validity", "2y"], &mut app, 200);
    let revoked = changed(&line, &["license", "revoke", &id], &mut app, 401);
    for (what, took) in [("edited", edited), ("renewed", renewed), ("revoked", revoked)] {
        assert!(took < LIMIT, "a licence that was {what} was enforced after {took:?} only");
    }
}
