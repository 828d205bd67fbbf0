//! What goes over lines and in files: batches, receipts, snapshots, messages, enrolment, each in its frame.

use super::records;
use super::vectors::{expect, recorded};
use sitewarden_protocol::batch::{self, Draft, Encoding, Header};
use sitewarden_protocol::chain::{Chain, Cursor, Position};
use sitewarden_protocol::codec;
use sitewarden_protocol::enrolment::{self, Answer, Enrolled, Request};
use sitewarden_protocol::frame;
use sitewarden_protocol::id::{AgentId, LicenseId, PlantId, SiteId};
use sitewarden_protocol::license::{KeyDigest, Kind, License, Limits, Policy, Rule, Rung, Status, Term};
use sitewarden_protocol::message::{
    EpochExtent, Goodbye, Hello, LiveStatus, Quota, Refusal, Refused, ToAgent, ToHub, Welcome,
};
use sitewarden_protocol::receipt::{self, Receipt};
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::snapshot::{self, Snapshot, Trust, Version};
use sitewarden_protocol::time::UnixMillis;
use std::fmt::Debug;

const AT: UnixMillis = UnixMillis(1_769_846_400_000);
const AGENT: AgentId = AgentId::from_bytes([7; 16]);
const SITE: SiteId = SiteId::from_bytes([1; 16]);

fn hub_key() -> PrivateKey {
    PrivateKey::from_seed(&[9; 32])
}

fn agent_key() -> PrivateKey {
    PrivateKey::from_seed(&[3; 32])
}

fn cursor() -> Cursor {
    Cursor { position: Position { epoch: 2, seq: 70_000 }, chain: Chain::start(AGENT, 2).then(b"record") }
}

fn version() -> Version {
    Version { revision: 12, issued_at: AT }
}

fn receipt() -> receipt::Signed {
    receipt::Signed::make(&Receipt { agent: AGENT, through: cursor(), hub_time: AT }, &hub_key())
}

fn header() -> Header {
    Header {
        agent: AGENT,
        epoch: 2,
        first: 251,
        last: 70_000,
        prev: Chain::start(AGENT, 2),
        head: cursor().chain,
        lost: 3,
        made_at: AT,
        encoding: Encoding::Zstd,
        raw_length: 65_536,
        payload_hash: [5; 32],
    }
}

/// Licences that between them have every kind, term, status and rung.
fn licenses() -> Vec<License> {
    let rungs = [Rung::Observe, Rung::Warn, Rung::BlockNew, Rung::Block];
    let terms = [
        Term::Validity("1y".parse().unwrap()),
        Term::Validity("18m".parse().unwrap()),
        Term::Validity("300d".parse().unwrap()),
        Term::Dates { from: AT, until: UnixMillis(AT.0 + 1) },
        Term::Endless,
    ];
    let statuses = [Status::Inactive, Status::Active, Status::Expired, Status::Deactivated, Status::Invalid];
    let kinds = [Kind::Perpetual, Kind::Subscription, Kind::Trial];
    let license = |number: usize| License {
        id: LicenseId::from_bytes([u8::try_from(number).unwrap(); 16]),
        name: format!("L{number}"),
        app: "EMS".into(),
        kind: kinds[number % kinds.len()],
        term: terms[number],
        limits: Limits { monitors: Some(100), users: None, activations: Some(1) },
        features: vec!["test_policies".into()],
        policy: Policy {
            expiry: Rule { grace_days: 300, then: rungs[number % rungs.len()] },
            staleness: Rule { grace_days: 30, then: rungs[(number + 1) % rungs.len()] },
            overage_percent: 10,
        },
        status: statuses[number],
        activated_at: (number > 0).then_some(AT),
        expires_at: None,
        key: KeyDigest::of(SITE, "a key"),
        revision: 4,
    };
    (0..5).map(license).collect()
}

fn plain_snapshot() -> Snapshot {
    Snapshot {
        site: SITE,
        site_name: "Line 1".into(),
        plant: PlantId::from_bytes([2; 16]),
        plant_name: "North".into(),
        customer_name: "Acme".into(),
        version: version(),
        fresh_until: UnixMillis(AT.0 + 1_000),
        licenses: licenses(),
        trust: Trust { authorities: vec![vec![0x30, 3, 2, 1, 0]], signing_keys: vec![hub_key().public()] },
    }
}

fn snapshot() -> snapshot::Signed {
    snapshot::Signed::make(&plain_snapshot(), &hub_key())
}

/// The recorded batch: zstd may write other bytes in a later version, so it is made only once.
fn signed_batch() -> batch::Signed {
    let draft = Draft { after: Cursor::start(AGENT, 2), lost: 0, records: records::run() };
    let make = || codec::encode(&batch::Signed::make(AGENT, &draft, AT, &agent_key()).unwrap().1);
    codec::decode(&recorded("batch", make)).unwrap()
}

fn to_hub() -> Vec<ToHub> {
    vec![
        ToHub::Hello(Hello {
            oldest_version: 1,
            newest_version: 300,
            agent: AGENT,
            program: "0.1.0".into(),
            boot_id: [6; 16],
            epochs: vec![EpochExtent { oldest: 251, head: cursor() }],
            snapshot: version(),
        }),
        ToHub::Batch(signed_batch()),
        ToHub::Status(LiveStatus {
            at: AT,
            backlog: 1_000,
            oldest_unacknowledged: Some(UnixMillis(AT.0 - 5)),
            journal_bytes: 1 << 20,
            quotas: vec![
                Quota { app: "EMS".into(), used: 3, permitted: Some(100) },
                Quota { app: "CBM".into(), used: 0, permitted: None },
            ],
            snapshot: version(),
        }),
    ]
}

const fn name_to_hub(message: &ToHub) -> &'static str {
    match message {
        ToHub::Hello(_) => "to-hub-hello",
        ToHub::Batch(_) => "to-hub-batch",
        ToHub::Status(_) => "to-hub-status",
    }
}

fn to_agent() -> Vec<ToAgent> {
    let at = |seq| Position { epoch: 2, seq };
    let refused = |refusal| ToAgent::Refused(Refused { first: at(1), last: at(300), refusal });
    vec![
        ToAgent::Welcome(Welcome { version: 1, receipts: vec![receipt()] }),
        ToAgent::Receipt(receipt()),
        refused(Refusal::Missing(cursor())),
        refused(Refusal::Busy),
        refused(Refusal::Fork),
        refused(Refusal::Revoked),
        ToAgent::Snapshot(snapshot()),
        ToAgent::Goodbye(Goodbye { reason: "the hub is stopping".into(), come_back_after: 300 }),
    ]
}

const fn name_to_agent(message: &ToAgent) -> &'static str {
    match message {
        ToAgent::Welcome(_) => "to-agent-welcome",
        ToAgent::Receipt(_) => "to-agent-receipt",
        ToAgent::Refused(Refused { refusal, .. }) => match refusal {
            Refusal::Missing(_) => "to-agent-refused-missing",
            Refusal::Busy => "to-agent-refused-busy",
            Refusal::Fork => "to-agent-refused-fork",
            Refusal::Revoked => "to-agent-refused-revoked",
        },
        ToAgent::Snapshot(_) => "to-agent-snapshot",
        ToAgent::Goodbye(_) => "to-agent-goodbye",
    }
}

fn request() -> Request {
    let (token, csr) = ([1; 16], vec![0x30, 3, 2, 1, 0]);
    Request {
        token,
        secret: [2; 32],
        proof: Request::prove(&token, &csr, &agent_key()),
        csr,
        signing_key: agent_key().public(),
        program: "0.1.0".into(),
        hostname: "plant-vm".into(),
        fingerprint: vec![("machine_id".into(), [4; 32])],
    }
}

fn answers() -> Vec<Answer> {
    use enrolment::Refused as No;
    let refused = [No::UnknownToken, No::Used, No::Expired(AT), No::Invalid("a reason".into()), No::Unavailable];
    let enrolled = Enrolled {
        agent: AGENT,
        site: SITE,
        certificate: vec![0x30, 3, 2, 1, 0],
        sync_port: 4_433,
        snapshot: snapshot(),
    };
    [Answer::Enrolled(Box::new(enrolled))].into_iter().chain(refused.map(Answer::Refused)).collect()
}

const fn name_answer(answer: &Answer) -> &'static str {
    use enrolment::Refused as No;
    match answer {
        Answer::Enrolled(_) => "enrolment-answer-enrolled",
        Answer::Refused(No::UnknownToken) => "enrolment-answer-unknown-token",
        Answer::Refused(No::Used) => "enrolment-answer-used",
        Answer::Refused(No::Expired(_)) => "enrolment-answer-expired",
        Answer::Refused(No::Invalid(_)) => "enrolment-answer-invalid",
        Answer::Refused(No::Unavailable) => "enrolment-answer-unavailable",
    }
}

pub(crate) fn names() -> Vec<String> {
    let single = ["frame", "chain", "batch", "batch-header", "receipt", "snapshot", "enrolment-request"];
    let hub = to_hub().iter().map(name_to_hub).collect::<Vec<_>>();
    let agent = to_agent().iter().map(name_to_agent).collect::<Vec<_>>();
    let answers = answers().iter().map(name_answer).collect::<Vec<_>>();
    [&single[..], &hub, &agent, &answers].concat().into_iter().map(str::to_owned).collect()
}

/// The value is written as recorded, and the recorded bytes are read as the value.
fn check<T: PartialEq + Debug>(name: &str, value: &T, written: &[u8], read: impl FnOnce(&[u8]) -> T) {
    let recorded = recorded(name, || written.to_vec());
    expect(name, written, &recorded);
    assert_eq!(&read(&recorded), value, "{name}");
}

/// The body of a frame, checked as every reader does.
fn body(bytes: &[u8]) -> &[u8] {
    let (head, body) = bytes.split_first_chunk().unwrap();
    frame::Header::parse(head).unwrap().check(body).unwrap();
    body
}

#[test]
fn frame_and_chain_are_as_recorded() {
    let value = b"a body".to_vec();
    check("frame", &value, &frame::encode(&value), |bytes| body(bytes).to_vec());
    check("chain", &cursor().chain, cursor().chain.as_bytes(), |bytes| Chain::from_bytes(bytes.try_into().unwrap()));
}

#[test]
fn a_batch_header_is_written_and_read_as_recorded() {
    check("batch-header", &header(), &codec::encode(&header()), |bytes| codec::decode(bytes).unwrap());
}

#[test]
fn the_recorded_batch_is_verified_and_opened() {
    let signed = signed_batch();
    let header = signed.verify(&agent_key().public()).unwrap();
    assert_eq!((header.agent, header.epoch, header.first, header.last), (AGENT, 2, 1, 7));
    assert_eq!((header.made_at, header.lost, header.prev), (AT, 0, Chain::start(AGENT, 2)));
    assert_eq!(signed.open(&header).unwrap(), records::run());
}

#[test]
fn receipt_and_snapshot_are_written_signed_and_read_as_recorded() {
    check("receipt", &receipt(), &codec::encode(&receipt()), |bytes| codec::decode(bytes).unwrap());
    let trusted = [hub_key().public()];
    let said = receipt().verify(&trusted).unwrap();
    assert_eq!(said, Receipt { agent: AGENT, through: cursor(), hub_time: AT });
    check("snapshot", &snapshot(), &codec::encode(&snapshot()), |bytes| codec::decode(bytes).unwrap());
    assert_eq!(snapshot().verify(&trusted).unwrap(), plain_snapshot());
}

#[test]
fn every_message_is_written_and_read_as_recorded() {
    for message in to_hub() {
        let read = |bytes: &[u8]| ToHub::from_body(body(bytes)).unwrap();
        check(name_to_hub(&message), &message, &message.to_frame(), read);
    }
    for message in to_agent() {
        let read = |bytes: &[u8]| ToAgent::from_body(body(bytes)).unwrap();
        check(name_to_agent(&message), &message, &message.to_frame(), read);
    }
}

#[test]
fn enrolment_is_written_and_read_as_recorded() {
    check("enrolment-request", &request(), &request().to_frame(), |bytes| Request::from_frame(bytes).unwrap());
    assert_eq!(request().check_proof(), Ok(()));
    for answer in answers() {
        let read = |bytes: &[u8]| Answer::from_frame(bytes).unwrap();
        check(name_answer(&answer), &answer, &answer.to_frame(), read);
    }
}
