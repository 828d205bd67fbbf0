//! An agent that is enrolled again: another key, the same agent.

use crate::store::testing::{Fixture, NOW, Plant, act, redemption};
use crate::store::{
    AgentStatus, Error, IngestOutcome, NewEnrolment, Redeemed, Redemption, Replayed, Revocation, Scope,
};
use sitewarden_certs::token::secret_digest;
use sitewarden_protocol::{
    chain::Position,
    id::{ActivationId, AgentId},
    message::Refusal,
    record::{Body, Heartbeat, MachineActivated, MachineDeactivated},
    signing::PrivateKey,
    time::UnixMillis,
};

const EXPIRES: UnixMillis = UnixMillis(NOW.0 + 1_000);

impl Fixture {
    /// A token of this byte for another key of the agent.
    async fn invite_again(&self, plant: &Plant, token: u8) -> Result<(), Error> {
        let digest = secret_digest(&[token; 32]);
        let agent = Some(plant.id);
        let new = NewEnrolment { token: [token; 16], secret_digest: digest, site: self.site, expires: EXPIRES, agent };
        self.store.add_enrolment(&act(), new).await
    }

    /// Redeems it with the key of another byte.
    async fn redeem_again(&self, token: u8, key: u8) -> Redeemed {
        let signing_key = PrivateKey::from_seed(&[key; 32]).public();
        let proposed = AgentId::from_bytes([99; 16]);
        let asked = Redemption { signing_key, tls_key: [key; 32], ..redemption(token, proposed) };
        self.store.redeem(NOW, asked, move |_| Ok(vec![key])).await.unwrap()
    }
}

#[tokio::test]
async fn an_agent_that_is_enrolled_again_keeps_its_id_and_its_earlier_key_counts_no_more() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 6);
    fixture.store.ingest(NOW, plant.batch(0, 3, 0)).await.unwrap();
    let reason = Revocation { reason: Some("its key was stolen".to_owned()), from: None };
    fixture.store.revoke_agent(&act(), plant.id, reason).await.unwrap();
    fixture.invite_again(&plant, 2).await.unwrap();
    let expected = Redeemed::Enrolled { agent: plant.id, site: fixture.site, certificate: vec![2], again: true };
    assert_eq!(fixture.redeem_again(2, 2).await, expected);

    let agent = fixture.store.show_agent(plant.id).await.unwrap().agent;
    assert_eq!((agent.status, agent.revoked_at, agent.enrolled_again_at), (AgentStatus::Active, None, Some(NOW)));
    assert_eq!(fixture.number("SELECT count(*) FROM agents").await, 1);
    let standing = fixture.store.agent_standing(plant.id).await.unwrap().unwrap();
    assert_eq!(standing.signers(), [2, 1].map(|seed| PrivateKey::from_seed(&[seed; 32]).public()));
    assert_eq!(standing.key_digest, [2; 32]);
    // The next epoch is named, and where the two depart.
    let cleared = fixture.store.clearance(plant.id, 0).await.unwrap().unwrap();
    assert_eq!((cleared.epoch, cleared.known), (2, vec![plant.cursor(3)]));

    // What the earlier key signs is kept, once, and not believed.
    for _ in 0..2 {
        let refused = fixture.store.ingest(NOW, plant.batch(3, 6, 0)).await.unwrap();
        assert_eq!(refused, IngestOutcome::Refused(Refusal::Revoked));
    }
    let waiting = fixture.store.waiting_batches(Some(plant.id), None, 10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].reason.as_deref().unwrap().contains("enrolled again"), "{waiting:?}");
    // The new one counts from its epoch on, and not in the one before.
    let mut renewed = plant.with_key(2, 2);
    renewed.events("EMS", 2);
    let taken = fixture.store.ingest(NOW, renewed.batch(0, 2, 0)).await.unwrap();
    let IngestOutcome::Stored { through, new: 2 } = taken else { panic!("{taken:?}") };
    assert_eq!(through.position, Position { epoch: 2, seq: 2 });
    let mut early = plant.with_key(2, 1);
    early.events("CBM", 6);
    let refused = fixture.store.ingest(NOW, early.batch(3, 6, 0)).await.unwrap();
    assert_eq!(refused, IngestOutcome::Refused(Refusal::Fork));
    assert_eq!(fixture.number("SELECT count(*) FROM records").await, 5);

    // Where the machine is gone that could tell it again, an administrator can take it in.
    let taken = fixture.store.replay_batch(&act(), waiting[0].id, Vec::new().into()).await.unwrap();
    assert_eq!(taken, Replayed::Stored { records: 3 });
    assert_eq!(fixture.number("SELECT count(*) FROM audit_log WHERE action = 'agent.enrol_again'").await, 1);
    assert_eq!(fixture.store.list_agents(Scope::default(), None, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn machines_of_an_agent_that_is_enrolled_again_are_active_as_before() {
    let fixture = Fixture::new().await;
    let license = fixture.store.issue_license(&act(), fixture.license("L1")).await.unwrap().license.uuid;
    let mut plant = fixture.agent(1).await;
    let machine = |number: u8| MachineActivated {
        license,
        activation: ActivationId::from_bytes([number; 16]),
        hardware: vec![("hardware_id".to_owned(), [number; 32])],
        machine: format!("ws-{number}"),
        app_version: "1".to_owned(),
    };
    let activation = machine(1).activation;
    plant.record(&Body::MachineActivated(machine(1)));
    plant.record(&Body::MachineActivated(machine(2)));
    let given_back = MachineDeactivated { license, activation: machine(2).activation, reason: "sold".to_owned() };
    plant.record(&Body::MachineDeactivated(given_back));
    fixture.store.ingest(NOW, plant.batch(0, 3, 0)).await.unwrap();
    let active = "SELECT count(*) FROM activations WHERE deactivated_at IS NULL";
    assert_eq!(fixture.number(active).await, 1);
    fixture.store.revoke_agent(&act(), plant.id, Revocation::default()).await.unwrap();
    assert_eq!(fixture.number(active).await, 0);
    fixture.invite_again(&plant, 2).await.unwrap();
    fixture.redeem_again(2, 2).await;
    assert_eq!(fixture.number(active).await, 1, "one had been given back before");
    let mut renewed = plant.with_key(2, 2);
    renewed.record(&Body::Heartbeat(Heartbeat { license, activation, users: 3, features: vec![] }));
    fixture.store.ingest(NOW, renewed.batch(0, 1, 0)).await.unwrap();
    assert_eq!(fixture.number("SELECT users FROM activations WHERE deactivated_at IS NULL").await, 3);
    assert_eq!(fixture.number("SELECT active FROM activation_tallies WHERE scope = 'all'").await, 1);
}

#[tokio::test]
async fn a_token_for_another_key_is_good_for_its_agent_once_and_for_a_lost_answer_again() {
    let fixture = Fixture::new().await;
    let (plant, other) = (fixture.agent(1).await, fixture.agent(5).await);
    fixture.invite_again(&plant, 2).await.unwrap();
    // The present key is no other key, and a key that another agent has is not free.
    assert_eq!(fixture.redeem_again(2, 1).await, Redeemed::Used);
    assert_eq!(fixture.redeem_again(2, 5).await, Redeemed::Used);
    let expected = Redeemed::Enrolled { agent: plant.id, site: fixture.site, certificate: vec![3], again: true };
    for _ in 0..2 {
        assert_eq!(fixture.redeem_again(2, 3).await, expected);
    }
    assert_eq!(fixture.redeem_again(2, 4).await, Redeemed::Used, "another machine");
    assert_eq!(fixture.store.clearance(plant.id, 0).await.unwrap().unwrap().epoch, 1, "one epoch for one key");
    // The answer to the first token was lost, and the next one is asked with the same keys.
    fixture.invite_again(&plant, 6).await.unwrap();
    assert_eq!(fixture.redeem_again(6, 3).await, expected);
    assert_eq!(fixture.store.clearance(plant.id, 0).await.unwrap().unwrap().epoch, 1);
    fixture.invite_again(&plant, 7).await.unwrap();
    assert!(matches!(fixture.redeem_again(7, 1).await, Redeemed::Used), "an earlier key comes back");
    assert!(matches!(fixture.redeem_again(7, 8).await, Redeemed::Enrolled { again: true, .. }));
    assert_eq!(fixture.store.clearance(plant.id, 0).await.unwrap().unwrap().epoch, 2);
    assert!(fixture.store.clearance(other.id, 0).await.unwrap().is_none());
    // A token is for an agent of its site.
    let nobody = Plant::new(40);
    assert!(matches!(fixture.invite_again(&nobody, 9).await, Err(Error::NotFound { .. })));
}
