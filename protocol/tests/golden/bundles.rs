//! Files for plants without a line: a bundle in each direction, and the two of an enrolment.

use super::vectors::{expect, recorded};
use sitewarden_protocol::bundle::{Content, End, Item, Manifest, Opened, Party, Reader, Report, Writer};
use sitewarden_protocol::chain::{Chain, Cursor, Position};
use sitewarden_protocol::enrolment::{Admission, Answer, OfflineRequest, Refused, Request};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{EpochExtent, Goodbye, ToAgent, ToHub};
use sitewarden_protocol::sealing::{OpeningKey, key_of_signer};
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::time::UnixMillis;
use std::sync::Arc;

const AT: UnixMillis = UnixMillis(1_769_846_400_000);
const AGENT: AgentId = AgentId::from_bytes([7; 16]);
const NAMES: [&str; 4] = ["bundle-report", "bundle-word", "bundle-enrolment", "bundle-admission"];

pub(crate) fn names() -> Vec<String> {
    NAMES.iter().map(|name| format!("v3/{name}")).collect()
}

fn hub() -> PrivateKey {
    PrivateKey::from_seed(&[9; 32])
}

fn agent() -> PrivateKey {
    PrivateKey::from_seed(&[3; 32])
}

fn manifest(from: Party, to: Party, content: Content) -> Manifest {
    Manifest { bundle: [4; 16], part: 1, made_at: AT, program: "0.1.0".into(), from, to, sealed_to: None, content }
}

fn file(number: usize) -> (Vec<u8>, Vec<u8>) {
    let agent_party = Party::Agent { agent: AGENT, key: agent().public() };
    let machine = Party::Machine(agent().public());
    let to_agent = Some(key_of_signer(&agent().public()).unwrap());
    let cursor = Cursor { position: Position { epoch: 2, seq: 9 }, chain: Chain::start(AGENT, 2).then(b"record") };
    let report = Report {
        after: Position { epoch: 1, seq: 4 },
        epochs: vec![EpochExtent { oldest: 1, head: cursor }],
        one_way: true,
    };
    let (manifest, key, seal_to, message) = match number {
        0 => (
            manifest(agent_party, Party::Hub(hub().public()), Content::Report(report)),
            agent(),
            Some(OpeningKey::from_seed(300, &[1; 32]).public()),
            ToHub::AskTime([5; 16]).to_body(),
        ),
        1 => {
            let goodbye = Goodbye { reason: "the agent was revoked".into(), come_back_after: 3_600 };
            let word = manifest(Party::Hub(hub().public()), agent_party, Content::Word);
            (word, hub(), to_agent, ToAgent::Goodbye(goodbye).to_body())
        }
        2 => {
            let enrolment = manifest(machine, Party::Authority([6; 32]), Content::Enrolment);
            (enrolment, agent(), None, offline().to_body())
        }
        _ => {
            let answer = Answer::Refused(Refused::Expired(AT));
            let admission = Admission { authority: vec![1; 40], certificate: vec![2; 40], answer };
            (manifest(Party::Hub(hub().public()), machine, Content::Admission), hub(), to_agent, admission.to_body())
        }
    };
    let (mut writer, mut bytes) = Writer::begin(manifest, Arc::new(key), seal_to);
    bytes.extend(writer.message(&message, [8; 32]).unwrap());
    bytes.extend(writer.end(End { messages: 0, records: 5, through: cursor.position, last: true }));
    (bytes, message)
}

fn offline() -> OfflineRequest {
    let request = Request {
        token: [1; 16],
        secret: [2; 32],
        csr: vec![3; 40],
        signing_key: agent().public(),
        proof: Request::prove(&[1; 16], &[3; 40], &agent()),
        program: "0.1.0".into(),
        hostname: "plant-vm".into(),
        fingerprint: vec![("machine_id".into(), [4; 32])],
    };
    OfflineRequest::new(request, &[5; 32])
}

#[test]
fn bundles_are_written_and_read_as_recorded() {
    for (number, name) in NAMES.iter().enumerate() {
        let (written, message) = file(number);
        let recorded = recorded(&format!("v3/{name}"), || written.clone());
        expect(name, &written, &recorded);
        let keys = [OpeningKey::from_seed(300, &[1; 32]), OpeningKey::of_signer(&agent()).unwrap()];
        let mut reader = Reader::default();
        reader.feed(&recorded);
        let Some(Item::Head(head)) = reader.take().unwrap() else { panic!("no head") };
        let key = *head.manifest.from.key().unwrap();
        head.verify(&key).unwrap();
        let mut opened = vec![];
        while let Some(Item::Piece(piece)) = reader.take().unwrap() {
            opened.push(head.open(piece, &key, &keys).unwrap());
        }
        assert_eq!(opened[0], Opened::Message(message));
        assert!(matches!(opened[1], Opened::End(End { messages: 1, last: true, .. })));
    }
}

#[test]
fn an_offline_request_shows_the_secret_without_telling_it_and_counts_as_it_was_made() {
    let made = offline();
    assert_eq!(made.request.secret, [0; 32]);
    assert!(made.knows(&[5; 32]) && !made.knows(&[6; 32]));
    assert!(made.request.check_proof().is_ok());
    let other = Request { signing_key: hub().public(), ..made.request.clone() };
    assert!(!OfflineRequest { request: other, ..made }.knows(&[5; 32]));
}
