//! What goes over lines and in files: batches, receipts, snapshots, messages, enrolment, each in its frame.

use super::records;
use super::vectors::{expect, recorded};
use sitewarden_protocol::announcement;
use sitewarden_protocol::api_key::ApiKeyDigest;
use sitewarden_protocol::batch::{self, Draft, Encoding, Header, Seal};
use sitewarden_protocol::chain::{Chain, Cursor, Position};
use sitewarden_protocol::clearance;
use sitewarden_protocol::codec;
use sitewarden_protocol::enrolment::{self, Again, Answer, Enrolled, Request};
use sitewarden_protocol::frame;
use sitewarden_protocol::hub_time::{self, HubTime};
use sitewarden_protocol::id::{AgentId, LicenseId, PlantId, SiteId};
use sitewarden_protocol::license::{
    ActivationError, KeyDigest, Kind, License, Limits, Policy, Rule, Rung, Status, Term,
};
use sitewarden_protocol::message::{
    Activate, Activated, ActivationOutcome, EpochExtent, Goodbye, Hello, LiveStatus, Quota, Refusal, Refused, ToAgent,
    ToHub, Welcome,
};
use sitewarden_protocol::receipt::{self, Receipt};
use sitewarden_protocol::renewal;
use sitewarden_protocol::sealing::OpeningKey;
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::snapshot::{self, Administrator, SealingKey, Snapshot, Trust, Version};
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
        description: String::new(),
        app: "EMS".into(),
        kind: kinds[number % kinds.len()],
        term: terms[number],
        limits: Limits { monitors: Some(100), users: None, activations: Some(1) },
        features: vec!["test_policies".into()],
        policy: Policy {
            expiry: Rule { grace_days: 300, then: rungs[number % rungs.len()] },
            staleness: Rule { grace_days: 30, then: rungs[(number + 1) % rungs.len()] },
            overage: Rule::hard(),
            overage_percent: 10,
        },
        status: statuses[number],
        activated_at: (number > 0).then_some(AT),
        expires_at: None,
        created_at: UnixMillis::default(),
        key: KeyDigest::of(SITE, "a key"),
        key_hint: String::new(),
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
        customer: 0,
        customer_name: "Acme".into(),
        version: version(),
        fresh_until: UnixMillis(AT.0 + 1_000),
        licenses: licenses(),
        trust: Trust { authorities: vec![vec![0x30, 3, 2, 1, 0]], signing_keys: vec![hub_key().public()] },
        override_days: 0,
        administrators: vec![],
        api_keys: vec![],
        sealing_key: None,
        certificate: vec![],
    }
}

/// With everything that version 1 could not say.
fn full_snapshot() -> Snapshot {
    let license = |license: License| License {
        description: "for line 1".into(),
        policy: Policy { overage: Rule { grace_days: 3, then: Rung::Block }, ..license.policy },
        created_at: AT,
        key_hint: "…WXYZ".into(),
        ..license
    };
    Snapshot {
        licenses: licenses().into_iter().map(license).collect(),
        override_days: 7,
        administrators: vec![Administrator { name: "support".into(), password: "$argon2id$…".into() }],
        api_keys: vec![ApiKeyDigest::of("a key")],
        sealing_key: Some(SealingKey { id: 300, public: [6; 32] }),
        certificate: vec![0x30, 3, 2, 1, 0],
        ..plain_snapshot()
    }
}

fn snapshot() -> snapshot::Signed {
    snapshot::Signed::make(&plain_snapshot(), 1, &hub_key())
}

/// The recorded batch: zstd may write other bytes in a later version, so it is made only once.
fn signed_batch() -> batch::Signed {
    let draft = Draft { after: Cursor::start(AGENT, 2), lost: 0, records: records::run() };
    let make = || codec::encode(&batch::Signed::make(AGENT, &draft, AT, &agent_key()).unwrap().1);
    codec::decode(&recorded("v1/batch", make)).unwrap()
}

fn opening_key() -> OpeningKey {
    OpeningKey::from_seed(300, &[4; 32])
}

/// The recorded sealed batch, for the same reason made only once.
fn sealed_batch() -> batch::Signed {
    let draft = Draft { after: Cursor::start(AGENT, 2), lost: 0, records: records::run() };
    let seal = || Some(Seal { key: opening_key().public(), random: [8; 32] });
    let make = || codec::encode(&batch::Signed::make_for(AGENT, &draft, AT, &agent_key(), seal()).unwrap().1);
    codec::decode(&recorded("v2/batch-sealed", make)).unwrap()
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
        ToHub::AskTime([8; 16]),
        ToHub::Activate(Activate {
            question: 300,
            key: "a key".into(),
            replace: true,
            by: "operator".into(),
            in_use: vec![("EMS".into(), 3)],
        }),
        ToHub::Renew(renewal_request()),
    ]
}

const fn name_to_hub(message: &ToHub) -> &'static str {
    match message {
        ToHub::Hello(_) => "v1/to-hub-hello",
        ToHub::Batch(_) => "v1/to-hub-batch",
        ToHub::Status(_) => "v1/to-hub-status",
        ToHub::AskTime(_) => "v2/to-hub-ask-time",
        ToHub::Activate(_) => "v2/to-hub-activate",
        ToHub::Renew(_) => "v3/to-hub-renew",
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
        ToAgent::Time(hub_time::Signed::make(&HubTime { agent: AGENT, nonce: [8; 16], at: AT }, &hub_key())),
        activated(ActivationOutcome::Activated(LicenseId::from_bytes([1; 16]))),
        activated(ActivationOutcome::Refused(ActivationError::Unknown)),
        activated(ActivationOutcome::Refused(ActivationError::Spent)),
        activated(ActivationOutcome::Refused(ActivationError::QuotaTooSmall { in_use: 11, permitted: 10 })),
        activated(ActivationOutcome::Refused(occupied())),
        activated(ActivationOutcome::Refused(not_begun())),
        activated(ActivationOutcome::Unavailable),
        ToAgent::Keys(chain()),
        ToAgent::Cleared(clearance()),
    ]
    .into_iter()
    .chain(renewals().into_iter().map(ToAgent::Renewed))
    .collect()
}

fn clearance() -> clearance::Signed {
    let clearance = clearance::Clearance { agent: AGENT, epoch: 3, known: vec![cursor()], at: AT };
    clearance::Signed::make(&clearance, &hub_key())
}

fn renewal_request() -> renewal::Request {
    let asked = renewal::Asked { agent: AGENT, csr: vec![0x30, 3, 2, 1, 0], nonce: [8; 16], challenge: [5; 24] };
    renewal::Request::make(&asked, &agent_key())
}

fn new_hub_key() -> PrivateKey {
    PrivateKey::from_seed(&[10; 32])
}

fn chain() -> Vec<announcement::Signed> {
    vec![announcement::Signed::make(2, new_hub_key().public(), AT, &hub_key())]
}

fn renewals() -> Vec<renewal::Answer> {
    use renewal::Refused as No;
    let trust = Trust {
        authorities: vec![vec![0x30, 3, 2, 1, 0]],
        signing_keys: vec![new_hub_key().public(), hub_key().public()],
    };
    let renewed = renewal::Renewed { agent: AGENT, nonce: [8; 16], certificate: vec![0x30, 3, 2, 1, 0], trust };
    let granted = renewal::Granted::make(&renewed, chain(), &new_hub_key());
    let refused = [No::Unknown, No::Revoked, No::Invalid("a reason".into()), No::Unavailable];
    [renewal::Answer::Granted(granted), renewal::Answer::Challenge([5; 24])]
        .into_iter()
        .chain(refused.map(renewal::Answer::Refused))
        .collect()
}

const fn name_renewal(answer: &renewal::Answer) -> &'static str {
    use renewal::Refused as No;
    match answer {
        renewal::Answer::Granted(_) => "v3/to-agent-renewed",
        renewal::Answer::Challenge(_) => "v3/to-agent-renewed-challenge",
        renewal::Answer::Refused(No::Unknown) => "v3/to-agent-renewed-unknown",
        renewal::Answer::Refused(No::Revoked) => "v3/to-agent-renewed-revoked",
        renewal::Answer::Refused(No::Invalid(_)) => "v3/to-agent-renewed-invalid",
        renewal::Answer::Refused(No::Unavailable) => "v3/to-agent-renewed-unavailable",
    }
}

fn activated(outcome: ActivationOutcome) -> ToAgent {
    let snapshot = matches!(outcome, ActivationOutcome::Activated(_))
        .then(|| snapshot::Signed::make(&full_snapshot(), 2, &hub_key()));
    ToAgent::Activated(Activated { question: 300, outcome, snapshot })
}

fn occupied() -> ActivationError {
    let [current, new] = [0, 1].map(|number| Box::new(full_snapshot().licenses.swap_remove(number)));
    ActivationError::Occupied { current, new }
}

fn not_begun() -> ActivationError {
    ActivationError::NotBegun { app: "EMS".into(), current: "L1".into(), from: AT }
}

const fn name_to_agent(message: &ToAgent) -> &'static str {
    match message {
        ToAgent::Welcome(_) => "v1/to-agent-welcome",
        ToAgent::Receipt(_) => "v1/to-agent-receipt",
        ToAgent::Refused(Refused { refusal, .. }) => match refusal {
            Refusal::Missing(_) => "v1/to-agent-refused-missing",
            Refusal::Busy => "v1/to-agent-refused-busy",
            Refusal::Fork => "v1/to-agent-refused-fork",
            Refusal::Revoked => "v1/to-agent-refused-revoked",
        },
        ToAgent::Snapshot(_) => "v1/to-agent-snapshot",
        ToAgent::Goodbye(_) => "v1/to-agent-goodbye",
        ToAgent::Time(_) => "v2/to-agent-time",
        ToAgent::Activated(Activated { outcome, .. }) => match outcome {
            ActivationOutcome::Activated(_) => "v2/to-agent-activated",
            ActivationOutcome::Refused(ActivationError::Unknown) => "v2/to-agent-activated-unknown",
            ActivationOutcome::Refused(ActivationError::Spent) => "v2/to-agent-activated-spent",
            ActivationOutcome::Refused(ActivationError::QuotaTooSmall { .. }) => "v2/to-agent-activated-quota",
            ActivationOutcome::Refused(ActivationError::Occupied { .. }) => "v2/to-agent-activated-occupied",
            ActivationOutcome::Refused(ActivationError::NotBegun { .. }) => "v2/to-agent-activated-not-begun",
            ActivationOutcome::Unavailable => "v2/to-agent-activated-unavailable",
        },
        ToAgent::Renewed(answer) => name_renewal(answer),
        ToAgent::Keys(_) => "v3/to-agent-keys",
        ToAgent::Cleared(_) => "v3/to-agent-cleared",
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
    let again = Again { enrolled: enrolled.clone(), cleared: clearance() };
    let made = [Answer::Enrolled(Box::new(enrolled)), Answer::Again(Box::new(again))];
    made.into_iter().chain(refused.map(Answer::Refused)).collect()
}

const fn name_answer(answer: &Answer) -> &'static str {
    use enrolment::Refused as No;
    match answer {
        Answer::Enrolled(_) => "v1/enrolment-answer-enrolled",
        Answer::Again(_) => "v3/enrolment-answer-again",
        Answer::Refused(No::UnknownToken) => "v1/enrolment-answer-unknown-token",
        Answer::Refused(No::Used) => "v1/enrolment-answer-used",
        Answer::Refused(No::Expired(_)) => "v1/enrolment-answer-expired",
        Answer::Refused(No::Invalid(_)) => "v1/enrolment-answer-invalid",
        Answer::Refused(No::Unavailable) => "v1/enrolment-answer-unavailable",
    }
}

pub(crate) fn names() -> Vec<String> {
    let single = [
        "v1/frame",
        "v1/chain",
        "v1/batch",
        "v1/batch-header",
        "v1/receipt",
        "v1/snapshot",
        "v2/snapshot",
        "v3/snapshot",
        "v2/batch-sealed",
        "v2/batch-header-sealed",
        "v1/enrolment-request",
    ];
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
    check("v1/frame", &value, &frame::encode(&value), |bytes| body(bytes).to_vec());
    check("v1/chain", &cursor().chain, cursor().chain.as_bytes(), |bytes| Chain::from_bytes(bytes.try_into().unwrap()));
}

#[test]
fn a_batch_header_is_written_and_read_as_recorded() {
    check("v1/batch-header", &header(), &codec::encode(&header()), |bytes| codec::decode(bytes).unwrap());
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
fn the_recorded_sealed_batch_is_verified_and_opened() {
    let signed = sealed_batch();
    let header = signed.verify(&agent_key().public()).unwrap();
    assert_eq!((header.first, header.last, header.encoding), (1, 7, Encoding::SealedZstd(300)));
    assert_eq!(signed.open_with(&header, &[opening_key()]).unwrap(), records::run());
    let header = Header { encoding: Encoding::SealedZstd(300), ..self::header() };
    check("v2/batch-header-sealed", &header, &codec::encode(&header), |bytes| codec::decode(bytes).unwrap());
}

#[test]
fn receipt_and_snapshot_are_written_signed_and_read_as_recorded() {
    check("v1/receipt", &receipt(), &codec::encode(&receipt()), |bytes| codec::decode(bytes).unwrap());
    let trusted = [hub_key().public()];
    let said = receipt().verify(&trusted).unwrap();
    assert_eq!(said, Receipt { agent: AGENT, through: cursor(), hub_time: AT });
    check("v1/snapshot", &snapshot(), &codec::encode(&snapshot()), |bytes| codec::decode(bytes).unwrap());
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
    check("v1/enrolment-request", &request(), &request().to_frame(), |bytes| Request::from_frame(bytes).unwrap());
    assert_eq!(request().check_proof(), Ok(()));
    for answer in answers() {
        let read = |bytes: &[u8]| Answer::from_frame(bytes).unwrap();
        check(name_answer(&answer), &answer, &answer.to_frame(), read);
    }
}

#[test]
fn the_recorded_renewal_is_verified_from_an_older_key_by_the_recorded_chain() {
    assert_eq!(renewal_request().verify(&agent_key().public()), Ok(()));
    let renewal::Answer::Granted(granted) = renewals().swap_remove(0) else { panic!("not granted") };
    let renewed = granted.verify(&[hub_key().public()], AGENT, &[8; 16]).unwrap();
    assert_eq!(renewed.certificate, [0x30, 3, 2, 1, 0]);
}

#[test]
fn a_snapshot_of_layout_2_is_written_signed_and_read_as_recorded() {
    let signed = snapshot::Signed::make(&full_snapshot(), 2, &hub_key());
    check("v2/snapshot", &signed, &codec::encode(&signed), |bytes| codec::decode(bytes).unwrap());
    assert_eq!(signed.verify(&[hub_key().public()]).unwrap(), full_snapshot());
    // The bytes of one layout do not pass for the other.
    assert!(snapshot::Signed { format: 1, ..signed }.verify(&[hub_key().public()]).is_err());
}

#[test]
fn a_snapshot_of_layout_3_is_written_signed_and_read_as_recorded() {
    let snapshot = Snapshot { customer: 300, ..full_snapshot() };
    let signed = snapshot::Signed::make(&snapshot, 3, &hub_key());
    check("v3/snapshot", &signed, &codec::encode(&signed), |bytes| codec::decode(bytes).unwrap());
    assert_eq!(signed.verify(&[hub_key().public()]).unwrap(), snapshot);
    assert!(snapshot::Signed { format: 2, ..signed }.verify(&[hub_key().public()]).is_err());
}
