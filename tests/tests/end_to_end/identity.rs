//! Identities that outlive outages: certificates, authorities and keys that change while an agent is away.

use sitewarden_certs::renewal::Held;
use sitewarden_protocol::time::UnixMillis;
use sitewarden_tests::harness::{Line, until};
use std::fs;
use std::time::{Duration, SystemTime};

const LIMIT: Duration = Duration::from_secs(120);

fn now() -> UnixMillis {
    UnixMillis(0).after(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap())
}

/// What the agent's own certificate says.
fn certificate(line: &Line) -> Held {
    Held::read(&fs::read(line.agent.folder().join("identity/certificate.der")).unwrap()).unwrap()
}

/// An event, on disk at the agent.
fn report(line: &Line, id: &str) {
    let event = format!(r#"{{"app": "EMS", "kind": "run", "attributes": {{"id": "{id}"}}}}"#);
    let answer = line.app().unwrap().post("/api/v1/telemetry/events", event.as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
}

/// Waits until this event, and everything before it, is at the hub exactly once.
fn arrived(line: &Line, id: &str) {
    until(LIMIT, &format!("event {id} at the hub"), || Ok(line.ids_at_hub()?.contains_key(id).then_some(()))).unwrap();
    let ids = line.ids_at_hub().unwrap();
    assert!(ids.values().all(|times| *times == 1), "{ids:?}");
}

fn connected(line: &Line) {
    until(LIMIT, "a session", || Ok((line.agent.status()?["sync"]["connected"] == true).then_some(()))).unwrap();
}

#[test]
fn a_certificate_is_renewed_by_itself_at_two_thirds_of_its_life() {
    let mut line = Line::with_setting(100, r#"agent_certificate = "45s""#).unwrap();
    let first = certificate(&line);
    until(LIMIT, "the next certificate", || Ok((certificate(&line) != first).then_some(()))).unwrap();
    assert!(now() < first.not_after, "it was renewed only after its end");
    let second = certificate(&line);
    assert_eq!(second.key_digest, first.key_digest);
    assert!(second.not_after > first.not_after);
    // With it the door opens when the first would not open it any more.
    until(LIMIT, "the end of the first certificate", || Ok(first.is_over(now()).then_some(()))).unwrap();
    line.agent.kill();
    line.agent.start().unwrap();
    report(&line, "after the first");
    arrived(&line, "after the first");
}

#[test]
fn certificate_expired_while_offline() {
    let mut line = Line::with_setting(100, r#"agent_certificate = "10s""#).unwrap();
    line.hub.stop().unwrap();
    let held = certificate(&line);
    report(&line, "before its end");
    until(LIMIT, "the certificate's end", || Ok(held.is_over(now()).then_some(()))).unwrap();
    report(&line, "after its end");
    // Also for an agent that starts with a certificate that is over.
    line.agent.kill();
    line.agent.start().unwrap();
    report(&line, "after a start");
    line.hub.start().unwrap();
    for id in ["before its end", "after its end", "after a start"] {
        arrived(&line, id);
    }
    connected(&line);
    assert!(certificate(&line).not_after > held.not_after);
}

fn keys(line: &Line, words: &[&str]) {
    line.hub.command(&[&["keys"], words].concat()).unwrap();
}

fn trusted(line: &Line, kind: &str) -> usize {
    let keys = line.hub.command(&["keys", "list", "--trusted"]).unwrap().list().unwrap();
    keys.iter().filter(|key| key["kind"] == kind).count()
}

#[test]
fn a_connected_agent_follows_a_new_authority_and_the_old_one_is_retired_when_nobody_needs_it() {
    let mut line = Line::new(100).unwrap();
    connected(&line);
    let first = certificate(&line);
    keys(&line, &["rotate", "--authority"]);
    assert_eq!(trusted(&line, "authority"), 2);
    // The agent gets its next certificate from the new authority, and comes again with it.
    until(LIMIT, "the agent to be seen with the new authority", || {
        Ok(line.hub.command(&["keys", "retire", "--authority"]).is_ok().then_some(()))
    })
    .unwrap();
    assert_ne!(certificate(&line), first);
    assert_eq!(trusted(&line, "authority"), 1);
    // The hub shows itself with the new one from now on, also after a start.
    line.hub.stop().unwrap();
    line.hub.start().unwrap();
    report(&line, "with the new authority");
    arrived(&line, "with the new authority");
    let roots = line.hub.command(&["root"]).unwrap().json().unwrap();
    assert_eq!(roots["certificate"].as_str().unwrap().matches("BEGIN CERTIFICATE").count(), 1);
}

#[test]
fn ca_replaced_while_offline() {
    let mut line = Line::new(100).unwrap();
    connected(&line);
    line.agent.kill();
    keys(&line, &["rotate", "--authority"]);
    let refused = line.hub.command(&["keys", "retire", "--authority"]);
    assert!(refused.is_err(), "it was retired although an agent relies on it");
    // The agent misses the whole overlap: neither side's certificate is of any use to the other when it is back.
    keys(&line, &["retire", "--authority", "--force"]);
    line.hub.stop().unwrap();
    line.agent.start().unwrap();
    report(&line, "while away");
    line.hub.start().unwrap();
    arrived(&line, "while away");
    assert_eq!(line.hub.command(&["flag", "list"]).unwrap().list().unwrap(), [] as [serde_json::Value; 0]);
}

#[test]
fn signing_keys_replaced_while_offline() {
    let mut line = Line::new(100).unwrap();
    connected(&line);
    // Told to an agent that is there…
    keys(&line, &["rotate", "--signing"]);
    report(&line, "under the second key");
    arrived(&line, "under the second key");
    line.drained().unwrap();
    line.agent.stop().unwrap();
    // …and twice while it is away, with every key retired that it knows.
    keys(&line, &["rotate", "--signing"]);
    keys(&line, &["rotate", "--signing"]);
    for _ in 0..3 {
        keys(&line, &["retire", "--signing"]);
    }
    assert_eq!(trusted(&line, "signing key"), 1);
    line.hub.command(&["license", "issue", "--site", &line.site, "--app", "CBM", "--name", "later"]).unwrap();
    line.agent.start().unwrap();
    report(&line, "under the fourth key");
    arrived(&line, "under the fourth key");
    line.drained().unwrap();
    until(LIMIT, "the snapshot under the fourth key", || {
        Ok((line.agent.status()?["licenses"].as_array().map_or(0, Vec::len) == 2).then_some(()))
    })
    .unwrap();
    // What lies on the disk is believed at the next start.
    line.agent.kill();
    line.agent.start().unwrap();
    report(&line, "after a start");
    arrived(&line, "after a start");
}
