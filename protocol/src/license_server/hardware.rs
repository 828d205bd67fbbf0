//! `hardware_id`: one text, or an object whose fields are the machine's parts.

use super::Refused;
use crate::fingerprint::{MAX_PARTS, Parts, digest};
use serde_json::Value;

/// The kind of a hardware id that is one text.
const WHOLE: &str = "id";
/// The longest name of a part, bytes: with the most parts they fit into one record.
const MAX_KIND: usize = 32;
/// The longest value of a part, bytes.
const MAX_VALUE: usize = 256;

/// The parts, sorted, so that the same hardware is the same whatever order it comes in. A part that the machine does not
/// have (null or an empty text) is none.
pub(super) fn parts(value: &Value) -> Result<Parts, Refused> {
    let mut parts = Parts::new();
    match value {
        Value::Object(fields) => {
            for (kind, value) in fields {
                if kind.is_empty() || kind.len() > MAX_KIND || kind.chars().any(char::is_control) {
                    return Err(wrong(&format!("a part's name has 1 to {MAX_KIND} bytes without control characters")));
                }
                let several = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                several.iter().try_for_each(|one| add(&mut parts, kind, one))?;
            }
        }
        text => add(&mut parts, WHOLE, text)?,
    }
    if parts.is_empty() {
        return Err(wrong("at least one part with a value is needed"));
    }
    parts.sort();
    Ok(parts)
}

fn add(parts: &mut Parts, kind: &str, value: &Value) -> Result<(), Refused> {
    let text = match value {
        Value::Null => return Ok(()),
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(wrong("a text, or an object of texts, is needed"));
        }
    };
    if text.len() > MAX_VALUE || parts.len() >= MAX_PARTS {
        return Err(wrong(&format!("at most {MAX_PARTS} parts of {MAX_VALUE} bytes are taken")));
    }
    if !text.is_empty() {
        parts.push((kind.to_owned(), digest(kind, &text)));
    }
    Ok(())
}

fn wrong(message: &str) -> Refused {
    Refused::field("hardware_id", "value_invalid", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_is_one_part_and_an_object_has_one_for_each_value() {
        assert_eq!(parts(&json!(" abc ")).unwrap(), [("id".to_owned(), digest("id", "abc"))]);
        let one = parts(&json!({"mac": ["02", "01"], "cpu_id": "x", "tpm": null, "slot": 7, "disk": ""})).unwrap();
        assert_eq!(one.len(), 4);
        assert_eq!(one, parts(&json!({"slot": "7", "cpu_id": "x", "mac": ["01", "02"]})).unwrap());
    }

    #[test]
    fn what_is_no_hardware_is_refused() {
        let many: Vec<_> = (0..=MAX_PARTS).map(|number| number.to_string()).collect();
        for value in [json!(""), json!({}), json!({"a": {"b": 1}}), json!(true), json!({"a": null}), json!({"": "x"})] {
            assert!(parts(&value).is_err(), "{value}");
        }
        assert!(parts(&json!({"mac": many[1..]})).is_ok());
        assert!(parts(&json!({ "mac": many })).is_err());
        assert!(parts(&json!("x".repeat(MAX_VALUE + 1))).is_err());
    }
}
