//! How an agent becomes known, and who does not.

use crate::support::{AgentKeys, PATIENCE, TestHub, now};
use sitewarden_hub::metrics::Reason;
use sitewarden_protocol::enrolment::{Answer, Enrolled, Refused};
use sitewarden_protocol::time::UnixMillis;

fn enrolled(answer: (u16, Answer)) -> Box<Enrolled> {
    match answer {
        (200, Answer::Enrolled(enrolled)) => enrolled,
        other => panic!("not enrolled: {other:?}"),
    }
}

#[tokio::test]
async fn an_invited_agent_gets_its_name_its_certificate_and_its_first_snapshot() {
    let hub = TestHub::start().await;
    let site = hub.site().await;
    let token = hub.invite(site, now().after(PATIENCE)).await;
    let answer = enrolled(hub.enrol(&token, &AgentKeys::new()).await);
    assert_eq!((answer.site, answer.sync_port), (site, hub.hub.sync_addr().port()));
    let snapshot = answer.snapshot.verify(&[hub.keys.signing.public()]).unwrap();
    assert_eq!((snapshot.site, snapshot.site_name.as_str()), (site, "Site"));
    assert_eq!(snapshot.trust.authorities, [hub.keys.authorities.serving().cert_der().to_vec()]);
    assert!(snapshot.fresh_until > now());
    assert_eq!(hub.hub.metrics().enrolments.get(), 1);
}

#[tokio::test]
async fn the_same_keys_again_get_the_same_agent() {
    let hub = TestHub::start().await;
    let token = hub.invite(hub.site().await, now().after(PATIENCE)).await;
    let keys = AgentKeys::new();
    let first = enrolled(hub.enrol(&token, &keys).await);
    let again = enrolled(hub.enrol(&token, &keys).await);
    assert_eq!(first.agent, again.agent);
}

#[tokio::test]
async fn a_used_token_is_refused_to_others() {
    let hub = TestHub::start().await;
    let token = hub.invite(hub.site().await, now().after(PATIENCE)).await;
    enrolled(hub.enrol(&token, &AgentKeys::new()).await);
    assert_eq!(hub.enrol(&token, &AgentKeys::new()).await, (409, Answer::Refused(Refused::Used)));
    hub.refused(Reason::BadToken, 1).await;
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let hub = TestHub::start().await;
    let token = hub.invite(hub.site().await, UnixMillis(1)).await;
    let refused = Answer::Refused(Refused::Expired(UnixMillis(1)));
    assert_eq!(hub.enrol(&token, &AgentKeys::new()).await, (410, refused));
}

#[tokio::test]
async fn an_unknown_token_or_another_secret_is_refused_alike() {
    let hub = TestHub::start().await;
    let mut token = hub.invite(hub.site().await, now().after(PATIENCE)).await;
    token.secret[0] ^= 1;
    let unknown = (403, Answer::Refused(Refused::UnknownToken));
    assert_eq!(hub.enrol(&token, &AgentKeys::new()).await, unknown);
    token.secret[0] ^= 1;
    token.id[0] ^= 1;
    assert_eq!(hub.enrol(&token, &AgentKeys::new()).await, unknown);
    token.id[0] ^= 1;
    enrolled(hub.enrol(&token, &AgentKeys::new()).await);
}

#[tokio::test]
async fn a_request_that_does_not_prove_its_keys_is_refused_and_the_token_stays_good() {
    let hub = TestHub::start().await;
    let token = hub.invite(hub.site().await, now().after(PATIENCE)).await;
    let keys = AgentKeys::new();

    let mut request = keys.request(&token);
    request.proof.0[0] ^= 1;
    assert_eq!(hub.post("/api/v1/enroll", request.to_frame()).await.status(), 422);

    let mut request = keys.request(&token);
    *request.csr.last_mut().unwrap() ^= 1;
    request.proof = sitewarden_protocol::enrolment::Request::prove(&token.id, &request.csr, &keys.signing);
    assert_eq!(hub.post("/api/v1/enroll", request.to_frame()).await.status(), 422);

    hub.refused(Reason::BadEnrolment, 2).await;
    enrolled(hub.enrol(&token, &keys).await);
}
