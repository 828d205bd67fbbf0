//! The document's own samples, and what else may come.

use super::*;
use crate::record::Measured;
use crate::signing::{PrivateKey, Signature};
use crate::time::UnixMillis;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

const FORM: &str = "application/x-www-form-urlencoded";

fn sample() -> Value {
    json!({
        "api_key": "2964c3c9-0b5d-4d89-b3ac-4668f30bc492", "data_type": "numeric-single-value",
        "numeric_data_single_value": "50", "product_id": "1", "user_identifier": "554dddsqfqs4dqd5qsd74q",
        "license_key": "9cc2cc83-4c74-49f9-98f5-f0e1c1eb1541", "activation_identifier": "12135644",
        "product_version": "1.0.1", "data_group": "test_group",
    })
}

fn with(changes: Value) -> Value {
    let mut body = sample();
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn parse(body: &Value) -> Reading {
    Fields::read(Some("application/json"), body.to_string().as_bytes()).parse().reading
}

fn errors(body: &Value) -> Vec<String> {
    parse(body).problems.iter().map(|(field, problem)| problem.message(*field)).collect()
}

#[test]
fn the_documented_sample_is_right_in_all_encodings() {
    let sample = sample();
    let pairs: Vec<_> =
        sample.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap())).collect();
    let form: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let part = |(name, value): &(&String, &str)| {
        format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart = pairs.iter().map(part).collect::<String>() + "--b0--\r\n";
    let json = sample.to_string();
    for (content_type, body) in [
        (Some("application/json"), &json),
        (Some(FORM), &json),
        (None, &json),
        (Some(FORM), &form.join("&")),
        (None, &form.join("&")),
        (Some("multipart/form-data; boundary=b0"), &multipart),
        (Some("Multipart/Form-Data; charset=utf-8; Boundary=\"b0\""), &format!("before\r\n{multipart}after")),
    ] {
        let fields = Fields::read(content_type, body.as_bytes());
        assert_eq!(fields.api_key(), Some("2964c3c9-0b5d-4d89-b3ac-4668f30bc492"), "{content_type:?}");
        let Parsed { reading, license_key } = fields.parse();
        assert_eq!(reading.problems, [], "{content_type:?} {body}");
        assert_eq!((reading.value, reading.raw.as_str()), (Measured::Number(50.0), ""));
        assert_eq!((reading.group.as_str(), reading.product.as_str()), ("test_group", "1"));
        assert_eq!((reading.user.as_str(), reading.activation.as_str()), ("554dddsqfqs4dqd5qsd74q", "12135644"));
        assert_eq!(license_key.unwrap().as_str(), "9cc2cc83-4c74-49f9-98f5-f0e1c1eb1541");
    }
}

#[test]
fn the_documented_errors_are_told_to_the_letter() {
    let reading = parse(&json!({ "api_key": "k", "product_id": "no such product!" }));
    let answer = Answer::saved(&reading.problems, UnixMillis(1_708_999_057_999));
    let documented = "eyJjb2RlIjo4MzEsIm1lc3NhZ2UiOiJJbmNvcnJlY3QgZm9ybWF0IGRhdGEgc2F2ZWQiLCJlcnJvcnMiOnsicHJvZHVjdF9pZCI6WyJUaGUgc2VsZWN0ZWQgcHJvZHVjdCBpZCBpcyBpbnZhbGlkLiJdLCJ1c2VyX2lkZW50aWZpZXIiOlsiVGhlIHVzZXIgaWRlbnRpZmllciBmaWVsZCBpcyByZXF1aXJlZC4iXSwibGljZW5zZV9rZXkiOlsiVGhlIGxpY2Vuc2Uga2V5IGZpZWxkIGlzIHJlcXVpcmVkLiJdLCJhY3RpdmF0aW9uX2lkZW50aWZpZXIiOlsiVGhlIGFjdGl2YXRpb24gaWRlbnRpZmllciBmaWVsZCBpcyByZXF1aXJlZC4iXSwicHJvZHVjdF92ZXJzaW9uIjpbIlRoZSBwcm9kdWN0IHZlcnNpb24gZmllbGQgaXMgcmVxdWlyZWQuIl0sImRhdGFfdHlwZSI6WyJUaGUgZGF0YSB0eXBlIGZpZWxkIGlzIHJlcXVpcmVkLiJdLCJkYXRhX2dyb3VwIjpbIlRoZSBkYXRhIGdyb3VwIGZpZWxkIGlzIHJlcXVpcmVkLiJdfSwidGltZXN0YW1wIjoxNzA4OTk5MDU3fQ==";
    let key = PrivateKey::from_seed(&[5; 32]);
    let envelope: Value = serde_json::from_str(&answer.envelope(&key)).unwrap();
    assert_eq!(envelope["response_base64"], documented);
    let right = Answer::saved(&[], UnixMillis(1_708_999_140_000));
    let envelope: Value = serde_json::from_str(&right.envelope(&key)).unwrap();
    let documented = "eyJjb2RlIjo4MzAsIm1lc3NhZ2UiOiJDb3JyZWN0IGZvcm1hdCBkYXRhIHNhdmVkIiwiZXJyb3JzIjpbXSwidGltZXN0YW1wIjoxNzA4OTk5MTQwfQ==";
    assert_eq!(
        (envelope["response_base64"].as_str(), &envelope["private_key_used"]),
        (Some(documented), &json!("global"))
    );
}

#[test]
fn the_signature_is_over_the_bytes_that_are_told() {
    let key = PrivateKey::from_seed(&[5; 32]);
    let text = Answer::unauthorised(true, UnixMillis(0)).envelope(&key);
    let envelope: Value = serde_json::from_str(&text).unwrap();
    let mut bytes = STANDARD.decode(envelope["response_base64"].as_str().unwrap()).unwrap();
    let signature = STANDARD.decode(envelope["signature"].as_str().unwrap()).unwrap();
    let signature = Signature(signature.try_into().unwrap());
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), envelope["response"]);
    assert!(text.contains(std::str::from_utf8(&bytes).unwrap()));
    assert_eq!(key.public().verify_object(&bytes, &signature), Ok(()));
    bytes[9] ^= 1;
    assert!(key.public().verify_object(&bytes, &signature).is_err());
}

#[test]
fn what_a_type_demands_is_demanded_and_the_rest_is_not_looked_at() {
    let point = json!({ "data_type": "numeric-xy-axis", "numeric_data_single_value": "x", "numeric_data_x": 1, "numeric_data_y": -2.5 });
    assert_eq!(parse(&with(point)).value, Measured::Point { x: 1.0, y: -2.5 });
    let text = json!({ "data_type": "text", "text_data": " größer \u{0} " });
    assert_eq!(parse(&with(text)).value, Measured::Text(" größer \u{0} ".into()));
    for (change, told) in [
        (json!({ "data_type": "numeric-xy-axis" }), "The numeric data x field is required."),
        (json!({ "data_type": "numeric-xy-axis", "numeric_data_x": "1" }), "The numeric data y field is required."),
        (json!({ "data_type": "text" }), "The text data field is required."),
        (json!({ "data_type": "text", "text_data": "  " }), "The text data field is required."),
        (json!({ "numeric_data_single_value": null }), "The numeric data single value field is required."),
        (json!({ "data_type": "numeric" }), "The selected data type is invalid."),
        (json!({ "data_type": 5 }), "The selected data type is invalid."),
        (json!({ "data_group": "" }), "The data group field is required."),
        (json!({ "data_group": ["a"] }), "The data group field must be a string."),
        (json!({ "data_group": "x".repeat(256) }), "The data group field must not be greater than 255 characters."),
        (json!({ "data_group": "a\u{0}b" }), "The data group field format is invalid."),
        (
            json!({ "data_type": "text", "text_data": "ä".repeat(2_001) }),
            "The text data field must not be greater than 2000 characters.",
        ),
        (json!({ "product_id": "0" }), "The selected product id is invalid."),
        (json!({ "product_id": "-1" }), "The selected product id is invalid."),
        (json!({ "product_id": true }), "The product id field must be a string."),
        (json!({ "license_key": {} }), "The license key field must be a string."),
    ] {
        let errors = errors(&with(change.clone()));
        assert_eq!(errors.first().map(String::as_str), Some(told), "{change}");
    }
}

#[test]
fn numbers_are_finite() {
    for right in ["50", " 50 ", "-0.5", "+1e3", ".5", "1.7976931348623157e308"] {
        assert_eq!(errors(&with(json!({ "numeric_data_single_value": right }))), [""; 0], "{right}");
    }
    let told = ["The numeric data single value field must be a number."];
    for wrong in ["NaN", "inf", "-Infinity", "1e400", "1,5", "0x10", "٥", "5 5", "--5"] {
        let reading = with(json!({ "numeric_data_single_value": wrong }));
        assert_eq!((errors(&reading), parse(&reading).value), (told.map(str::to_owned).to_vec(), Measured::Nothing));
        assert!(parse(&reading).raw.contains(wrong), "what was wrong is kept");
    }
    for literal in ["NaN", "Infinity", "-Infinity", "1e400", "[1]"] {
        let body = with(json!({ "numeric_data_single_value": "PLACE" })).to_string().replace("\"PLACE\"", literal);
        let fields = Fields::read(None, body.as_bytes());
        assert!(fields.api_key().is_some(), "{literal}");
        assert_eq!(fields.parse().reading.problems.len(), 1, "{literal}");
    }
    let body = r#"{"api_key": "a\"NaN\\", "x": NaN}"#;
    assert_eq!(Fields::read(None, body.as_bytes()).api_key(), Some("a\"NaN\\"));
}

#[test]
fn no_licence_key_is_kept_and_of_an_unreadable_body_nothing() {
    let long = "secret".repeat(100);
    let reading = parse(&with(json!({ "license_key": long, "data_type": "?" })));
    assert!(reading.raw.contains("license_key") && !reading.raw.contains("secret"), "{}", reading.raw);
    for body in [&b"{\"license_key\": \"secret\""[..], b"\xff\xfe{", b"", b"[1]", b"{} trailing"] {
        let fields = Fields::read(Some("application/json"), body);
        assert_eq!(fields.api_key(), None);
        let reading = fields.parse().reading;
        assert_eq!((reading.problems.len(), reading.raw.as_str()), (7, ""));
    }
}

#[test]
fn escapes_of_forms_are_undone_and_what_is_not_utf_8_is_no_text() {
    let read = |body: &[u8]| Fields::read(Some(FORM), body).parse().reading;
    assert_eq!(read(b"data_group=a+b%20%C3%A9%2&x=1").group, "a b é%2");
    assert_eq!(read(b"data%5Fgroup=a&data_group=b").group, "b", "the last one counts");
    let wrong = read(b"data_group=%FF");
    assert_eq!(wrong.problems.last(), Some(&(Field::DataGroup, Problem::NotAText)));
    let surrogate = Fields::read(None, br#"{"data_group": "\ud800"}"#).parse().reading;
    assert_eq!(surrogate.problems.last(), Some(&(Field::DataGroup, Problem::NotAText)));
}

#[test]
fn a_problem_found_later_comes_in_its_place_once() {
    let mut reading = parse(&with(json!({ "data_group": "" })));
    reading.object(Field::ProductId, Problem::Invalid);
    reading.object(Field::ProductId, Problem::Invalid);
    assert_eq!(reading.problems, [(Field::ProductId, Problem::Invalid), (Field::DataGroup, Problem::Required)]);
}

proptest! {
    #[test]
    fn any_body_is_read_and_answered(
        content_type in prop::option::of(prop_oneof![
            Just("application/json".to_owned()), Just(FORM.to_owned()), Just("multipart/form-data; boundary=b".to_owned()), ".*",
        ]),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "(--b\r\n|\r\n|name=\"[a-z_]*\"|Content-Disposition: form-data;|--|x){0,20}".prop_map(String::into_bytes),
            "[{\"\\\\:,a-z_NaN0-9%&=]{0,80}".prop_map(String::into_bytes),
        ],
    ) {
        let fields = Fields::read(content_type.as_deref(), &body);
        let Parsed { reading, .. } = fields.parse();
        let envelope = Answer::saved(&reading.problems, UnixMillis(i64::MIN)).envelope(&PrivateKey::from_seed(&[1; 32]));
        prop_assert!(serde_json::from_str::<Value>(&envelope).unwrap()["response"]["code"].is_u64());
    }
}
