//! Slow, mute and hostile peers, and too many of them: each is bounded, and the hub is well meanwhile and after it.

use crate::https::upgrade;
use crate::support::{Agent, PATIENCE, TestHub, dial_at, endpoint, until};
use sitewarden_certs::tls;
use sitewarden_hub::metrics::Reason;
use sitewarden_protocol::frame::{self, MAX_BODY};
use sitewarden_protocol::message::{ToAgent, ToHub};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_quic_connections_must_prove_its_address_and_is_refused_past_the_limit() {
    let hub = TestHub::start_with(|config| config.limits.max_connections = 20).await;
    let mut agent = hub.agent().await;
    let flood = endpoint();
    let mut dials = JoinSet::new();
    for _ in 0..150 {
        let (flood, tls, to) = (flood.clone(), agent.tls(), hub.hub.sync_addr());
        dials.spawn(async move { dial_at(flood, to, tls).await.err() });
    }
    let refused = dials.join_all().await.into_iter().flatten().count() as u64;
    let metrics = hub.hub.metrics();
    assert!(metrics.address_proofs.get() > 0, "nobody had to prove an address");
    assert!(refused > 0 && metrics.refused(Reason::ConnectionLimit) > 0, "nobody was refused");
    flood.close(0_u32.into(), b"");
    until("the places to be free", || metrics.connections.get() == 0).await;
    agent.good_session(&hub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_is_let_go_before_its_handshake() {
    let hub = TestHub::start().await;
    let mut mute = TcpStream::connect(hub.hub.https_addr()).await.unwrap();
    let mut bytes = Vec::new();
    let ended = timeout(PATIENCE, mute.read_to_end(&mut bytes)).await.expect("it is still there");
    assert!(ended.is_err() || bytes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_says_nothing_is_let_go_on_either_carrier() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut https, mut quic) = (upgrade(&hub, agent.https()).await.unwrap(), agent.connect(&hub).await);
    // A stream exists for the hub with its first byte: so it has one, and no more.
    quic.send_bytes(b"S").await;
    let (word, code) = tokio::join!(https.parted(), quic.closed());
    assert_eq!((word.as_str(), code), ("no hello", 9));
    hub.refused(Reason::Mute, 2).await;
    agent.good_session(&hub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversize_frame_is_refused_from_its_header() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let mut line = agent.https_session(&hub).await;
    let mut head = frame::encode(b"");
    head[8..12].copy_from_slice(&u32::try_from(MAX_BODY + 1).unwrap().to_le_bytes());
    line.send_bytes(&head).await;
    assert_eq!(line.parted().await, "bad frame");
    hub.refused(Reason::Oversize, 1).await;
    agent.good_session(&hub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_from_one_address_leaves_room_for_others() {
    let hub = TestHub::start_with(|config| config.limits.max_per_address = 2).await;
    // More than an address may have, agents and others together.
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(TcpStream::connect(hub.hub.https_addr()).await.unwrap());
    }
    let turned_away = timeout(PATIENCE, flood[199].read(&mut [0])).await.expect("one too many is let in");
    assert!(matches!(turned_away, Ok(0) | Err(_)));
    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::enrolment_client(hub.keys.authorities.serving().fingerprint()).unwrap())
        .local_address(elsewhere)
        .timeout(PATIENCE)
        .no_proxy()
        .build()
        .unwrap();
    let url = format!("https://127.0.0.1:{}/healthz", hub.hub.https_addr().port());
    assert_eq!(client.get(url).send().await.unwrap().status(), 200);
}

const HEAVY_AGENTS: u64 = 6;
/// How often the light one sends, each time when the one before is confirmed.
const LIGHT_BATCHES: usize = 9;
/// What all heavy ones may have on the way at once.
const ON_THE_WAY: u64 = HEAVY_AGENTS * sitewarden_protocol::sync::WINDOW as u64;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_little_to_send_does_not_wait_for_those_with_much() {
    let hub = Arc::new(TestHub::start().await);
    let site = hub.site().await;
    let work = Arc::<Work>::default();
    let mut light = hub.agent_at(site).await;
    let (mut line, _) = light.session(&hub).await;
    let mut heavy = JoinSet::new();
    for _ in 0..HEAVY_AGENTS {
        let agent = hub.agent_at(site).await;
        heavy.spawn(drain(Arc::clone(&hub), agent, Arc::clone(&work)));
    }
    until("the heavy ones to be at work", || work.confirmed.load(Ordering::Relaxed) > ON_THE_WAY).await;
    let mut waits = Vec::new();
    for _ in 0..LIGHT_BATCHES {
        let before = work.confirmed.load(Ordering::Relaxed);
        let batch = light.batch(1);
        line.send(ToHub::Batch(batch)).await;
        light.receipt(&mut line).await;
        waits.push(work.confirmed.load(Ordering::Relaxed) - before);
    }
    work.enough.store(true, Ordering::Relaxed);
    heavy.join_all().await;
    // What was on the way goes first, and of the next as much may be stored before anybody here counts it. Whoever waits
    // for those with much to have done would wait for ever: they go on until he is through. A machine that leaves a
    // reader without a turn shows in one wait or another, so the middle one counts.
    waits.sort_unstable();
    assert!(waits[LIGHT_BATCHES / 2] <= 2 * ON_THE_WAY, "batches that went first: {waits:?}");
}

/// What the heavy ones have done, and whether it is enough.
#[derive(Default)]
struct Work {
    confirmed: AtomicU64,
    enough: AtomicBool,
}

/// Sends batches as fast as the window allows until it is enough, and counts those that are confirmed.
async fn drain(hub: Arc<TestHub>, mut agent: Agent, work: Arc<Work>) {
    let (mut line, _) = agent.session(&hub).await;
    let mut on_the_way = 0;
    loop {
        while on_the_way < sitewarden_protocol::sync::WINDOW && !work.enough.load(Ordering::Relaxed) {
            let batch = agent.batch(400);
            line.send(ToHub::Batch(batch)).await;
            on_the_way += 1;
        }
        if on_the_way == 0 {
            return;
        }
        match line.receive().await {
            Some(ToAgent::Receipt(_)) => {
                on_the_way -= 1;
                work.confirmed.fetch_add(1, Ordering::Relaxed);
            }
            other => panic!("no receipt: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_a_stopping_hub_sends_away_come_back_in_turns() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let (agent, other) = (hub.agent_at(site).await, hub.agent_at(site).await);
    let (mut quic, _) = agent.session(&hub).await;
    let mut https = other.https_session(&hub).await;
    let stopping = tokio::spawn(hub.stop());
    let (one, two) = tokio::join!(quic.receive(), https.receive());
    for goodbye in [one, two] {
        let Some(ToAgent::Goodbye(goodbye)) = goodbye else { panic!("no goodbye: {goodbye:?}") };
        // The first second's turn; a crowd has more, see the registry's own test.
        assert_eq!(goodbye.come_back_after, 0);
    }
    drop((quic, https));
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
}
