//! The licence server's public endpoints, `/api/v1/activate|validate|heartbeat|deactivate`, as far as agent and hub speak
//! of them alike: the fields of a body, the errors, the answers. Who may have what is decided in [`crate::license::seats`].
//!
//! Always true: whoever has a licence's key may call, without a password; paths, fields and texts are the document's; fields
//! that it does not name are ignored. A licence that may not be used is an answer to `validate` (200 and
//! `"valid": false`) and an error to the others.

pub mod answer;
mod fields;
mod hardware;
mod refused;

pub use fields::Fields;
pub use refused::Refused;

use crate::id::ActivationId;

/// The largest body, bytes: 32 parts of hardware or 32 features, and room for fields that nobody reads.
pub const MAX_BODY: usize = 64 << 10;

/// The four.
pub const PATHS: [&str; 4] = ["/api/v1/activate", "/api/v1/validate", "/api/v1/heartbeat", "/api/v1/deactivate"];

/// Whether errors about this path are in this API's words.
pub fn speaks_of(path: &str) -> bool {
    PATHS.iter().any(|known| path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Whether a content type is JSON's. A page in a browser cannot send this type elsewhere without being allowed to.
pub fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// An activation as this API writes it: `act_` and 32 hexadecimal digits.
pub fn activation_text(activation: ActivationId) -> String {
    let digits = u128::from_be_bytes(*activation.as_bytes());
    format!("act_{digits:032x}")
}

/// The activation with this text.
pub fn activation_of(text: &str) -> Option<ActivationId> {
    let digits = text.strip_prefix("act_").filter(|digits| digits.len() == 32)?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u128::from_str_radix(digits, 16).ok().filter(|_| plain)?;
    Some(ActivationId::from_bytes(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activation_is_read_back_from_its_text() {
        let id = ActivationId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(activation_text(id), "act_000102030405060708090a0b0c0d0eff");
        assert_eq!(activation_of(&activation_text(id)), Some(id));
        for wrong in ["act_123456", "", "000102030405060708090a0b0c0d0eff", "act_+00102030405060708090a0b0c0d0eff"] {
            assert_eq!(activation_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_the_four_paths_and_what_is_below_them_are_this_apis() {
        assert!(speaks_of("/api/v1/validate") && speaks_of("/api/v1/validate/x"));
        assert!(!speaks_of("/api/v1/validated") && !speaks_of("/api/v1/telemetry/events"));
    }
}
