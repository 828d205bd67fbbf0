//! Records: what is in journals, in batches and in the hub's database.

use super::vectors::{expect, recorded};
use sitewarden_protocol::api_key::ApiKeyDigest;
use sitewarden_protocol::id::{ActivationId, LicenseId, SiteId};
use sitewarden_protocol::license::KeyDigest;
use sitewarden_protocol::record::{
    Activation, Body, Denial, Denials, Dropped, EpochBegun, Event, Excess, FingerprintChange, Folded, Heartbeat,
    HostHour, HostSample, MachineActivated, MachineDeactivated, Measured, Measurement, MonitorChange, Overage,
    Override, Part, ReadingTotal, Record, Rest, Run, Sent, SessionEnd, SessionEnded, Total, Transmission, Value, kind,
};
use sitewarden_protocol::telemetry::{Field, Problem, Reading};
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::trusted_time;

const AT: UnixMillis = UnixMillis(1_769_846_400_000);

/// One of every kind. The match in [`name`] does not compile without a new one.
pub(crate) fn bodies() -> Vec<Body> {
    let monitor = || MonitorChange { app: "EMS".into(), monitor: "pump-1".into() };
    vec![
        Body::Event(Event {
            app: "EMS".into(),
            kind: "start".into(),
            environment: "production".into(),
            outcome: "success".into(),
            count: 300,
            attributes: vec![
                ("text".into(), Value::Text("größer".into())),
                ("integer".into(), Value::Integer(-5)),
                ("number".into(), Value::Number(1.5)),
                ("flag".into(), Value::Flag(true)),
            ],
        }),
        Body::Host(HostSample {
            cpu_permille: 999,
            memory_used: 1 << 33,
            memory_total: 1 << 34,
            disk_free: 70_000,
            disk_total: 1 << 40,
            uptime: 250,
            agent_memory: 20 << 20,
        }),
        Body::MonitorReserved(monitor()),
        Body::MonitorReleased(monitor()),
        Body::LicenseActivated(Activation {
            license: LicenseId::from_bytes([1; 16]),
            replaces: Some(LicenseId::from_bytes([2; 16])),
            by: "operator".into(),
        }),
        Body::Denial(Denial { app: "EMS".into(), action: "reserve".into(), cause: "over quota".into() }),
        Body::EpochBegun(EpochBegun { previous: 1, kept: 300, written: 305, cause: "damaged".into() }),
    ]
    .into_iter()
    .chain(bodies_of_version_2())
    .chain(bodies_of_version_3())
    .collect()
}

fn bodies_of_version_2() -> Vec<Body> {
    let (license, activation) = (LicenseId::from_bytes([1; 16]), ActivationId::from_bytes([5; 16]));
    let parts = || vec![("machine_id".into(), [4; 32])];
    vec![
        Body::Denials(Denials {
            app: "EMS".into(),
            action: "verify".into(),
            user: "ems".into(),
            cause: "expired".into(),
            count: 300,
            since: AT,
        }),
        Body::Clock(trusted_time::Change {
            wall: UnixMillis(0),
            before: AT,
            after: UnixMillis(AT.0 + 1),
            cause: trusted_time::Cause::SteppedBack,
        }),
        Body::Fingerprint(FingerprintChange {
            same_machine: true,
            matched: 3,
            of: 4,
            changed: vec!["mac".into()],
            parts: parts(),
        }),
        Body::Override(Override { days: 7, until: AT, reason: "the line is cut".into(), by: "operator".into() }),
        Body::Overage(Overage { app: "EMS".into(), license, in_use: 300, quota: 251 }),
        Body::MachineActivated(MachineActivated {
            license,
            activation,
            hardware: parts(),
            machine: "DESKTOP-ABC123".into(),
            app_version: "1.0.0".into(),
        }),
        Body::MachineDeactivated(MachineDeactivated { license, activation, reason: "System upgrade".into() }),
        Body::Heartbeat(Heartbeat { license, activation, users: 5, features: vec![("feature1".into(), 150)] }),
        Body::SessionEnded(SessionEnded {
            license,
            activation,
            users: 5,
            cause: SessionEnd::Released { by: "operator".into() },
        }),
        Body::Measurement(Measurement::Sent(Box::new(Sent {
            key: ApiKeyDigest::of("an API key"),
            license: Some(KeyDigest::of(SiteId::from_bytes([1; 16]), "a key")),
            reading: Reading {
                group: "test_group".into(),
                value: Measured::Point { x: 1.0, y: -2.5 },
                product: String::new(),
                version: "1.0.1".into(),
                user: "a user".into(),
                activation: "12135644".into(),
                problems: vec![(Field::ProductId, Problem::Invalid)],
                raw: r#"{"product_id":"?"}"#.into(),
            },
        }))),
        Body::Transmission(Transmission {
            number: 2,
            due: AT,
            manual: true,
            started: AT,
            records: 5_432,
            retries: 2,
            error: Some("Connection timeout".into()),
        }),
        Body::HostHourly(host_hour()),
        Body::Excess(Excess { app: "EMS".into(), license, in_use: 300, permitted: 276 }),
    ]
}

/// The rest of a measurement that did not fit into its record: the same kind, so that it has no vector in [`bodies`].
fn rests() -> [(&'static str, Body); 3] {
    let rest = |part, text: &str| Body::Measurement(Measurement::Rest(Rest { back: 300, part, text: text.into() }));
    [
        ("v2/record-measurement-rest-text", rest(Part::Text, "größer 😀")),
        ("v2/record-measurement-rest-user", rest(Part::User, "a user")),
        ("v2/record-measurement-rest-raw", rest(Part::Raw, r#"","data_type":"?"}"#)),
    ]
}

fn bodies_of_version_3() -> Vec<Body> {
    let readings = ReadingTotal {
        hour: AT,
        key: ApiKeyDigest::of("an API key"),
        license: Some(KeyDigest::of(SiteId::from_bytes([1; 16]), "a key")),
        product: "EMS".into(),
        version: "1.0.1".into(),
        group: "test_group".into(),
        points: true,
        count: 300,
        sum: 10.5,
        min: -2.5,
        max: 70_000.0,
        last: 1.0,
        last_at: UnixMillis(AT.0 + 1),
    };
    vec![
        Body::Folded(Folded { set: 2, place: 300, total: Total::Readings(Box::new(readings)) }),
        Body::Dropped(Dropped { since: AT, until: UnixMillis(AT.0 + 1), counts: vec![(kind::EVENT, 300)] }),
    ]
}

const fn host_hour() -> HostHour {
    HostHour {
        hour: AT,
        samples: 12,
        cpu_average_permille: 300,
        cpu_max_permille: 999,
        memory_average: 1 << 33,
        memory_max: (1 << 33) + 1,
        memory_total: 1 << 34,
        disk_free_min: 70_000,
        disk_total: 1 << 40,
        uptime: 86_400,
        agent_uptime: 3_600,
        agent_memory_max: 20 << 20,
        backlog_max: 251,
        journal_bytes_max: 1 << 20,
        wall_offset: -5_000,
    }
}

fn name(body: &Body) -> String {
    let kind = match body {
        Body::Event(_) => kind::EVENT,
        Body::Host(_) => kind::HOST,
        Body::MonitorReserved(_) => kind::MONITOR_RESERVED,
        Body::MonitorReleased(_) => kind::MONITOR_RELEASED,
        Body::LicenseActivated(_) => kind::LICENSE_ACTIVATED,
        Body::Denial(_) => kind::DENIAL,
        Body::EpochBegun(_) => kind::EPOCH_BEGUN,
        Body::Denials(_) => kind::DENIALS,
        Body::Clock(_) => kind::CLOCK,
        Body::Fingerprint(_) => kind::FINGERPRINT,
        Body::Override(_) => kind::OVERRIDE,
        Body::Overage(_) => kind::OVERAGE,
        Body::MachineActivated(_) => kind::MACHINE_ACTIVATED,
        Body::MachineDeactivated(_) => kind::MACHINE_DEACTIVATED,
        Body::Heartbeat(_) => kind::HEARTBEAT,
        Body::SessionEnded(_) => kind::SESSION_ENDED,
        Body::Measurement(_) => kind::MEASUREMENT,
        Body::Transmission(_) => kind::TRANSMISSION,
        Body::HostHourly(_) => kind::HOST_HOURLY,
        Body::Excess(_) => kind::EXCESS,
        Body::Folded(_) => kind::FOLDED,
        Body::Dropped(_) => kind::DROPPED,
        Body::Unknown => panic!("an unknown body is not written"),
    };
    assert_eq!(body.kind(), Some(kind));
    let version = match kind {
        0..=kind::EPOCH_BEGUN => "v1",
        kind::DENIALS..=kind::EXCESS => "v2",
        _ => "v3",
    };
    format!("{version}/record-{}", kind::name(kind).replace('_', "-"))
}

pub(crate) fn names() -> Vec<String> {
    let rests = rests().map(|(name, _)| name.to_owned());
    bodies().iter().map(name).chain(rests).chain(["v1/run".to_owned()]).collect()
}

/// Those of version 1 as one run.
pub(crate) fn run() -> Run {
    let mut run = Run::default();
    bodies().iter().take(usize::from(kind::EPOCH_BEGUN)).for_each(|body| run.push(&Record::encode(AT, body).unwrap()));
    run
}

#[test]
fn every_kind_of_record_is_written_and_read_as_recorded() {
    let bodies = bodies();
    assert_eq!(bodies.len(), kind::ALL.len(), "a kind has no vector");
    let named = bodies.into_iter().map(|body| (name(&body), body));
    for (name, body) in named.chain(rests().map(|(name, body)| (name.to_owned(), body))) {
        let written = Record::encode(AT, &body).unwrap();
        let recorded = recorded(&name, || written.clone());
        expect(&name, &written, &recorded);
        let read = Record::decode(&recorded).unwrap();
        assert_eq!((read.at, Some(read.kind)), (AT, body.kind()), "{name}");
        assert_eq!(read.decode_body().unwrap(), body, "{name}");
    }
}

#[test]
fn a_run_is_written_and_read_as_recorded() {
    let run = run();
    let recorded = recorded("v1/run", || run.as_bytes().to_vec());
    expect("v1/run", run.as_bytes(), &recorded);
    assert_eq!(Run::from_bytes(recorded).unwrap(), run);
}

/// What people see has every field of the record, by its name, and nothing in the program's own words.
#[test]
fn every_kind_is_shown_with_all_its_fields() {
    let rests = rests().map(|(_, body)| body);
    for body in bodies().into_iter().chain(rests) {
        let shown = body.shown();
        let text = shown.to_string();
        assert!(shown.is_object(), "{text}");
        let debug = format!("{body:?}");
        for before in debug.split(": ") {
            let name: String = before.chars().rev().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let name: String = name.chars().rev().collect();
            let is = match name.as_str() {
                "reading" | "total" => continue, // Their fields stand beside those of what carries them.
                "problems" => "errors",
                "back" => "rest_of",
                other => other,
            };
            assert!(text.contains(is), "{is} of {debug} is missing in {text}");
        }
    }
}
