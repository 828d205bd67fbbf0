//! The door, from both sides.

use super::*;
use sitewarden_protocol::id::{ActivationId, LicenseId};
use sitewarden_protocol::record::Heartbeat;
use tempfile::TempDir;

const AT: UnixMillis = UnixMillis(1_769_846_400_000);

fn folder() -> (TempDir, Folder) {
    let temporary = TempDir::new().unwrap();
    let folder = Folder::at(temporary.path());
    folder.make("state").unwrap();
    (temporary, folder)
}

fn left(anonymity: &Anonymity, body: &Body) -> Body {
    Record::decode(&anonymity.encode(AT, body).unwrap()).unwrap().decode_body().unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn event(attributes: &[(&str, Value)]) -> Body {
    Body::Event(Event {
        app: "EMS".into(),
        kind: "login".into(),
        environment: "production".into(),
        outcome: "success".into(),
        count: 3,
        attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    })
}

#[test]
fn the_same_name_has_one_pseudonym_also_after_a_restart_and_another_at_another_site() {
    let (here, there) = (folder(), folder());
    let anonymity = Anonymity::load(&here.1, Arc::default()).unwrap();
    let name = anonymity.name("anna.meyer");
    assert!(name.starts_with("anon-") && name.len() == "anon-".len() + 16, "{name}");
    assert!(name.bytes().skip(5).all(|digit| digit.is_ascii_hexdigit()));
    assert_ne!(name, anonymity.name("Anna.Meyer"));
    assert_eq!(Anonymity::load(&here.1, Arc::default()).unwrap().name("anna.meyer"), name);
    assert_ne!(Anonymity::load(&there.1, Arc::default()).unwrap().name("anna.meyer"), name);
    assert_eq!((anonymity.name(""), anonymity.name(OPERATOR)), (String::new(), OPERATOR.to_owned()));
}

#[test]
fn the_key_is_the_owners_alone_and_a_damaged_one_is_refused_by_name() {
    use std::os::unix::fs::PermissionsExt;
    let (_temporary, folder) = folder();
    let anonymity = Anonymity::load(&folder, Arc::default()).unwrap();
    let mode = std::fs::metadata(folder.state(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!format!("{anonymity:?}").contains("key"));
    secret_file::write(&folder.state(FILE), b"short").unwrap();
    let error = Anonymity::load(&folder, Arc::default()).unwrap_err().to_string();
    assert!(error.contains("state/anonymity.key must hold exactly 32 bytes"), "{error}");
}

#[test]
fn an_event_keeps_what_is_counted_and_loses_who_and_where() {
    let (_temporary, folder) = folder();
    let anonymity = Anonymity::load(&folder, Arc::default()).unwrap();
    let body = event(&[
        ("userName", text("anna.meyer")),
        ("user_id", Value::Integer(4_711)),
        ("users", Value::Integer(12)),
        ("src_ip", text("10.20.30.40")),
        ("note", text("anna@example.com was on 10.20.30.40")),
        ("weight", Value::Number(1.5)),
        ("manual", Value::Flag(true)),
        ("shift", text("late")),
    ]);
    let expected = event(&[
        ("userName", text(&anonymity.name("anna.meyer"))),
        ("user_id", text(&anonymity.name("4711"))),
        ("users", Value::Integer(12)),
        ("src_ip", text(&anonymity.name("10.20.30.40"))),
        ("note", text("[email] was on [ip]")),
        ("weight", Value::Number(1.5)),
        ("manual", Value::Flag(true)),
        ("shift", text("late")),
    ]);
    assert_eq!(left(&anonymity, &body), expected);
}

#[test]
fn nobody_is_named_in_any_kind_of_record() {
    let (_temporary, folder) = folder();
    let anonymity = Anonymity::load(&folder, Arc::default()).unwrap();
    for body in naming("anna.meyer", "anna.meyer@example.com 10.20.30.40") {
        let bytes = anonymity.encode(AT, &body).unwrap();
        for secret in ["anna", "meyer", "example.com", "10.20.30"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} leaves in {body:?}");
        }
        assert_eq!(Record::decode(&bytes).unwrap().kind, body.kind().unwrap());
    }
}

#[test]
fn what_is_switched_counts_from_the_next_record_on() {
    let (_temporary, folder) = folder();
    let anonymity = Anonymity::load(&folder, Arc::default()).unwrap();
    let body = event(&[("user", text("anna.meyer"))]);
    assert_ne!(left(&anonymity, &body), body);
    anonymity.switches().set_anonymize(false);
    assert_eq!((left(&anonymity, &body), anonymity.name("anna.meyer")), (body.clone(), "anna.meyer".to_owned()));
    anonymity.switches().set_anonymize(true);
    assert_ne!(left(&anonymity, &body), body);
}

#[test]
fn what_the_hub_counts_by_stays_as_it_is() {
    let (_temporary, folder) = folder();
    let anonymity = Anonymity::load(&folder, Arc::default()).unwrap();
    let beat = Body::Heartbeat(Heartbeat {
        license: LicenseId::from_bytes([1; 16]),
        activation: ActivationId::from_bytes([2; 16]),
        users: 5,
        features: vec![("report.10.0.0.5".into(), 3)],
    });
    assert_eq!(left(&anonymity, &beat), beat);
}

/// One of each kind that has room for a name or a free text, with these in all such places.
fn naming(name: &str, free: &str) -> Vec<Body> {
    let (name, free) = (name.to_owned(), free.to_owned());
    let (license, activation) = (LicenseId::from_bytes([1; 16]), ActivationId::from_bytes([2; 16]));
    let (app, action) = ("EMS".to_owned(), "verify".to_owned());
    vec![
        event(&[("user", text(&name)), ("note", text(&free)), (&free, text("x"))]),
        Body::LicenseActivated(Activation { license, replaces: None, by: name.clone() }),
        Body::Denial(Denial { app: app.clone(), action: action.clone(), cause: free.clone() }),
        Body::Denials(Denials { app, action, user: name.clone(), cause: free.clone(), count: 2, since: AT }),
        Body::Override(Override { days: 1, until: AT, reason: free.clone(), by: name.clone() }),
        Body::MachineActivated(MachineActivated {
            license,
            activation,
            hardware: vec![],
            machine: name.clone(),
            app_version: "1.0.0".into(),
        }),
        Body::MachineDeactivated(MachineDeactivated { license, activation, reason: free.clone() }),
        Body::SessionEnded(SessionEnded {
            license,
            activation,
            users: 1,
            cause: SessionEnd::Released { by: name.clone() },
        }),
        Body::Transmission(Transmission {
            number: 1,
            due: AT,
            manual: true,
            started: AT,
            records: 0,
            retries: 0,
            error: Some(free),
        }),
    ]
}

#[test]
fn a_reading_leaves_without_its_user_and_without_addresses_in_its_texts() {
    let (_temporary, folder) = folder();
    let anonymity = Anonymity::load(&folder, Arc::default()).unwrap();
    let reading = Reading {
        group: "pumps of 10.0.0.5".into(),
        value: Measured::Text("ask anna@acme.com".into()),
        product: "1".into(),
        version: "1.0.1".into(),
        user: "anna.meyer".into(),
        activation: "12".into(),
        problems: vec![],
        raw: r#"{"user_identifier":"anna.meyer","data_type":"from 10.0.0.5"}"#.into(),
    };
    let left = anonymity.reading(reading.clone());
    let all = format!("{left:?}");
    assert!(["anna", "10.0.0.5"].iter().all(|secret| !all.contains(secret)), "{all}");
    assert_eq!((left.product, left.version, left.activation), ("1".into(), "1.0.1".into(), "12".into()));
    anonymity.switches().set_anonymize(false);
    assert_eq!(anonymity.reading(reading.clone()), reading);
}
