//! Whole sessions of earlier versions, recorded as those versions wrote them, played against this hub. The recordings are
//! in `protocol/testdata/vN/session-to-hub.hex` and never change: agents of those versions are in plants.

use crate::support::{TestHub, act, dial, endpoint, now};
use sitewarden_certs::authority::AGENT_LIFE;
use sitewarden_certs::request::TlsKey;
use sitewarden_certs::tls;
use sitewarden_certs::token::EnrolmentToken;
use sitewarden_hub::store::{Redeemed, Redemption, Shown};
use sitewarden_protocol::frame::{HEADER, Header};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{ToAgent, Welcome};
use sitewarden_protocol::signing::PrivateKey;
use std::path::PathBuf;
use std::time::Duration;

/// Who speaks in the recordings.
const AGENT: AgentId = AgentId::from_bytes([0x71; 16]);
const RECORDS: u64 = 28;

fn signing_key() -> PrivateKey {
    PrivateKey::from_seed(&[0x73; 32])
}

fn recording(version: u16) -> Vec<u8> {
    let path = format!("../protocol/testdata/v{version}/session-to-hub.hex");
    let text = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The frames of a recording, whole.
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut rest) = (vec![], bytes);
    while let Some(head) = rest.first_chunk::<HEADER>() {
        let length = HEADER + Header::parse(head).unwrap().length();
        frames.push(&rest[..length]);
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    frames
}

/// Makes the agent of the recordings known, as if it had enrolled here.
async fn known(hub: &TestHub) -> rustls::ClientConfig {
    let site = hub.site().await;
    let token: EnrolmentToken = hub.invite(site, now().after(Duration::from_secs(60))).await;
    let tls_key = TlsKey::generate().unwrap();
    let csr = tls_key.csr_der().unwrap();
    let issued = hub.keys.authorities.issuing().issue_agent(&csr, AGENT, AGENT_LIFE, now()).unwrap();
    let redemption = Redemption {
        token: token.id,
        shown: Shown::Secret(token.secret.clone()),
        agent: AGENT,
        signing_key: signing_key().public(),
        tls_key: issued.key_digest,
        hostname: "plant-vm".to_owned(),
        program: "0.1.0".to_owned(),
        fingerprint: vec![],
    };
    let certificate = issued.cert_der.clone();
    let redeemed = hub.hub.store().redeem(now(), redemption, move |_| Ok(certificate)).await.unwrap();
    assert!(matches!(redeemed, Redeemed::Enrolled { agent: AGENT, .. }), "{:?}", act());
    let authority = hub.keys.authorities.issuing().cert_der().to_vec();
    tls::sync_client(&[authority], &issued.cert_der, &tls_key.pem()).unwrap()
}

async fn play(version: u16) {
    // The key that the later recordings are sealed to.
    let hub = TestHub::start().await;
    let hub = hub
        .restarted(|folder| {
            sitewarden_certs::secret_file::write(&folder.join("keys/sealing-7.key"), &[0x77; 32]).unwrap();
        })
        .await;
    let tls = known(&hub).await;
    let recording = recording(version);
    for round in 1..=2 {
        let mut line = dial(endpoint(), &hub, tls.clone()).await.unwrap();
        let (mut receipts, mut snapshot, mut answers) = (0, None, 0);
        let frames = frames(&recording);
        let batches = 3;
        // One frame at a time, as a line would bring them.
        let mut sent = frames.iter();
        line.send_bytes(sent.next().unwrap()).await;
        match line.receive().await {
            Some(ToAgent::Welcome(Welcome { version: spoken, receipts })) => {
                assert_eq!(spoken, version);
                assert_eq!(receipts.len(), round - 1, "the second time the hub has what was recorded");
            }
            other => panic!("no welcome: {other:?}"),
        }
        for frame in sent {
            line.send_bytes(frame).await;
        }
        while receipts < batches {
            match line.receive().await {
                Some(ToAgent::Receipt(signed)) => {
                    let receipt = signed.verify(&hub.keys.signing.trusted()).unwrap();
                    receipts += 1;
                    assert!(round == 2 || receipt.through.position.seq <= RECORDS);
                }
                Some(ToAgent::Snapshot(signed)) => snapshot = Some(signed.format),
                Some(ToAgent::Time(_) | ToAgent::Activated(_)) => answers += 1,
                other => panic!("round {round}: {other:?}"),
            }
        }
        assert_eq!(snapshot, Some(version.min(2)), "in the layout that version {version} reads");
        assert_eq!(answers, if version >= 2 { 2 } else { 0 });
        assert_eq!(hub.hub.store().count_records(AGENT).await.unwrap(), RECORDS, "each record once");
    }
    assert_eq!(hub.flags("set_aside").await, []);
    assert_eq!(hub.flags("malformed").await, []);
}

#[tokio::test]
async fn a_recorded_session_of_version_1_is_taken_in_and_its_repeat_changes_nothing() {
    play(1).await;
}

#[tokio::test]
async fn a_recorded_session_of_version_2_is_taken_in_and_its_repeat_changes_nothing() {
    play(2).await;
}
