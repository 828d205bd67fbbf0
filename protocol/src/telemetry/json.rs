//! Fields from a JSON object.

use super::{Fields, Given};
use serde_json::value::RawValue;
use std::collections::HashMap;
use zeroize::Zeroizing;

pub(super) fn read(body: &[u8], fields: &mut Fields) {
    let Ok(text) = str::from_utf8(body) else { return };
    let Ok(values) = parse(text).or_else(|_| parse(&quoted(text))) else { return };
    for (name, value) in values {
        let raw = value.get();
        let given = match raw.bytes().next() {
            Some(b'n') => None,
            // Numbers as they were written: their texts may say more than a floating-point number holds.
            Some(b'-' | b'0'..=b'9') => Some(Given::Text(Zeroizing::new(raw.to_owned()))),
            // Half of a surrogate pair is no text.
            Some(b'"') => Some(match serde_json::from_str(raw) {
                Ok(text) => Given::Text(Zeroizing::new(text)),
                Err(_) => Given::Other(Zeroizing::new(raw.to_owned())),
            }),
            _ => Some(Given::Other(Zeroizing::new(raw.to_owned()))),
        };
        fields.put(&name, given);
    }
}

fn parse(text: &str) -> serde_json::Result<HashMap<String, Box<RawValue>>> {
    serde_json::from_str(text)
}

/// The same with `NaN` and `Infinity` as texts: no JSON, and what some programs write all the same.
fn quoted(text: &str) -> Zeroizing<String> {
    let (mut quoted, mut rest, mut inside) = (String::with_capacity(text.len() + 16), text, false);
    while let Some(next) = rest.chars().next() {
        let word = ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| !inside && rest.starts_with(word));
        let step = match (word, next) {
            (Some(word), _) => {
                quoted.extend(["\"", word, "\""]);
                rest = rest.get(word.len()..).unwrap_or_default();
                continue;
            }
            (None, '\\') if inside => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            (None, '"') => {
                inside = !inside;
                1
            }
            (None, other) => other.len_utf8(),
        };
        let (done, after) = rest.split_at_checked(step).unwrap_or((rest, ""));
        quoted.push_str(done);
        rest = after;
    }
    Zeroizing::new(quoted)
}
