//! HTTPS carries what QUIC carries: falling back to it and coming back, and the way through a proxy.

use anyhow::Result;
use serde_json::Value;
use sitewarden_tests::harness::{Hub, Line, Proxy, private, scratch, until};
use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const EVENTS: u64 = 50;

/// Restarts the agent with other settings of its line.
fn restart(line: &mut Line, settings: &[(&str, &str)]) {
    line.agent.stop().unwrap();
    for (name, value) in settings {
        line.agent.set(&format!("SITEWARDEN_AGENT_SYNC__{name}"), value);
    }
    line.agent.start().unwrap();
}

/// Waits until a session stands over this carrier.
fn goes_over(line: &Line, carrier: &str) {
    until(LIMIT, &format!("a session over {carrier}"), || {
        let sync = sync(line)?;
        Ok((sync["connected"] == true && sync["carrier"] == carrier).then_some(()))
    })
    .unwrap();
    let metric =
        |name: &str| line.agent.metric(&format!("sitewarden_agent_sync_carrier{{carrier=\"{name}\"}}")).unwrap();
    let other = if carrier == "quic" { "https" } else { "quic" };
    assert_eq!((metric(carrier), metric(other)), (1.0, 0.0));
}

/// Waits until the agent says why there is no session.
fn trouble(line: &Line, words: &str) -> String {
    until(LIMIT, words, || {
        let trouble = sync(line)?["trouble"].as_str().unwrap_or_default().to_owned();
        Ok(trouble.contains(words).then_some(trouble))
    })
    .unwrap()
}

fn sync(line: &Line) -> Result<Value> {
    Ok(line.agent.status()?["sync"].clone())
}

/// Sends some events and sees them arrive.
fn carries(line: &Line, from: u64) {
    let mut app = line.app().unwrap();
    for id in from..from + EVENTS {
        let event = format!(r#"{{"app": "EMS", "kind": "run", "count": 1, "attributes": {{"id": "{id}"}}}}"#);
        assert_eq!(app.post("/api/v1/telemetry/events", event.as_bytes()).unwrap().status, 202);
    }
    line.drained().unwrap();
    let ids = line.ids_at_hub().unwrap();
    assert!((0..from + EVENTS).all(|id| ids.get(&id.to_string()) == Some(&1)), "{ids:?}");
}

#[test]
fn https_alone_carries_records_pushes_and_activations() {
    let mut line = Line::new(3).unwrap();
    restart(&mut line, &[("CARRIER", "https")]);
    goes_over(&line, "https");
    line.agent.command(&["activate", &line.key]).unwrap();
    carries(&line, 0);
    let mut app = line.app().unwrap();
    assert_eq!(app.get("/_config/licenses/_verify?app=EMS").unwrap().status, 200);
    let listed = line.hub.command(&["license", "list", "--site", &line.site]).unwrap().list().unwrap();
    line.hub.command(&["license", "revoke", &listed[0]["id"].to_string()]).unwrap();
    until(Duration::from_secs(5), "the push", || {
        Ok((app.get("/_config/licenses/_verify?app=EMS")?.status == 401).then_some(()))
    })
    .unwrap();
    assert_eq!(line.hub.stop().unwrap(), Some(0));
    until(LIMIT, "the session to be over", || Ok((sync(&line)?["connected"] == false).then_some(()))).unwrap();
    line.hub.start().unwrap();
    goes_over(&line, "https");
    carries(&line, EVENTS);
    line.hub.command(&["agent", "revoke", &line.agent_id]).unwrap();
    trouble(&line, "revoked");
}

/// UDP blocked: what the agent sends to the hub's UDP port is swallowed, as by a firewall, and later it is not.
#[test]
fn udp_blocked_and_opened_again() {
    let mut line = Line::new(3).unwrap();
    goes_over(&line, "quic");
    line.agent.stop().unwrap();
    // The port that the agent was told of belongs to nobody who answers.
    let wall = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let real = line.hub.sync().unwrap().port();
    tell(&line, wall.local_addr().unwrap().port());
    line.agent.set("SITEWARDEN_AGENT_SYNC__QUIC_RETRY_SECONDS", "1");
    line.agent.start().unwrap();
    goes_over(&line, "https");
    carries(&line, 0);
    // It is tried again beside the session, and does no harm in vain.
    wall.set_read_timeout(Some(LIMIT)).unwrap();
    let mut tries = 0;
    while tries < 20 {
        tries += usize::from(wall.recv_from(&mut [0; 2_000]).is_ok());
    }
    goes_over(&line, "https");
    relay(wall, real);
    goes_over(&line, "quic");
    carries(&line, EVENTS);
    assert!(line.agent.logged().unwrap().contains("QUIC gets through to the hub again"));
}

/// Another UDP port of the hub, for the agent's next start.
fn tell(line: &Line, port: u16) {
    let path = line.agent.folder().join("identity/agent.json");
    let mut names: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    names["sync_port"] = port.into();
    fs::write(&path, names.to_string()).unwrap();
}

/// Passes datagrams between whoever sends to `wall` and the hub, until the process ends.
fn relay(wall: UdpSocket, hub: u16) {
    let out = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    out.connect(("127.0.0.1", hub)).unwrap();
    wall.set_read_timeout(None).unwrap();
    let (back, away) = (wall.try_clone().unwrap(), out.try_clone().unwrap());
    let agent = std::sync::Arc::new(std::sync::Mutex::new(None));
    let seen = std::sync::Arc::clone(&agent);
    std::thread::spawn(move || {
        let mut bytes = [0; 2_000];
        while let Ok((length, from)) = wall.recv_from(&mut bytes) {
            *seen.lock().unwrap() = Some(from);
            let _ = away.send(&bytes[..length]);
        }
    });
    std::thread::spawn(move || {
        let mut bytes = [0; 2_000];
        while let Ok(length) = out.recv(&mut bytes) {
            let to = *agent.lock().unwrap();
            let _ = to.map(|to| back.send_to(&bytes[..length], to));
        }
    });
}

#[test]
fn a_proxy_is_gone_through_and_its_credentials_stay_secret() {
    const WORD: &str = "never-in-a-log";
    let proxy = Proxy::start(Some(("plant", WORD))).unwrap();
    let mut line = Line::new(3).unwrap();
    restart(&mut line, &[("CARRIER", "https"), ("PROXY", &proxy.url())]);
    trouble(&line, "wants a user and a password (407)");
    assert_eq!(proxy.tunnels(), 0);
    let file = line.agent.folder().join("proxy.credentials");
    fs::write(&file, format!("plant:{WORD}\n")).unwrap();
    restart(&mut line, &[("PROXY_CREDENTIALS_FILE", "proxy.credentials")]);
    trouble(&line, "chmod 600");
    private(&file).unwrap();
    goes_over(&line, "https");
    assert!(proxy.tunnels() > 0);
    carries(&line, 0);
    let log = line.agent.logged().unwrap();
    assert!(!log.contains(WORD) && !log.contains("cGxhbnQ6"), "{log}");
}

/// A proxy that opens TLS: it answers in the hub's place, with a certificate of its own authority.
#[test]
fn a_proxy_that_opens_tls_gets_nothing_and_is_named() {
    let folder = scratch().unwrap();
    let mut other = Hub::init(&folder.path().join("other")).unwrap();
    other.start().unwrap();
    let proxy = Proxy::start(None).unwrap();
    proxy.lead_to(Some(other.https().unwrap()));
    let mut line = Line::new(3).unwrap();
    restart(&mut line, &[("CARRIER", "https"), ("PROXY", &proxy.url())]);
    trouble(&line, "have it let connections to the hub pass unopened");
    proxy.lead_to(None);
    goes_over(&line, "https");
    carries(&line, 0);
}

/// The hub's reset and token keys are kept over its restarts: agents hear at once that their connections are gone, and do
/// not wait for their idle time-out of 30 s.
#[test]
fn a_killed_hub_is_found_again_at_once() {
    let mut line = Line::new(3).unwrap();
    restart(&mut line, &[("CARRIER", "quic")]);
    goes_over(&line, "quic");
    carries(&line, 0);
    line.hub.kill();
    line.hub.start().unwrap();
    let back = std::time::Instant::now();
    carries(&line, EVENTS);
    assert!(back.elapsed() < Duration::from_secs(15), "it took {:?}", back.elapsed());
}
