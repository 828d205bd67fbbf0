//! The HTTPS carrier: the same frames on an upgraded connection, with the same rules.

use crate::support::{Agent, PATIENCE, TestHub, act, until};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use sitewarden_certs::{HUB_NAME, tls};
use sitewarden_hub::metrics::Reason;
use sitewarden_protocol::frame::{HEADER, Header};
use sitewarden_protocol::message::{ToAgent, ToHub};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// An upgraded connection, or the status and word that were answered instead.
pub async fn upgrade(hub: &TestHub, tls: rustls::ClientConfig) -> Result<HttpsLine, (StatusCode, String)> {
    let stream = TcpStream::connect(hub.hub.https_addr()).await.unwrap();
    let name = ServerName::try_from(HUB_NAME).unwrap();
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = Request::get("/sync/v1").header("host", "hub").header("connection", "upgrade");
    let request = request.header("upgrade", tls::SYNC_UPGRADE).body(String::new()).unwrap();
    let response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = axum::body::to_bytes(axum::body::Body::new(response.into_body()), 1_000).await.unwrap();
        return Err((status, String::from_utf8(body.to_vec()).unwrap()));
    }
    Ok(HttpsLine(TokioIo::new(hyper::upgrade::on(response).await.unwrap())))
}

#[derive(Debug)]
pub struct HttpsLine(TokioIo<Upgraded>);

impl HttpsLine {
    pub async fn send(&mut self, message: ToHub) {
        self.send_bytes(&message.to_frame()).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        // The hub may close in the middle of it.
        let _ = timeout(PATIENCE, self.0.write_all(bytes)).await.unwrap();
        let _ = self.0.flush().await;
    }

    /// The next message; `None` if there is no more.
    pub async fn receive(&mut self) -> Option<ToAgent> {
        let mut head = [0; HEADER];
        timeout(PATIENCE, self.0.read_exact(&mut head)).await.expect("no message came").ok()?;
        let header = Header::parse(&head).unwrap();
        let mut body = vec![0; header.length()];
        self.0.read_exact(&mut body).await.ok()?;
        header.check(&body).unwrap();
        Some(ToAgent::from_body(&body).unwrap())
    }

    /// The reason of the goodbye that is the last thing to come.
    pub async fn parted(&mut self) -> String {
        let mut last = None;
        while let Some(message) = self.receive().await {
            last = Some(message);
        }
        match last {
            Some(ToAgent::Goodbye(goodbye)) => goodbye.reason,
            other => panic!("no goodbye: {other:?}"),
        }
    }
}

impl Agent {
    pub fn https(&self) -> rustls::ClientConfig {
        tls::https_client(&self.trust.authorities, &self.certificate, &self.keys.tls.pem()).unwrap()
    }

    /// A session over HTTPS up to the welcome and the first snapshot.
    pub async fn https_session(&self, hub: &TestHub) -> HttpsLine {
        let mut line = upgrade(hub, self.https()).await.unwrap();
        line.send(ToHub::Hello(self.hello())).await;
        assert!(matches!(line.receive().await, Some(ToAgent::Welcome(_))));
        assert!(matches!(line.receive().await, Some(ToAgent::Snapshot(_))));
        line
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_taken_in_and_a_repeat_over_the_other_carrier_is_recognised() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let mut line = agent.https_session(&hub).await;
    let first = agent.end;
    let batch = agent.batch(100);
    line.send(ToHub::Batch(batch.clone())).await;
    let Some(ToAgent::Receipt(receipt)) = line.receive().await else { panic!("no receipt") };
    assert_eq!(receipt.verify(&agent.trust.signing_keys).unwrap().through, agent.end);
    assert_eq!(hub.hub.metrics().https_sessions.get(), 1);
    drop(line);

    let end = std::mem::replace(&mut agent.end, first);
    let (mut line, _) = agent.session(&hub).await;
    line.send(ToHub::Batch(batch)).await;
    assert_eq!(agent.receipt(&mut line).await.through, end);
    assert_eq!(hub.hub.metrics().records.get(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_cuts_the_session_and_keeps_out() {
    let hub = TestHub::start().await;
    let agent = hub.agent().await;
    let mut line = agent.https_session(&hub).await;
    hub.hub.store().revoke_agent(&act(), agent.id, Default::default()).await.unwrap();
    let goodbye = line.parted().await;
    assert!(goodbye.contains("revoked"), "{goodbye}");
    let refused = upgrade(&hub, agent.https()).await.unwrap_err();
    assert_eq!(refused, (StatusCode::FORBIDDEN, "revoked".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shows_no_certificate_is_let_in_to_the_pages_and_not_to_the_sessions() {
    let hub = TestHub::start().await;
    assert_eq!(hub.get("/healthz").await.status(), 200);
    let nobody = tls::enrolment_client(hub.keys.authorities.serving().fingerprint()).unwrap();
    let (status, word) = upgrade(&hub, nobody).await.unwrap_err();
    assert_eq!((status, word.as_str()), (StatusCode::FORBIDDEN, "unknown agent"));
    hub.refused(Reason::UnknownAgent, 1).await;
    assert_eq!(hub.get("/sync/v1").await.status(), 426);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_ends_the_session_with_a_word() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let mut line = agent.https_session(&hub).await;
    line.send_bytes(&[0xa5; 4_096]).await;
    assert_eq!(line.parted().await, "bad frame");
    hub.refused(Reason::NotAFrame, 1).await;
    agent.good_session(&hub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_are_those_of_quic_and_shared_with_it() {
    let hub = TestHub::start_with(|config| config.limits.max_per_address = 2).await;
    let site = hub.site().await;
    let (one, two, three) = (hub.agent_at(site).await, hub.agent_at(site).await, hub.agent_at(site).await);
    let _quic = one.session(&hub).await;
    let https = two.https_session(&hub).await;
    let refused = upgrade(&hub, three.https()).await.unwrap_err();
    assert_eq!(refused, (StatusCode::SERVICE_UNAVAILABLE, "too many connections".to_owned()));
    drop(https);
    until("the place to be free", || hub.hub.metrics().https_sessions.get() == 0).await;
    three.https_session(&hub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_stops_says_goodbye() {
    let hub = TestHub::start().await;
    let agent = hub.agent().await;
    let mut line = agent.https_session(&hub).await;
    let stopping = tokio::spawn(hub.stop());
    let goodbye = line.parted().await;
    assert!(goodbye.contains("stopping"), "{goodbye}");
    drop(line);
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
}
