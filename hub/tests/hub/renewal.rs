//! The next certificate: in a session, and by proof of the signing key alone.

use crate::support::{Agent, TestHub, act, dial, endpoint, now};
use sitewarden_certs::renewal::Held;
use sitewarden_hub::metrics::Reason;
use sitewarden_protocol::message::{ToAgent, ToHub};
use sitewarden_protocol::renewal::{Answer, Asked, Challenge, Refused, Renewed, Request};
use sitewarden_protocol::signing::PrivateKey;
use std::time::Duration;
use tokio::time::interval;

const NONCE: [u8; 16] = [9; 16];

fn request(agent: &Agent, challenge: Challenge, key: &PrivateKey) -> Request {
    let csr = agent.keys.tls.csr_der().unwrap();
    Request::make(&Asked { agent: agent.id, csr, nonce: NONCE, challenge }, key)
}

async fn ask(hub: &TestHub, request: &Request) -> (u16, Answer) {
    let response = hub.post("/api/v1/renew", request.to_frame()).await;
    (response.status().as_u16(), Answer::from_frame(&response.bytes().await.unwrap()).unwrap())
}

/// Both steps over HTTPS.
async fn renewed(hub: &TestHub, agent: &Agent) -> Answer {
    let (status, answer) = ask(hub, &request(agent, [0; 24], &agent.keys.signing)).await;
    let Answer::Challenge(challenge) = answer else { return answer };
    assert_eq!(status, 409);
    ask(hub, &request(agent, challenge, &agent.keys.signing)).await.1
}

fn granted(answer: Answer, agent: &Agent) -> Renewed {
    let Answer::Granted(granted) = answer else { panic!("not granted: {answer:?}") };
    granted.verify(&agent.trust.signing_keys, agent.id, &NONCE).unwrap()
}

#[tokio::test]
async fn a_session_renews_a_certificate_that_is_getting_old_and_repeats_one_that_is_young() {
    let hub = TestHub::start_with(|config| config.agent_certificate = Duration::from_secs(10)).await;
    let agent = hub.agent().await;
    let (mut line, _) = agent.session(&hub).await;
    let (mut young, mut ticks) = (None, interval(Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        line.send(ToHub::Renew(request(&agent, [0; 24], &agent.keys.signing))).await;
        let Some(ToAgent::Renewed(answer)) = line.receive().await else { panic!("no answer") };
        let renewed = granted(answer, &agent);
        let held = Held::read(&renewed.certificate).unwrap();
        assert_eq!(held.key_digest, agent.keys.tls.digest());
        assert_eq!(renewed.trust, agent.trust);
        if young.get_or_insert_with(|| renewed.certificate.clone()) != &renewed.certificate {
            break;
        }
    }
    let young = young.unwrap();
    assert_eq!(young, agent.certificate, "a certificate that was just made is given again");
}

#[tokio::test]
async fn a_certificate_that_is_over_is_renewed_by_the_signing_key_and_opens_the_door_again() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let csr = agent.keys.tls.csr_der().unwrap();
    let long_ago = now().before(Duration::from_secs(200 * 86_400));
    let authority = hub.keys.authorities.serving();
    let over = authority.issue_agent(&csr, agent.id, Duration::from_secs(86_400), long_ago).unwrap();
    agent.certificate = over.cert_der;
    if let Ok(line) = dial(endpoint(), &hub, agent.tls()).await {
        line.connection.closed().await;
    }
    hub.refused(Reason::UntrustedCertificate, 1).await;

    agent.certificate = granted(renewed(&hub, &agent).await, &agent).certificate;
    agent.good_session(&hub).await;
}

#[tokio::test]
async fn only_who_holds_the_signing_key_now_and_asks_for_his_own_tls_key_gets_a_certificate() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let (agent, other) = (hub.agent_at(site).await, hub.agent_at(site).await);
    let (_, Answer::Challenge(challenge)) = ask(&hub, &request(&agent, [1; 24], &agent.keys.signing)).await else {
        panic!("a made-up challenge was taken")
    };
    let (status, answer) = ask(&hub, &request(&agent, challenge, &other.keys.signing)).await;
    assert_eq!((status, answer), (403, Answer::Refused(Refused::Unknown)));
    // A challenge is for whom it was made.
    let (_, answer) = ask(&hub, &request(&other, challenge, &other.keys.signing)).await;
    assert!(matches!(answer, Answer::Challenge(_)), "{answer:?}");
    let asked = Asked { agent: agent.id, csr: other.keys.tls.csr_der().unwrap(), nonce: NONCE, challenge };
    let (status, answer) = ask(&hub, &Request::make(&asked, &agent.keys.signing)).await;
    assert_eq!(status, 422);
    assert!(matches!(answer, Answer::Refused(Refused::Invalid(_))), "{answer:?}");

    hub.hub.store().revoke_agent(&act(), agent.id, Default::default()).await.unwrap();
    assert_eq!(renewed(&hub, &agent).await, Answer::Refused(Refused::Revoked));
    granted(renewed(&hub, &other).await, &other);
    assert_eq!(hub.hub.store().broken_audit_row().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_trying_too_often_too() {
    let hub = TestHub::start().await;
    let agent = hub.agent().await;
    assert_eq!(hub.post("/api/v1/renew", b"nonsense".to_vec()).await.status(), 400);
    let request = request(&agent, [0; 24], &agent.keys.signing);
    let mut last = None;
    for _ in 0..150 {
        last = Some(ask(&hub, &request).await);
        if last == Some((503, Answer::Refused(Refused::Unavailable))) {
            return;
        }
    }
    panic!("nothing stopped it: {last:?}");
}
