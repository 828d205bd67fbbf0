//! Wrong input of `send-telemetry-data`: agent and hub answer it alike, by the document's words, and save it.

use crate::measurements::{PATH, measuring, pages};
use serde_json::{Value, json};
use sitewarden_tests::harness::{ADMIN_PASSWORD, Client};

const BOUNDARY: &str = "b";

/// A right reading with some fields otherwise; null takes one away.
fn reading(key: &str, changes: &Value) -> Vec<u8> {
    let mut body = json!({
        "api_key": key, "data_type": "numeric-single-value", "numeric_data_single_value": "50", "product_id": "EMS",
        "user_identifier": "u", "license_key": "k", "activation_identifier": "a", "product_version": "1.0.1",
        "data_group": "wrong",
    });
    let fields = body.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            fields.remove(name)
        } else {
            fields.insert(name.clone(), value.clone())
        };
    }
    body.to_string().into_bytes()
}

/// What is wrong: types, sizes, unicode, numbers that are none or have no end, missing and strange fields.
fn wrong_fields() -> Vec<Value> {
    let long = "x".repeat(300);
    let mut all = vec![
        json!({ "data_type": "number" }),
        json!({ "data_type": "NUMERIC-SINGLE-VALUE" }),
        json!({ "data_type": ["text"] }),
        json!({ "data_type": 5 }),
        json!({ "data_type": "numeric-xy-axis" }),
        json!({ "data_type": "numeric-xy-axis", "numeric_data_x": "1" }),
        json!({ "data_type": "numeric-xy-axis", "numeric_data_x": "1", "numeric_data_y": "one" }),
        json!({ "data_type": "numeric-xy-axis", "numeric_data_x": true, "numeric_data_y": {} }),
        json!({ "data_type": "text" }),
        json!({ "data_type": "text", "text_data": {"a": 1} }),
        json!({ "data_type": "text", "text_data": "" }),
        json!({ "data_group": long }),
        json!({ "user_identifier": long }),
        json!({ "product_version": "😀".repeat(300) }),
        json!({ "license_key": [] }),
        json!({ "activation_identifier": {"id": 1} }),
        json!({ "data_group": "\u{0}\u{7f}\u{202e}" }),
        json!({ "user_identifier": 5, "numeric_data_single_value": "５０" }),
    ];
    for number in ["NaN", "Infinity", "-inf", "1e999", "", " ", "0x10", "1,5", "1_000", "--1", "5 0", "٣"] {
        all.push(json!({ "numeric_data_single_value": number }));
    }
    for field in
        ["data_type", "data_group", "numeric_data_single_value", "license_key", "user_identifier", "product_version"]
    {
        all.push(json!({ field: null }));
    }
    all
}

/// Bodies that are wrong before any field is.
fn wrong_bodies(key: &str) -> Vec<(String, Vec<u8>)> {
    let json = "application/json".to_owned();
    let form = "application/x-www-form-urlencoded".to_owned();
    let multipart = format!("multipart/form-data; boundary={BOUNDARY}");
    let part = |name: &str, text: &[u8]| {
        [format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes(), text, b"\r\n"]
            .concat()
    };
    vec![
        (form.clone(), format!("api_key={key}&data_type=text&text_data=%FF%FE&data_group=wrong").into_bytes()),
        (form.clone(), format!("api_key={key}&data_group=%&data_type=%zz").into_bytes()),
        (form, format!("api_key={key}&&&==&data_group").into_bytes()),
        (multipart.clone(), [part("api_key", key.as_bytes()), part("data_group", b"\xff\xfe")].concat()),
        (multipart, [part("api_key", key.as_bytes()), b"--b\r\nno header\r\n\r\n".to_vec()].concat()),
        (json.clone(), format!(r#"{{"api_key": "{key}", "numeric_data_single_value": 1e999}}"#).into_bytes()),
        (json.clone(), format!(r#"{{"api_key": "{key}", "data_group": "\ud800"}}"#).into_bytes()),
        (json.clone(), format!(r#"{{"api_key": "{key}", "api_key": "{key}", "data_group": null}}"#).into_bytes()),
        (json, format!(r#"{{"api_key": "{key}", "text_data": {}}}"#, "[".repeat(100)).into_bytes()),
    ]
}

#[test]
fn agent_and_hub_answer_wrong_input_alike_and_save_it() {
    let (line, hub, key) = measuring();
    let mut inputs: Vec<(String, Vec<u8>)> =
        wrong_fields().iter().map(|changes| ("application/json".to_owned(), reading(&key, changes))).collect();
    inputs.extend(wrong_bodies(&key));
    let (mut at_agent, mut at_hub) = (Client::new(line.agent.http().unwrap()), Client::new(hub));
    let mut saved = 0;
    for (kind, body) in &inputs {
        let shown = format!("{kind}: {}", String::from_utf8_lossy(body));
        let ask = |client: &mut Client| {
            let answer = client.send("POST", PATH, Some((kind, body))).unwrap();
            let told = answer.json()["response"].clone();
            (answer.status, told["code"].clone(), told["errors"].clone())
        };
        let (agent, straight) = (ask(&mut at_agent), ask(&mut at_hub));
        assert_eq!(agent, straight, "{shown}");
        // A body out of which no key can be read is a stranger's.
        let (status, code, errors) = agent;
        if status == 401 {
            continue;
        }
        saved += 1;
        assert!(status == 200 && (code == 830 || code == 831), "{shown}: {status} {code}");
        assert_eq!(code == 830, errors == json!([]), "{shown}: {errors}");
        for message in errors.as_object().into_iter().flat_map(|errors| errors.values()) {
            let text = message[0].as_str().unwrap();
            assert!(text.starts_with("The ") && text.ends_with('.'), "{shown}: {text}");
        }
    }
    assert!(saved > inputs.len() * 3 / 4, "{saved} of {} are saved", inputs.len());
    line.drained().unwrap();
    let mut admin = Client::new(hub).basic("admin", ADMIN_PASSWORD);
    let rows = pages(&mut admin, "kind=measurement");
    let (through, straight): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row["agent"].is_string());
    // The probe that `measuring` makes until the agent knows the key is there too.
    assert_eq!((through.len() - 1, straight.len()), (saved, saved), "each is saved, on either way");
    assert!(line.agent.status().is_ok() && line.hub.command(&["site", "list"]).is_ok(), "both go on");
}
