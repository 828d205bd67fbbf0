//! Sessions in good order.

use crate::support::{TestHub, act, dial, endpoint, until};
use quinn::ConnectionError;
use sitewarden_hub::metrics::{Outcome, Reason};
use sitewarden_hub::store::{Holder, NewLicense};
use sitewarden_protocol::chain::Cursor;
use sitewarden_protocol::id::SiteId;
use sitewarden_protocol::license::{Kind, Limits, Policy, Term};
use sitewarden_protocol::message::{Hello, LiveStatus, Refusal, ToAgent, ToHub};
use std::time::{Duration, Instant};

fn license(site: SiteId, name: &str) -> NewLicense {
    NewLicense {
        holder: Holder::Site(site),
        app: "EMS".to_owned(),
        name: name.to_owned(),
        kind: Kind::Perpetual,
        term: Term::Endless,
        limits: Limits::default(),
        features: vec![],
        policy: Policy::default(),
        thresholds: vec![],
        description: String::new(),
    }
}

#[tokio::test]
async fn a_batch_sent_twice_is_stored_once_and_confirmed_twice() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let batch = agent.batch(100);
    for session in 0..2 {
        let (mut line, _) = agent.session(&hub).await;
        for _ in 0..2 {
            line.send(ToHub::Batch(batch.clone())).await;
            let receipt = agent.receipt(&mut line).await;
            assert_eq!((receipt.agent, receipt.through), (agent.id, agent.end), "session {session}");
        }
    }
    assert_eq!(hub.hub.store().count_records(agent.id).await.unwrap(), 100);
    let metrics = hub.hub.metrics();
    assert_eq!((metrics.batches(Outcome::Stored), metrics.batches(Outcome::Duplicate)), (1, 3));
    assert_eq!(metrics.records.get(), 100);
    until("all given back", || metrics.held_bytes.get() == 0 && metrics.writer_queue.get() == 0).await;
}

#[tokio::test]
async fn many_batches_on_the_way_are_confirmed_in_order() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut line, _) = agent.session(&hub).await;
    let mut ends = Vec::new();
    for _ in 0..40 {
        let batch = agent.batch(50);
        ends.push(agent.end);
        line.send(ToHub::Batch(batch)).await;
    }
    for end in ends {
        assert_eq!(agent.receipt(&mut line).await.through, end);
    }
    assert_eq!(hub.hub.store().count_records(agent.id).await.unwrap(), 2_000);
}

#[tokio::test]
async fn a_welcome_says_what_the_hub_has() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    agent.good_session(&hub).await;
    let mut line = agent.connect(&hub).await;
    line.send(ToHub::Hello(agent.hello())).await;
    let Some(ToAgent::Welcome(welcome)) = line.receive().await else { panic!("no welcome") };
    let receipt = welcome.receipts[0].verify(&agent.trust.signing_keys).unwrap();
    assert_eq!(receipt.through, agent.end);
}

#[tokio::test]
async fn a_batch_that_does_not_join_on_is_refused_with_the_place_to_begin_from() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut line, _) = agent.session(&hub).await;
    let _lost_on_the_way = agent.batch(5);
    let batch = agent.batch(5);
    line.send(ToHub::Batch(batch)).await;
    let Some(ToAgent::Refused(refused)) = line.receive().await else { panic!("not refused") };
    assert_eq!((refused.first.seq, refused.last.seq), (6, 10));
    assert_eq!(refused.refusal, Refusal::Missing(Cursor::start(agent.id, 1)));
}

#[tokio::test]
async fn a_new_licence_reaches_a_connected_agent_within_two_seconds() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let agent = hub.agent_at(site).await;
    let (mut line, before) = agent.session(&hub).await;
    let issued_at = Instant::now();
    hub.hub.store().issue_license(&act(), license(site, "L1")).await.unwrap();
    let Some(ToAgent::Snapshot(snapshot)) = line.receive().await else { panic!("no snapshot") };
    assert!(issued_at.elapsed() < Duration::from_secs(2));
    let snapshot = snapshot.verify(&agent.trust.signing_keys).unwrap();
    assert_eq!(snapshot.licenses[0].name, "L1");
    assert!(snapshot.version > before.version);
    assert_eq!(hub.hub.metrics().snapshots_pushed.get(), 1);
}

#[tokio::test]
async fn an_agent_that_has_the_newest_snapshot_gets_none() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (_, snapshot) = agent.session(&hub).await;
    let mut line = agent.connect(&hub).await;
    line.send(ToHub::Hello(Hello { snapshot: snapshot.version, ..agent.hello() })).await;
    assert!(matches!(line.receive().await, Some(ToAgent::Welcome(_))));
    let batch = agent.batch(1);
    line.send(ToHub::Batch(batch)).await;
    // What comes next is the receipt, not a snapshot.
    agent.receipt(&mut line).await;
}

#[tokio::test]
async fn what_an_agent_says_of_itself_is_kept() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut line, _) = agent.session(&hub).await;
    line.send(ToHub::Status(LiveStatus { backlog: 77, ..LiveStatus::default() })).await;
    let batch = agent.batch(1);
    line.send(ToHub::Batch(batch)).await;
    agent.receipt(&mut line).await;
    let shown = hub.hub.store().show_agent(agent.id).await.unwrap().agent;
    assert_eq!(shown.live.unwrap().backlog, 77);
    assert_eq!(shown.address.as_deref(), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_revoked_agent_is_cut_off_at_once_and_kept_out() {
    let hub = TestHub::start().await;
    let agent = hub.agent().await;
    let (mut line, _) = agent.session(&hub).await;
    hub.hub.store().revoke_agent(&act(), agent.id, Default::default()).await.unwrap();
    let Some(ToAgent::Goodbye(goodbye)) = line.receive().await else { panic!("no goodbye") };
    assert_eq!(goodbye.reason, "the agent was revoked");
    assert_eq!(line.closed().await, 12);
    let again = agent.connect(&hub).await;
    assert_eq!(again.closed().await, 12);
}

#[tokio::test]
async fn an_agent_that_comes_back_again_and_again_loses_its_oldest_connection() {
    let hub = TestHub::start().await;
    let agent = hub.agent().await;
    let (first, _) = agent.session(&hub).await;
    let (mut second, _) = agent.session(&hub).await;
    let (_third, _) = agent.session(&hub).await;
    assert_eq!(first.closed().await, 2);
    second.send(ToHub::Status(LiveStatus::default())).await;
    assert!(second.connection.close_reason().is_none());
    let metrics = hub.hub.metrics();
    until("two sessions", || metrics.sessions.get() == 2).await;
}

#[tokio::test]
async fn one_more_than_allowed_is_refused_until_another_is_gone() {
    let hub = TestHub::start_with(|config| config.limits.max_connections = 1).await;
    let mut agent = hub.agent().await;
    let (line, _) = agent.session(&hub).await;
    let refused = dial(endpoint(), &hub, agent.tls()).await.err().expect("was let in");
    assert!(matches!(refused, ConnectionError::ConnectionClosed(_)), "{refused}");
    hub.refused(Reason::ConnectionLimit, 1).await;
    drop(line);
    let metrics = hub.hub.metrics();
    until("nobody is in", || metrics.connections.get() == 0).await;
    agent.good_session(&hub).await;
}

#[tokio::test]
async fn many_from_one_address_prove_that_it_is_theirs_and_get_in() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let mut lines = Vec::new();
    for _ in 0..12 {
        lines.push(hub.agent_at(site).await.session(&hub).await);
    }
    assert_eq!(hub.hub.metrics().sessions.get(), 12);
}
