//! Sealed batches: what the hub opens, also after its key was changed, and what it does with those it cannot open.

use crate::command::Commands;
use crate::support::{Agent, Line, TestHub};
use sitewarden_hub::metrics::Outcome;
use sitewarden_hub::store::{RecordFilter, RecordOrder};
use sitewarden_protocol::message::ToHub;
use sitewarden_protocol::record::{Body, Denial};
use sitewarden_protocol::sealing::OpeningKey;
use sitewarden_protocol::snapshot::SealingKey;

fn denial(cause: &str) -> Body {
    Body::Denial(Denial { app: "EMS".to_owned(), action: "reserve".to_owned(), cause: cause.to_owned() })
}

async fn stored(hub: &TestHub, agent: &Agent) -> usize {
    let of = RecordFilter::Agent(agent.id);
    hub.hub.store().list_records(of, None, RecordOrder::OldestFirst, None, 100).await.unwrap().records.len()
}

async fn send(agent: &mut Agent, hub: &TestHub, line: &mut Line, cause: &str, key: SealingKey) {
    let before = stored(hub, agent).await;
    let batch = agent.sealed_batch(&[denial(cause)], key);
    line.send(ToHub::Batch(batch)).await;
    assert_eq!(agent.receipt(line).await.through, agent.end);
    assert_eq!(stored(hub, agent).await, before + 1, "{cause}");
}

#[tokio::test]
async fn a_key_is_changed_while_agents_send_and_nothing_that_is_sealed_is_lost() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut line, snapshot) = agent.session(&hub).await;
    let first = snapshot.sealing_key.unwrap();
    send(&mut agent, &hub, &mut line, "with the first key", first).await;

    let made = Commands::of(&hub).json("keys rotate --sealing").await;
    let second = agent.snapshot(&mut line).await.sealing_key.unwrap();
    assert_eq!((first.id, second.id, made["id"].as_u64()), (1, 2, Some(2)));
    assert_ne!(first.public, second.public);
    send(&mut agent, &hub, &mut line, "with the second key", second).await;
    send(&mut agent, &hub, &mut line, "with the first key, from a journal", first).await;

    drop(line);
    let hub = hub.restarted(|_| {}).await;
    let (mut line, snapshot) = agent.session(&hub).await;
    assert_eq!(snapshot.sealing_key, Some(second));
    send(&mut agent, &hub, &mut line, "with the first key, after a restart", first).await;
    assert_eq!(hub.hub.metrics().sealed_batches.get(), 1);
    assert_eq!(hub.flags("set_aside").await, []);
    let listed = Commands::of(&hub).json("keys list").await;
    let states: Vec<_> = listed.as_array().unwrap().iter().map(|key| (key["id"].as_u64(), &key["newest"])).collect();
    assert_eq!(states, [(Some(1), &false.into()), (Some(2), &true.into())]);
    let text = Commands::of(&hub).text("keys list").await;
    assert!(text.contains("opens only") && text.contains("in use"), "{text}");
    assert_eq!(Commands::of(&hub).fails("keys rotate").await.0, 2);
}

#[tokio::test]
async fn what_is_sealed_to_a_key_that_the_hub_has_not_is_set_aside_and_the_stream_goes_on() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut line, snapshot) = agent.session(&hub).await;
    let strange = OpeningKey::from_seed(77, &[1; 32]).public();
    let batch = agent.sealed_batch(&[denial("for another hub")], strange);
    line.send(ToHub::Batch(batch)).await;
    assert_eq!(agent.receipt(&mut line).await.through, agent.end);
    assert_eq!(stored(&hub, &agent).await, 0);
    let flags = hub.flags("set_aside").await;
    let reason = flags[0].details["reason"].as_str().unwrap();
    assert!(reason.contains("sealed to key 77, which this hub does not have"), "{reason}");
    send(&mut agent, &hub, &mut line, "the stream goes on", snapshot.sealing_key.unwrap()).await;
    assert_eq!(hub.hub.metrics().batches(Outcome::Invalid), 0);
}

#[tokio::test]
async fn a_hub_of_before_sealing_gets_a_key_at_its_start_and_its_sites_hear_of_it_at_once() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (line, before) = agent.session(&hub).await;
    drop(line);
    let hub = hub.restarted(|folder| std::fs::remove_file(folder.join("keys/sealing-1.key")).unwrap()).await;
    let (mut line, after) = agent.session(&hub).await;
    assert!(after.version.revision > before.version.revision);
    assert_ne!(after.sealing_key, before.sealing_key);
    send(&mut agent, &hub, &mut line, "sealed at last", after.sealing_key.unwrap()).await;
}
