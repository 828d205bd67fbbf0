//! Poison: batches that can never be accepted as they are. The stream moves on, they are kept, looked at and tried again.

use crate::command::Commands;
use crate::support::{Agent, TestHub};
use sitewarden_hub::store::{RecordFilter, RecordOrder};
use sitewarden_protocol::message::{Refusal, ToAgent, ToHub};
use sitewarden_protocol::record::{Body, Denial, MonitorChange};
use sitewarden_protocol::sealing::OpeningKey;
use std::fs;

fn denial(cause: &str) -> Body {
    Body::Denial(Denial { app: "EMS".to_owned(), action: "reserve".to_owned(), cause: cause.to_owned() })
}

fn reserved(monitor: &str) -> Body {
    Body::MonitorReserved(MonitorChange { app: "EMS".to_owned(), monitor: monitor.to_owned() })
}

async fn stored(hub: &TestHub, agent: &Agent) -> Vec<u64> {
    let of = RecordFilter::Agent(agent.id);
    let page = hub.hub.store().list_records(of, None, RecordOrder::OldestFirst, None, 100).await.unwrap();
    page.records.iter().map(|record| record.seq).collect()
}

/// The hub gets a key that it did not have, as from a backup.
fn restore_key(folder: &std::path::Path) {
    let key = folder.join("keys/sealing-77.key");
    sitewarden_certs::secret_file::write(&key, &[1; 32]).unwrap();
}

#[tokio::test]
async fn a_batch_that_can_never_be_accepted_is_set_aside_the_stream_moves_on_and_it_is_replayed_when_its_key_is_back() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut line, _) = agent.session(&hub).await;
    let strange = OpeningKey::from_seed(77, &[1; 32]).public();
    line.send(ToHub::Batch(agent.sealed_batch(&[denial("one"), reserved("pump-1")], strange))).await;
    assert_eq!(agent.receipt(&mut line).await.through, agent.end);
    line.send(ToHub::Batch(agent.batch(3))).await;
    assert_eq!(agent.receipt(&mut line).await.through, agent.end);
    assert_eq!(stored(&hub, &agent).await, [3, 4, 5], "the stream moved on");

    let commands = Commands::of(&hub);
    let listed = commands.json("batch list").await;
    let id = listed[0]["id"].as_i64().unwrap();
    assert_eq!((listed[0]["first"].as_u64(), listed[0]["last"].as_u64()), (Some(1), Some(2)), "{listed}");
    let shown = commands.text(&format!("batch show {id}")).await;
    assert!(shown.contains("set_aside") && shown.contains("sealed to key 77"), "{shown}");
    // Without the key it waits as before.
    let waits = commands.json(&format!("batch replay {id}")).await;
    assert_eq!(waits["outcome"], "waits", "{waits}");
    drop(line);

    let hub = hub.restarted(restore_key).await;
    let commands = Commands::of(&hub);
    let replayed = commands.json(&format!("batch replay {id}")).await;
    assert_eq!((&replayed["outcome"], &replayed["records"]), (&"stored".into(), &2.into()), "{replayed}");
    assert_eq!(stored(&hub, &agent).await, [1, 2, 3, 4, 5]);
    assert_eq!(hub.hub.store().count_records(agent.id).await.unwrap(), 5);
    let monitors = hub.hub.store().show_agent(agent.id).await.unwrap().agent.site;
    let listed = commands.json(&format!("monitor list --site {monitors}")).await;
    assert!(listed.to_string().contains("pump-1"), "{listed}");
    // It is done with: it cannot be tried again, and the agent goes on where it was.
    assert_eq!(commands.fails(&format!("batch replay {id}")).await.0, 1);
    assert_eq!(commands.json("batch list").await, serde_json::json!([]));
    let (mut line, _) = agent.session(&hub).await;
    line.send(ToHub::Batch(agent.batch(1))).await;
    assert_eq!(agent.receipt(&mut line).await.through, agent.end);
    assert_eq!(hub.hub.store().broken_audit_row().await.unwrap(), None);
}

#[tokio::test]
async fn one_half_of_a_fork_waits_is_shown_and_stays_out_when_it_is_tried_again() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut line, _) = agent.session(&hub).await;
    let (_, other) = agent.batch_by(2, &agent.keys.signing);
    line.send(ToHub::Batch(agent.batch_of(&[denial("this"), denial("history")]))).await;
    agent.receipt(&mut line).await;
    line.send(ToHub::Batch(other)).await;
    let refusal = line.receive().await;
    assert!(matches!(&refusal, Some(ToAgent::Refused(refused)) if refused.refusal == Refusal::Fork), "{refusal:?}");
    let commands = Commands::of(&hub);
    let listed = commands.json("batch list").await;
    assert_eq!(listed[0]["state"], "fork", "{listed}");
    let id = listed[0]["id"].as_i64().unwrap();
    let replayed = commands.json(&format!("batch replay {id}")).await;
    assert!(replayed["reason"].as_str().unwrap().contains("different history"), "{replayed}");
    assert_eq!(stored(&hub, &agent).await, [1, 2]);
    assert_eq!(commands.json("batch list").await.as_array().unwrap().len(), 1, "kept as proof, and once");
}

#[tokio::test]
async fn a_transient_refusal_sets_nothing_aside() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut line, _) = agent.session(&hub).await;
    let first = agent.batch(2);
    let second = agent.batch(2);
    line.send(ToHub::Batch(second.clone())).await;
    let refusal = line.receive().await;
    assert!(matches!(&refusal, Some(ToAgent::Refused(refused)) if matches!(refused.refusal, Refusal::Missing(_))));
    assert_eq!(Commands::of(&hub).json("batch list").await, serde_json::json!([]));
    for batch in [first, second] {
        line.send(ToHub::Batch(batch)).await;
        agent.receipt(&mut line).await;
    }
    assert_eq!(stored(&hub, &agent).await, [1, 2, 3, 4]);
}

#[test]
fn the_key_is_one_that_a_hub_reads() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("keys")).unwrap();
    restore_key(folder.path());
    assert_eq!(fs::read(folder.path().join("keys/sealing-77.key")).unwrap(), [1; 32]);
}
