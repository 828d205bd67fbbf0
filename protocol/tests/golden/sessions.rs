//! What hubs of earlier versions said in whole sessions, as recorded, to this version's agent: the state machine that every
//! carrier drives. The other direction is played against a real hub in `hub/tests/hub/recorded.rs`.

use super::vectors::recorded;
use sitewarden_protocol::batch::{Draft, Signed};
use sitewarden_protocol::chain::{Cursor, Position};
use sitewarden_protocol::frame::{HEADER, Header};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{EpochExtent, Hello, NEWEST_VERSION, OLDEST_VERSION, ToAgent, ToHub};
use sitewarden_protocol::record::Run;
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::snapshot::Version;
use sitewarden_protocol::sync::agent::{Action, Agent};
use sitewarden_protocol::sync::backoff::Backoff;
use std::time::Duration;

const AGENT: AgentId = AgentId::from_bytes([0x71; 16]);
const NOW: Duration = Duration::from_secs(1);

pub(crate) fn names() -> Vec<String> {
    (1..=2).flat_map(|version| ["to-hub", "to-agent"].map(|way| format!("v{version}/session-{way}"))).collect()
}

fn recording(name: &str) -> Vec<Vec<u8>> {
    let bytes = recorded(name, || panic!("recorded once, by a build of that version; see the test's own comment"));
    let (mut bodies, mut rest) = (vec![], bytes.as_slice());
    while let Some((head, after)) = rest.split_first_chunk::<HEADER>() {
        let header = Header::parse(head).unwrap();
        let (body, next) = after.split_at(header.length());
        header.check(body).unwrap();
        bodies.push(body.to_vec());
        rest = next;
    }
    bodies
}

/// The end of each batch that the recorded agent sent: the history that the recorded hub confirmed.
fn sent(version: u16) -> (Hello, Vec<Cursor>) {
    let mut hello = None;
    let mut ends = vec![];
    for body in recording(&format!("v{version}/session-to-hub")) {
        match ToHub::from_body(&body).unwrap() {
            ToHub::Hello(said) => hello = Some(said),
            ToHub::Batch(batch) => {
                let key = PrivateKey::from_seed(&[0x73; 32]).public();
                ends.push(batch.verify(&key).unwrap().end());
            }
            _ => {}
        }
    }
    (hello.unwrap(), ends)
}

fn batch_ending_at(end: Cursor, after: Cursor) -> Signed {
    // What it holds does not matter to the state machine, which goes by its end.
    let mut records = Run::default();
    records.push(b"record");
    let draft = Draft { after, lost: 0, records };
    assert!(end.position > after.position);
    Signed::make(AGENT, &draft, Default::default(), &PrivateKey::from_seed(&[0x73; 32])).unwrap().1
}

#[test]
fn this_agent_has_a_session_with_a_hub_of_each_earlier_version() {
    for version in 1..=2 {
        let (recorded_hello, ends) = sent(version);
        assert_eq!((recorded_hello.oldest_version, recorded_hello.newest_version), (1, version));
        let head = *ends.last().unwrap();
        let trusted = vec![PrivateKey::from_seed(&[9; 32]).public()];
        let backoff = Backoff::new(Duration::from_millis(1), Duration::from_secs(1));
        let mut agent = Agent::new(AGENT, trusted.clone(), backoff, Position::default(), head.position);
        agent.handle_timeout(NOW, 0);
        assert_eq!(agent.poll_action(NOW), Some(Action::Dial));
        let hello = Hello {
            oldest_version: OLDEST_VERSION,
            newest_version: NEWEST_VERSION,
            epochs: vec![EpochExtent { oldest: 1, head }],
            snapshot: Version::default(),
            ..recorded_hello
        };
        agent.handle_connected(NOW, hello);
        assert!(matches!(agent.poll_action(NOW), Some(Action::Send(_))));
        let (mut acknowledged, mut installed, mut hung_up, mut read) = (vec![], 0, false, 0);
        for body in recording(&format!("v{version}/session-to-agent")) {
            agent.handle_message(NOW, 0, ToAgent::from_body(&body).unwrap());
            while let Some(action) = agent.poll_action(NOW) {
                match action {
                    Action::Read(after) => {
                        let end = ends.get(read).copied();
                        let before = if read == 0 { Cursor::start(AGENT, 1) } else { ends[read - 1] };
                        read += 1;
                        agent.handle_read(NOW, after, end.map(|end| (end, batch_ending_at(end, before))));
                    }
                    Action::Install(signed) => {
                        signed.verify(&trusted).unwrap();
                        installed += 1;
                    }
                    Action::Acknowledge(receipt) => acknowledged.push(receipt.through),
                    Action::Hangup(reason) => hung_up = reason.contains("stopping"),
                    Action::Send(_) | Action::Activated(_) => {}
                    other => panic!("version {version}: {other:?}"),
                }
            }
        }
        assert_eq!(acknowledged, ends, "version {version}");
        assert_eq!((installed, hung_up), (1, true), "version {version}");
    }
}
