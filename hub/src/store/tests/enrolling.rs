mod again;

use crate::store::{
    Error, NewEnrolment, Redeemed, Redemption, Shown,
    testing::{Fixture, NOW, act, redemption},
};
use sitewarden_certs::token::secret_digest;
use sitewarden_protocol::{id::AgentId, signing::PrivateKey, time::UnixMillis};
use zeroize::Zeroizing;

const EXPIRES: UnixMillis = UnixMillis(NOW.0 + 1_000);

async fn invited() -> Fixture {
    let fixture = Fixture::new().await;
    let digest = secret_digest(&[1; 32]);
    let new = NewEnrolment { token: [1; 16], secret_digest: digest, site: fixture.site, expires: EXPIRES, agent: None };
    fixture.store.add_enrolment(&act(), new).await.unwrap();
    fixture
}

#[tokio::test]
async fn the_same_key_gets_the_same_agent_again_and_another_key_nothing() {
    let fixture = invited().await;
    let (one, two) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
    let expected = Redeemed::Enrolled { agent: one, site: fixture.site, certificate: vec![7], again: false };
    assert_eq!(fixture.store.redeem(NOW, redemption(1, one), |_| Ok(vec![7])).await.unwrap(), expected);
    // The answer was lost: the same request comes with another proposal for an id.
    let again = fixture.store.redeem(NOW, redemption(1, two), |_| Err("not asked".into())).await.unwrap();
    assert_eq!(again, expected);
    let other_key = Redemption { signing_key: PrivateKey::from_seed(&[3; 32]).public(), ..redemption(1, two) };
    let other = fixture.store.redeem(NOW, other_key, |_| Err("not asked".into())).await.unwrap();
    assert_eq!(other, Redeemed::Used);
    assert_eq!(fixture.number("SELECT count(*) FROM agents").await, 1);
}

#[tokio::test]
async fn a_token_is_known_by_its_secret_and_in_its_time() {
    let fixture = invited().await;
    let agent = AgentId::from_bytes([1; 16]);
    let not_asked = |_| Err("not asked".to_owned());
    let wrong = Redemption { shown: Shown::Secret(Zeroizing::new([9; 32])), ..redemption(1, agent) };
    assert_eq!(fixture.store.redeem(NOW, wrong, not_asked).await.unwrap(), Redeemed::Unknown);
    assert_eq!(fixture.store.redeem(NOW, redemption(2, agent), not_asked).await.unwrap(), Redeemed::Unknown);
    let late = fixture.store.redeem(EXPIRES, redemption(1, agent), not_asked).await.unwrap();
    assert_eq!(late, Redeemed::Expired(EXPIRES));
    assert_eq!(fixture.number("SELECT count(*) FROM agents").await, 0);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_issued_uses_nothing_up() {
    let fixture = invited().await;
    let agent = AgentId::from_bytes([1; 16]);
    let failed = fixture.store.redeem(NOW, redemption(1, agent), |_| Err("no".into())).await;
    assert!(matches!(failed, Err(Error::Certificate(_))), "{failed:?}");
    let enrolled = fixture.store.redeem(NOW, redemption(1, agent), |_| Ok(vec![7])).await.unwrap();
    assert!(matches!(enrolled, Redeemed::Enrolled { .. }), "{enrolled:?}");
    let standing = fixture.store.agent_standing(agent).await.unwrap().unwrap();
    assert_eq!((standing.site, standing.key_digest), (fixture.site, [1; 32]));
}
