//! Fields from `multipart/form-data` (RFC 7578) in one piece of memory. A part that does not end is none.

use super::Fields;

/// The longest boundary (RFC 2046).
const MAX_BOUNDARY: usize = 70;

pub(super) fn read(content_type: &str, body: &[u8], fields: &mut Fields) {
    let Some(boundary) = parameter(content_type, "boundary") else { return };
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
        return;
    }
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first one has no line end before it if nothing else has.
    let first = delimiter.get(2..).unwrap_or_default();
    let mut rest = match body.strip_prefix(first) {
        Some(rest) => rest,
        None => match cut(body, &delimiter) {
            Some((_, rest)) => rest,
            None => return,
        },
    };
    while !rest.starts_with(b"--") {
        // What may stand behind a delimiter is white space.
        let Some((_, part)) = cut(rest, b"\r\n") else { return };
        let Some((part, after)) = cut(part, &delimiter) else { return };
        rest = after;
        let Some((head, content)) = cut(part, b"\r\n\r\n") else { continue };
        if let Some(name) = name(&String::from_utf8_lossy(head)) {
            fields.put_bytes(&name, content.to_vec());
        }
    }
}

/// What is before and behind the first `what`.
fn cut<'a>(bytes: &'a [u8], what: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(what.len()).position(|window| window == what)?;
    Some((bytes.get(..at)?, bytes.get(at + what.len()..)?))
}

fn name(head: &str) -> Option<String> {
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    parameter(disposition?, "name")
}

/// A parameter of a header's value. None of the documented names needs an escape.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.to_owned())
    })
}
