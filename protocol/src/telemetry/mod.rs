//! `send-telemetry-data`: what programs send of themselves, and the signed answer. The same at agent and hub.
//!
//! Always true: whatever comes as a body becomes a [`Reading`], with what is wrong with it beside it; only a missing or
//! wrong API key is refused, and that is decided elsewhere. No key is ever in a reading.
//!
//! Where the document contradicts itself or is silent:
//!
//! - `product_id`, `user_identifier`, `license_key`, `activation_identifier` and `product_version` are called "Optional" in
//!   their descriptions, while the column "Required" says yes and the 831 sample demands them. They are required.
//! - `numeric_data_single_value` has "Yes" in that column, while the 831 sample does not demand it. It is required for
//!   `numeric-single-value` only, as x and y are for `numeric-xy-axis` and `text_data` for `text`; the fields of other
//!   types are not looked at.
//! - Errors stand in the order of the sample, one for a field; the data fields behind `data_type`.
//! - A product is an app: `product_id` is an app's code, or its number in the order in which the hub came to know its apps.
//!   Here only its form is checked; whether there is such a product, the hub says.
//! - White space around a value does not count, and an empty value is none; a `text_data` that says something is kept as
//!   it came. JSON numbers are taken for their texts, `null` for not given, and `NaN` and `Infinity`, which some
//!   programs write into JSON, for texts that are no numbers.
//! - A body that begins like a JSON object is one, whatever the content type says: it is what `curl --data` sends.
//! - Of a field that comes twice the last one counts. Fields that are not known are ignored.
//! - Of a body that cannot be read nothing is kept but that it came: it may hold keys.

mod answer;
mod field;
mod form;
mod json;
mod multipart;
mod parse;

pub use answer::{Answer, PRIVATE_KEY_USED};
pub use field::{Field, MAX_CHARACTERS, MAX_TEXT_CHARACTERS, Problem};
pub use parse::{Parsed, Reading};

use zeroize::Zeroizing;

/// The most bytes of a body: all fields at their longest, percent-encoded, with room to spare.
pub const MAX_BODY: usize = 64 << 10;

/// A field's value as it came. Wiped when dropped, because it may be a key.
enum Given {
    Text(Zeroizing<String>),
    /// Neither text nor number, or a text that is not UTF-8; as far as it can be shown.
    Other(Zeroizing<String>),
}

/// A body's fields. Does not print.
#[derive(Default)]
pub struct Fields {
    given: [Option<Given>; Field::ALL.len()],
}

impl Fields {
    /// Reads a body: JSON, form-urlencoded or multipart. What cannot be read has no fields.
    pub fn read(content_type: Option<&str>, body: &[u8]) -> Self {
        let mut fields = Self::default();
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let content_type = content_type.unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if body.trim_ascii_start().first() == Some(&b'{') {
            json::read(body, &mut fields);
        } else if media_type == "multipart/form-data" {
            multipart::read(content_type, body, &mut fields);
        } else if media_type != "application/json" {
            form::read(body, &mut fields);
        }
        fields
    }

    /// The API key in the body, if there is one.
    pub fn api_key(&self) -> Option<&str> {
        self.text(Field::ApiKey)
    }

    fn put(&mut self, name: &str, value: Option<Given>) {
        if let Some(field) = Field::by_name(name)
            && let Some(place) = self.given.get_mut(field.place())
        {
            *place = value;
        }
    }

    fn put_bytes(&mut self, name: &str, value: Vec<u8>) {
        let value = match String::from_utf8(value) {
            Ok(text) => Given::Text(Zeroizing::new(text)),
            Err(error) => Given::Other(Zeroizing::new(String::from_utf8_lossy(error.as_bytes()).into_owned())),
        };
        self.put(name, Some(value));
    }

    /// A value that says something.
    fn given(&self, field: Field) -> Option<&Given> {
        let given = self.given.get(field.place()).and_then(Option::as_ref);
        given.filter(|given| !matches!(given, Given::Text(text) if text.trim().is_empty()))
    }

    fn text(&self, field: Field) -> Option<&str> {
        match self.given(field) {
            Some(Given::Text(text)) => Some(text.trim()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
