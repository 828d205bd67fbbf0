//! What must never get in: each is refused, logged once, counted, and the hub is well after it.

use crate::log;
use crate::support::{Agent, AgentKeys, Line, TestHub, dial, endpoint, now, until};
use sitewarden_certs::authority::AGENT_LIFE;
use sitewarden_certs::authority::Authority;
use sitewarden_certs::tls::{self, SYNC_ALPN};
use sitewarden_hub::metrics::{Outcome, Reason};
use sitewarden_protocol::frame::{self, HEADER, MAX_BODY};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{Hello, ToAgent, ToHub};
use sitewarden_protocol::signing::Signature;
use std::sync::Arc;

/// Sends bytes at the start of a stream, and expects them to be refused for a reason with a close number.
async fn refuses(bytes: &[u8], finish: bool, reason: Reason, close: u64) {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let mut line = agent.connect(&hub).await;
    line.send_bytes(bytes).await;
    if finish {
        line.send.finish().unwrap();
    }
    is_refused(&hub, &mut agent, &line, reason, close).await;
}

async fn is_refused(hub: &TestHub, agent: &mut Agent, line: &Line, reason: Reason, close: u64) {
    assert_eq!(line.closed().await, close);
    hub.refused(reason, 1).await;
    let id = agent.id.to_string();
    let about = || {
        let lines = log::lines_with(&id);
        lines.into_iter().filter(|line| line.contains("refused a session")).collect::<Vec<_>>()
    };
    until("a log line", || !about().is_empty()).await;
    agent.good_session(hub).await;
    assert_eq!(about().len(), 1, "{:?}", about());
    assert!(about()[0].contains(reason.name()) && about()[0].contains("WARN"), "{:?}", about());
    hub.refused(reason, 1).await;
}

fn hello_frame() -> Vec<u8> {
    let hello = Hello {
        oldest_version: 1,
        newest_version: 1,
        agent: AgentId::from_bytes([9; 16]),
        program: "x".repeat(40),
        boot_id: [0; 16],
        epochs: vec![],
        snapshot: sitewarden_protocol::snapshot::Version::default(),
    };
    ToHub::Hello(hello).to_frame()
}

#[tokio::test]
async fn an_oversize_frame() {
    let mut frame = frame::encode(b"");
    frame[8..12].copy_from_slice(&u32::try_from(MAX_BODY + 1).unwrap().to_le_bytes());
    refuses(&frame, false, Reason::Oversize, 4).await;
}

#[tokio::test]
async fn a_truncated_frame() {
    refuses(&hello_frame()[..HEADER + 10], true, Reason::Truncated, 4).await;
}

#[tokio::test]
async fn a_frame_with_a_flipped_bit() {
    let mut frame = hello_frame();
    frame[HEADER + 12] ^= 0x10;
    refuses(&frame, false, Reason::Checksum, 4).await;
}

#[tokio::test]
async fn random_bytes() {
    let mut bytes = vec![0; 4_096];
    getrandom::fill(&mut bytes).unwrap();
    bytes[0] = b'x'; // Random, but never a frame's beginning.
    refuses(&bytes, false, Reason::NotAFrame, 4).await;
}

#[tokio::test]
async fn a_frame_that_holds_no_message() {
    refuses(&frame::encode(&[0xff; 64]), false, Reason::Unreadable, 4).await;
}

#[tokio::test]
async fn a_hello_of_another_agent() {
    refuses(&hello_frame(), false, Reason::WrongAgent, 6).await;
}

#[tokio::test]
async fn a_message_before_the_hello() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let mut line = agent.connect(&hub).await;
    let (_, batch) = agent.batch_by(1, &agent.keys.signing);
    line.send(ToHub::Batch(batch)).await;
    is_refused(&hub, &mut agent, &line, Reason::OutOfTurn, 7).await;
}

#[tokio::test]
async fn an_agent_of_a_version_that_nobody_speaks_is_told() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let mut line = agent.connect(&hub).await;
    line.send(ToHub::Hello(Hello { oldest_version: 900, newest_version: 901, ..agent.hello() })).await;
    assert!(matches!(line.receive().await, Some(ToAgent::Goodbye(_))));
    is_refused(&hub, &mut agent, &line, Reason::Version, 8).await;
}

#[tokio::test]
async fn a_batch_of_another_agent() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let other = Agent { id: AgentId::from_bytes([3; 16]), keys: AgentKeys::new(), ..clone(&agent) };
    let (mut line, _) = agent.session(&hub).await;
    let (_, batch) = other.batch_by(2, &other.keys.signing);
    line.send(ToHub::Batch(batch)).await;
    is_refused(&hub, &mut agent, &line, Reason::WrongAgent, 6).await;
}

#[tokio::test]
async fn a_batch_signed_with_another_key() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut line, _) = agent.session(&hub).await;
    let (_, batch) = agent.batch_by(2, &AgentKeys::new().signing);
    line.send(ToHub::Batch(batch)).await;
    is_refused(&hub, &mut agent, &line, Reason::BadBatch, 5).await;
    assert_eq!(hub.hub.metrics().batches(Outcome::Invalid), 1);
    assert_eq!(hub.hub.store().count_records(agent.id).await.unwrap(), 3);
}

#[tokio::test]
async fn a_batch_without_signature() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut line, _) = agent.session(&hub).await;
    let (_, mut batch) = agent.batch_by(2, &agent.keys.signing);
    batch.signature = Signature([0; 64]);
    line.send(ToHub::Batch(batch)).await;
    is_refused(&hub, &mut agent, &line, Reason::BadBatch, 5).await;
}

#[tokio::test]
async fn a_client_without_certificate() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(hub.keys.authorities.serving().cert_der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![SYNC_ALPN.to_vec()];
    is_kept_out(&hub, tls, Reason::NoCertificate).await;
    agent.good_session(&hub).await;
}

#[tokio::test]
async fn a_client_of_another_authority() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let foreign = Authority::create("Somebody else", now()).unwrap();
    let keys = AgentKeys::new();
    let issued = foreign.issue_agent(&keys.tls.csr_der().unwrap(), agent.id, AGENT_LIFE, now()).unwrap();
    let tls = tls::sync_client(&agent.trust.authorities, &issued.cert_der, &keys.tls.pem()).unwrap();
    is_kept_out(&hub, tls, Reason::UntrustedCertificate).await;
    agent.good_session(&hub).await;
}

#[tokio::test]
async fn a_certificate_of_an_agent_that_nobody_enrolled() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (stranger, keys) = (AgentId::from_bytes([8; 16]), AgentKeys::new());
    let issued =
        hub.keys.authorities.serving().issue_agent(&keys.tls.csr_der().unwrap(), stranger, AGENT_LIFE, now()).unwrap();
    let tls = tls::sync_client(&agent.trust.authorities, &issued.cert_der, &keys.tls.pem()).unwrap();
    is_kept_out(&hub, tls, Reason::UnknownAgent).await;
    agent.good_session(&hub).await;
}

#[tokio::test]
async fn a_certificate_for_a_key_that_is_not_the_agents_own_any_more() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let keys = AgentKeys::new();
    let issued =
        hub.keys.authorities.serving().issue_agent(&keys.tls.csr_der().unwrap(), agent.id, AGENT_LIFE, now()).unwrap();
    let tls = tls::sync_client(&agent.trust.authorities, &issued.cert_der, &keys.tls.pem()).unwrap();
    is_kept_out(&hub, tls, Reason::OldKey).await;
    agent.good_session(&hub).await;
}

/// The client may learn it while dialling or right after; the hub's side is what counts.
async fn is_kept_out(hub: &TestHub, tls: rustls::ClientConfig, reason: Reason) {
    let endpoint = endpoint();
    let address = endpoint.local_addr().unwrap().to_string();
    if let Ok(line) = dial(endpoint, hub, tls).await {
        line.connection.closed().await;
    }
    hub.refused(reason, 1).await;
    until("a log line", || !log::lines_with(&address).is_empty()).await;
    let lines = log::lines_with(&address);
    assert!(lines.len() == 1 && lines[0].contains(reason.name()) && lines[0].contains("WARN"), "{lines:?}");
}

fn clone(agent: &Agent) -> Agent {
    Agent {
        id: agent.id,
        certificate: agent.certificate.clone(),
        keys: AgentKeys::new(),
        trust: agent.trust.clone(),
        end: agent.end,
    }
}
