//! Fields from `application/x-www-form-urlencoded` (<https://url.spec.whatwg.org/#urlencoded-parsing>), except that what is
//! not UTF-8 is not made to look as if it were.

use super::Fields;

pub(super) fn read(body: &[u8], fields: &mut Fields) {
    for pair in body.trim_ascii().split(|byte| *byte == b'&') {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(at);
        let name = String::from_utf8(decoded(name)).unwrap_or_default();
        fields.put_bytes(&name, decoded(value.get(1..).unwrap_or_default()));
    }
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    bytes
}

/// The value of a hexadecimal digit.
const fn digit(byte: u8) -> u8 {
    if byte.is_ascii_digit() { byte - b'0' } else { (byte | 0x20) - b'a' + 10 }
}
