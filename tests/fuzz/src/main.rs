//! One program for all decoders; `SITEWARDEN_FUZZ` names the one. A decoder may refuse whatever it is given; it may not
//! panic, overflow, take more memory than it is allowed, or need more than a second (the limits are libFuzzer's options in
//! `run`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use sitewarden_certs::hub_address::HubAddress;
use sitewarden_certs::token::EnrolmentToken;

use sitewarden_protocol::bundle::{Inspector, LAYOUT, MAGIC};
use sitewarden_protocol::id::SiteId;
use sitewarden_protocol::license::{KeyDigest, Validity};
use sitewarden_protocol::login::basic;
use sitewarden_protocol::message::{ToAgent, ToHub};
use sitewarden_protocol::record::{Record, Run, Total};
use sitewarden_protocol::telemetry::Fields;
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::{batch, codec, enrolment, frame, receipt, renewal, snapshot};
use std::sync::OnceLock;

/// A decoder and what it does with bytes.
type Decoder = (&'static str, fn(&[u8]));

const DECODERS: &[Decoder] = &[
    ("frame", frame),
    ("to-hub", to_hub),
    ("to-agent", to_agent),
    ("batch", batch),
    ("snapshot", snapshot),
    ("record", record),
    ("enrolment", enrolment),
    ("bundle", bundle),
    ("text", text),
    ("telemetry", telemetry),
];

fuzz_target!(|bytes: &[u8]| {
    static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("SITEWARDEN_FUZZ").unwrap_or_default();
        let found = DECODERS.iter().find(|(known, _)| *known == name);
        found
            .unwrap_or_else(|| {
                panic!(
                    "SITEWARDEN_FUZZ is {name:?}; the decoders are {:?}",
                    DECODERS.iter().map(|(name, _)| name).collect::<Vec<_>>()
                )
            })
            .1
    });
    chosen(bytes);
});

fn frame(bytes: &[u8]) {
    if let Some((header, body)) = bytes.split_first_chunk::<{ frame::HEADER }>()
        && let Ok(header) = frame::Header::parse(header)
    {
        assert!(header.length() <= frame::MAX_BODY);
        let _ = header.check(body);
    }
}

fn to_hub(bytes: &[u8]) {
    if let Ok(message) = ToHub::from_body(bytes) {
        if let ToHub::Batch(batch) = &message {
            opened(batch);
        }
        let frame = message.to_frame();
        // What was understood is understood again, whichever of its forms it came in.
        assert!(ToHub::from_body(&frame[frame::HEADER..]).is_ok());
    }
}

fn to_agent(bytes: &[u8]) {
    if let Ok(message) = ToAgent::from_body(bytes) {
        let frame = message.to_frame();
        assert!(ToAgent::from_body(&frame[frame::HEADER..]).is_ok());
    }
}

/// The first bytes are a header's length, then comes the header, then the payload: so that both are reached without a
/// signature.
fn batch(bytes: &[u8]) {
    let Some(([length], rest)) = bytes.split_first_chunk::<1>() else { return };
    let (header, payload) = rest.split_at(rest.len().min(usize::from(*length)));
    let signature = sitewarden_protocol::signing::Signature([0; 64]);
    opened(&batch::Signed { header: header.to_vec(), signature, payload: payload.to_vec() });
    if let Ok(batch) = codec::decode::<batch::Signed>(bytes) {
        opened(&batch);
    }
    let _ = codec::decode::<receipt::Signed>(bytes);
}

fn opened(batch: &batch::Signed) {
    if let Ok(header) = batch.peek()
        && let Ok(run) = batch.open(&header)
    {
        assert!(run.as_bytes().len() <= batch::MAX_RAW);
        run.iter().for_each(record);
    }
}

fn snapshot(bytes: &[u8]) {
    if let Ok(signed) = codec::decode::<snapshot::Signed>(bytes) {
        let _ = signed.read();
    }
}

fn record(bytes: &[u8]) {
    if let Ok(record) = Record::decode(bytes) {
        if let Ok(body) = record.decode_body() {
            let _ = body.shown();
        }
        if let Some(mut total) = Total::of(&record) {
            let same = total.clone();
            total.add(&same);
            assert_eq!(total.key(), same.key());
        }
    }
    if let Ok(run) = Run::from_bytes(bytes.to_vec()) {
        assert_eq!(run.iter().count(), run.count() as usize);
    }
}

fn enrolment(bytes: &[u8]) {
    if let Ok(request) = enrolment::Request::from_frame(bytes) {
        let _ = request.check_proof();
    }
    let _ = enrolment::Answer::from_frame(bytes);
    let _ = renewal::Request::from_frame(bytes);
}

/// A file whose pieces are the input's, each behind a byte that is its length: no chance would find their checksums.
fn bundle(bytes: &[u8]) {
    let mut file = [MAGIC.as_slice(), &LAYOUT.to_le_bytes()].concat();
    let mut rest = bytes;
    while let Some(([length], after)) = rest.split_first_chunk::<1>() {
        let (piece, after) = after.split_at(after.len().min(usize::from(*length)));
        file.extend(frame::encode(piece));
        rest = after;
    }
    for file in [&file, bytes] {
        let mut inspector = Inspector::new(Vec::new().into());
        file.chunks(100).for_each(|chunk| inspector.feed(chunk));
        let found = inspector.finish();
        let _ = (found.json(), found.text());
    }
}

/// Enrolment tokens, addresses, licence keys, terms, credentials.
fn text(bytes: &[u8]) {
    let _ = basic::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(token) = EnrolmentToken::parse(text) {
        assert!(EnrolmentToken::parse(&token.encode()).is_ok());
    }
    let _ = text.parse::<HubAddress>();
    let _ = KeyDigest::of(SiteId::from_bytes([1; 16]), text);
    if let Ok(validity) = text.parse::<Validity>() {
        let _ = validity.end(UnixMillis(i64::MAX));
        let _ = validity.end(UnixMillis(0));
    }
}

/// The first byte picks the content type, the rest is the body.
fn telemetry(bytes: &[u8]) {
    let Some(([kind], body)) = bytes.split_first_chunk::<1>() else { return };
    let content_type = match kind % 4 {
        0 => None,
        1 => Some("application/json"),
        2 => Some("application/x-www-form-urlencoded"),
        _ => Some("multipart/form-data; boundary=b"),
    };
    let parsed = Fields::read(content_type, body).parse();
    let _ = parsed.reading.value.shown();
}
