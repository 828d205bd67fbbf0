//! A body becomes fields: content type, then what is missing, then types, in the documented order.
//!
//! An empty body has no fields. What is no JSON object is data of a wrong type. Fields that are not known are ignored.
//! `null` is like not given.

use super::error::Error;
use axum::http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::{Map, Value};

/// The fields of a request.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// # Errors
    /// If the content type is another than JSON, or the body no object.
    pub(super) fn of_json(headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).map(str::trim);
        if !media_type.is_some_and(|value| value.eq_ignore_ascii_case("application/json")) {
            return Err(Error::content_type());
        }
        Self::of_anything(body)
    }

    /// The same whatever the content type says.
    ///
    /// # Errors
    /// If the body is no object.
    pub(super) fn of_anything(body: &[u8]) -> Result<Self, Error> {
        if body.trim_ascii().is_empty() {
            return Ok(Self(Map::new()));
        }
        serde_json::from_slice(body).map(Self).map_err(|_| Error::data_type())
    }

    /// # Errors
    /// If one of them is not given, or an empty text.
    pub(super) fn require(&self, names: &[&str]) -> Result<(), Error> {
        let given = |name: &&str| match self.value(name) {
            None => false,
            Some(Value::String(text)) => !text.trim().is_empty(),
            Some(_) => true,
        };
        if names.iter().all(given) { Ok(()) } else { Err(Error::insufficient()) }
    }

    /// Whether any of them is there, `null` included.
    pub(super) fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains_key(*name))
    }

    /// Whether it is there, `null` included.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// # Errors
    /// If it is no text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        self.value(name).map(|value| value.as_str().ok_or_else(Error::data_type)).transpose()
    }
}

/// A number of monitors.
pub(super) fn quota(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0)
}
