//! Red flags: what raises them at the first contact, what does not, and how an operator sees them.

use crate::command::Commands;
use crate::support::{Agent, TestHub, act, config, now};
use serde_json::json;
use sitewarden_hub::store::{RedFlag, Scope};
use sitewarden_protocol::chain::Cursor;
use sitewarden_protocol::message::{EpochExtent, Hello, LiveStatus, MAX_EPOCHS, ToAgent, ToHub};
use sitewarden_protocol::snapshot::Version;
use sitewarden_protocol::time::UnixMillis;
use std::path::Path;

impl TestHub {
    /// All red flags of some kind, the newest first.
    pub async fn flags(&self, kind: &str) -> Vec<RedFlag> {
        let mut flags = self.hub.store().list_flags(Scope::default(), false, None, None, 1_000).await.unwrap();
        flags.retain(|flag| flag.kind == kind);
        flags
    }

    /// The same hub ended and started again; in between something is done to its folder.
    pub async fn restarted(self, between: impl FnOnce(&Path)) -> Self {
        let Self { hub, data_dir, keys, folder } = self;
        hub.shutdown().await.unwrap();
        between(&data_dir);
        Self { hub: sitewarden_hub::start(config(&data_dir)).await.unwrap(), data_dir, keys, folder }
    }
}

/// A session that says hello, is welcomed and ends.
async fn greeted(hub: &TestHub, agent: &Agent, hello: Hello) {
    let mut line = agent.connect(hub).await;
    line.send(ToHub::Hello(hello)).await;
    assert!(matches!(line.receive().await, Some(ToAgent::Welcome(_))));
}

fn at(head: Cursor) -> EpochExtent {
    EpochExtent { oldest: 1, head }
}

#[tokio::test]
async fn an_agent_that_is_behind_the_hub_was_rolled_back_and_that_is_told_once() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    agent.good_session(&hub).await;
    let early = agent.end;
    agent.good_session(&hub).await;
    assert_eq!(hub.flags("rollback").await, []);
    let late = agent.end;
    agent.end = early;
    greeted(&hub, &agent, agent.hello()).await;
    let flags = hub.flags("rollback").await;
    let shown = |head: Cursor| json!({ "epoch": 1, "seq": head.position.seq, "chain": head.chain.to_string() });
    assert_eq!(flags[0].details, json!({ "of": "journal", "claimed": shown(early), "known": shown(late) }));
    assert_eq!((flags[0].agent, flags[0].resolved_at), (Some(agent.id), None));
    // It goes on from there, and comes again and again.
    agent.batch(1);
    greeted(&hub, &agent, agent.hello()).await;
    let hub = hub.restarted(|_| {}).await;
    greeted(&hub, &agent, agent.hello()).await;
    assert_eq!(hub.flags("rollback").await, flags);
    // In order again, and rolled back again.
    agent.end = late;
    agent.good_session(&hub).await;
    agent.end = late;
    greeted(&hub, &agent, agent.hello()).await;
    assert_eq!(hub.flags("rollback").await.len(), 2);
}

#[tokio::test]
async fn another_history_of_the_same_length_and_a_lost_epoch_are_rollbacks() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let start = agent.end;
    agent.good_session(&hub).await;
    let told = agent.end;
    agent.end = start;
    agent.batch(3);
    assert_eq!(agent.end.position, told.position);
    greeted(&hub, &agent, agent.hello()).await;
    assert_eq!(hub.flags("rollback").await.len(), 1);

    let mut other =
        hub.agent_at(hub.hub.store().list_sites(Scope::default(), None, None, 1).await.unwrap()[0].id).await;
    other.end = Cursor::start(other.id, 2);
    other.good_session(&hub).await;
    let before = Hello { epochs: vec![at(Cursor::start(other.id, 1))], ..other.hello() };
    greeted(&hub, &other, before).await;
    assert_eq!(hub.flags("rollback").await.len(), 2);
}

#[tokio::test]
async fn an_agent_whose_epoch_was_cut_and_who_began_another_raises_nothing() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let begin = agent.end;
    agent.good_session(&hub).await;
    let next = Cursor::start(agent.id, 2);
    // The older epoch has lost its end; the new one may still be empty.
    greeted(&hub, &agent, Hello { epochs: vec![at(begin), at(next)], ..agent.hello() }).await;
    agent.end = next;
    agent.good_session(&hub).await;
    let hello = Hello { epochs: vec![at(begin), at(agent.end)], ..agent.hello() };
    greeted(&hub, &agent, hello).await;
    // One with more epochs than a hello may list leaves the newest out.
    let many = |epoch| at(Cursor::start(agent.id, epoch));
    let full: Vec<_> = (0..MAX_EPOCHS as u64).map(|number| many(10 + number)).collect();
    agent.end = Cursor::start(agent.id, 100);
    agent.good_session(&hub).await;
    greeted(&hub, &agent, Hello { epochs: full, ..agent.hello() }).await;
    assert_eq!(hub.flags("rollback").await, []);
}

#[tokio::test]
async fn a_lost_receipt_and_a_hub_restored_from_a_backup_raise_nothing() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    agent.good_session(&hub).await;
    let (mut line, _) = agent.session(&hub).await;
    let batch = agent.batch(2);
    line.send(ToHub::Batch(batch)).await;
    agent.receipt(&mut line).await;
    // The receipt is lost on the way: the agent only knows what is on its disk.
    greeted(&hub, &agent, agent.hello()).await;
    let copy = |from: &'static str, to: &'static str| {
        move |data_dir: &Path| assert_ne!(std::fs::copy(data_dir.join(from), data_dir.join(to)).unwrap(), 0)
    };
    let hub = hub.restarted(copy("hub.sqlite", "backup")).await;
    agent.good_session(&hub).await;
    let newer = Version { revision: 5, issued_at: now() };
    greeted(&hub, &agent, Hello { snapshot: newer, ..agent.hello() }).await;
    let flags = hub.hub.store().list_flags(Scope::default(), false, None, None, 10).await.unwrap();
    assert_eq!(flags, []);
    let hub = hub.restarted(copy("backup", "hub.sqlite")).await;
    assert_eq!(hub.hub.store().count_records(agent.id).await.unwrap(), 5, "of eight");
    greeted(&hub, &agent, Hello { snapshot: newer, ..agent.hello() }).await;
    let flags = hub.hub.store().list_flags(Scope::default(), false, None, None, 10).await.unwrap();
    assert_eq!(flags, []);
}

#[tokio::test]
async fn an_older_snapshot_than_the_agent_said_it_had_is_a_rollback() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let first = Version { revision: 1, issued_at: UnixMillis(1_000) };
    let second = Version { revision: 2, issued_at: UnixMillis(2_000) };
    let (mut line, _) = agent.session(&hub).await;
    line.send(ToHub::Status(LiveStatus { snapshot: second, ..LiveStatus::default() })).await;
    let batch = agent.batch(1);
    line.send(ToHub::Batch(batch)).await;
    agent.receipt(&mut line).await;
    greeted(&hub, &agent, Hello { snapshot: second, ..agent.hello() }).await;
    assert_eq!(hub.flags("rollback").await, []);
    for _ in 0..2 {
        greeted(&hub, &agent, Hello { snapshot: first, ..agent.hello() }).await;
        let flags = hub.flags("rollback").await;
        let shown = |version: Version| json!({ "revision": version.revision, "issued_at": version.issued_at });
        let details = json!({ "of": "snapshot", "claimed": shown(first), "known": shown(second) });
        assert_eq!(flags.iter().map(|flag| &flag.details).collect::<Vec<_>>(), [&details]);
    }
}

#[tokio::test]
async fn two_machines_that_take_turns_are_a_clone() {
    let hub = TestHub::start().await;
    let agent = hub.agent().await;
    let from = async |boot: u8| greeted(&hub, &agent, Hello { boot_id: [boot; 16], ..agent.hello() }).await;
    for boot in [1, 1, 2, 2, 3] {
        from(boot).await;
    }
    // Zeros: a machine that does not say.
    for boot in [0, 4, 0, 4] {
        from(boot).await;
    }
    assert_eq!(hub.flags("clone").await, [], "a machine that starts anew");
    from(2).await;
    let flags = hub.flags("clone").await;
    assert_eq!(flags.len(), 1);
    assert_eq!(
        (&flags[0].details["boot"], &flags[0].details["address"]),
        (&json!("02".repeat(16)), &json!("127.0.0.1"))
    );
    assert_eq!(flags[0].details["other_boot"], json!("04".repeat(16)));
    for boot in [4, 2, 4] {
        from(boot).await;
    }
    assert_eq!(hub.flags("clone").await.len(), 1, "the same two");
    from(5).await;
    from(4).await;
    assert_eq!(hub.flags("clone").await.len(), 2, "another two");
}

#[tokio::test]
async fn an_operator_sees_flags_and_puts_them_aside() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let early = agent.end;
    agent.good_session(&hub).await;
    agent.end = early;
    greeted(&hub, &agent, agent.hello()).await;
    let site = hub.hub.store().list_sites(Scope::default(), None, None, 1).await.unwrap()[0].id;
    let commands = Commands::of(&hub);
    let list = commands.json(&format!("flag list --open --site {site}")).await;
    assert_eq!((&list[0]["kind"], &list[0]["agent"]), (&json!("rollback"), &json!(agent.id)));
    let id = list[0]["id"].to_string();
    assert!(commands.text(&format!("flag show {id}")).await.contains("rollback"));
    let resolved = commands.json(&format!("flag resolve {id} --note 'restored_by_us'")).await;
    assert_eq!(
        (&resolved["note"], &resolved["resolved_by"]),
        (&json!("restored by us"), &json!("local administrator"))
    );
    assert_eq!(commands.json("flag list --open").await, json!([]));
    assert_eq!(commands.json("flag list").await.as_array().map(Vec::len), Some(1));
    assert!(commands.fails(&format!("flag resolve {id} --note again")).await.1.contains("already"));
    assert!(commands.fails("flag show 99").await.1.contains("no such flag"));
    assert!(hub.hub.store().resolve_flag(&act(), 1, " ").await.is_err());
    assert_eq!(hub.hub.store().broken_audit_row().await.unwrap(), None);
    greeted(&hub, &agent, agent.hello()).await;
    assert_eq!(commands.json("flag list --open").await, json!([]), "what was put aside is not raised again");
}
