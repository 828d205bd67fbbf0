//! The documented fields of a body, each checked as it is asked for. Fields that nobody asks for are not looked at.

use super::{Refused, activation_of, hardware};
use crate::fingerprint::Parts;
use crate::id::ActivationId;
use crate::license::seats::{MAX_USERS, Refusal};
use serde_json::{Map, Value};

/// The longest key, bytes; ours have 32 characters at most.
const MAX_KEY: usize = 64;
/// The longest activation, bytes; ours have 36.
const MAX_ACTIVATION: usize = 64;
/// Features in one heartbeat: with the longest names they fit into one record.
const MAX_FEATURES: usize = 32;
/// The longest name of a feature, bytes.
const MAX_FEATURE: usize = 64;
/// The highest count of one feature.
const MAX_COUNT: u64 = 1_000_000_000;

/// The longest machine name, bytes.
const MAX_MACHINE: usize = 128;
/// The longest version of an app, bytes.
const MAX_VERSION: usize = 64;
/// The longest reason, bytes.
const MAX_REASON: usize = 512;

/// A body, and the key in it.
#[derive(Debug)]
pub struct Fields {
    fields: Map<String, Value>,
    key: String,
}

impl Fields {
    /// Reads a body: a JSON object with a key that could be one.
    ///
    /// # Errors
    /// 400 with the field's name.
    pub fn read(body: &[u8]) -> Result<Self, Refused> {
        let fields = serde_json::from_slice(body)
            .map_err(|_| Refused::field("body", "format_invalid", "a JSON object is needed"))?;
        let key = key(&fields)?;
        Ok(Self { fields, key })
    }

    /// The licence's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// `machine_name`; empty if it is not given.
    ///
    /// # Errors
    /// 400, as for all that follow.
    pub fn machine_name(&self) -> Result<String, Refused> {
        Ok(self.text("machine_name", MAX_MACHINE)?.unwrap_or_default().to_owned())
    }

    /// `app_version`; empty if it is not given.
    ///
    /// # Errors
    /// 400.
    pub fn app_version(&self) -> Result<String, Refused> {
        Ok(self.text("app_version", MAX_VERSION)?.unwrap_or_default().to_owned())
    }

    /// `reason`; empty if it is not given.
    ///
    /// # Errors
    /// 400.
    pub fn reason(&self) -> Result<String, Refused> {
        Ok(self.text("reason", MAX_REASON)?.unwrap_or_default().to_owned())
    }

    /// The activation that is named; one that cannot be is unknown.
    ///
    /// # Errors
    /// 400 if there is none, 404 if it is no activation of ours.
    pub fn activation(&self) -> Result<ActivationId, Refused> {
        let text = self.text("activation_id", MAX_ACTIVATION)?.ok_or_else(|| required("activation_id"))?;
        activation_of(text).ok_or_else(|| Refusal::UnknownActivation.into())
    }

    /// A text of so many bytes at most.
    fn text(&self, name: &str, longest: usize) -> Result<Option<&str>, Refused> {
        let Some(value) = self.given(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| Refused::field(name, "type_invalid", "a text is needed"))?;
        if text.len() > longest || text.chars().any(char::is_control) {
            let message = format!("at most {longest} bytes without control characters are allowed");
            return Err(Refused::field(name, "value_invalid", &message));
        }
        Ok(Some(text))
    }

    /// The machine's parts.
    ///
    /// # Errors
    /// 400.
    pub fn hardware(&self) -> Result<Parts, Refused> {
        hardware::parts(self.given("hardware_id").ok_or_else(|| required("hardware_id"))?)
    }

    /// `current_users`, if it is given.
    ///
    /// # Errors
    /// 400.
    pub fn users(&self) -> Result<Option<u32>, Refused> {
        let Some(value) = self.given("current_users") else { return Ok(None) };
        let users = value.as_u64().and_then(|users| u32::try_from(users).ok()).filter(|users| *users <= MAX_USERS);
        let message = format!("a whole number from 0 to {MAX_USERS} is needed");
        users.map(Some).ok_or_else(|| Refused::field("current_users", "value_invalid", &message))
    }

    /// `current_users`.
    ///
    /// # Errors
    /// 400.
    pub fn required_users(&self) -> Result<u32, Refused> {
        self.users()?.ok_or_else(|| required("current_users"))
    }

    /// `feature_usage`; empty if it is not given.
    ///
    /// # Errors
    /// 400.
    pub fn features(&self) -> Result<Vec<(String, u64)>, Refused> {
        const NAME: &str = "feature_usage";
        let Some(value) = self.given(NAME) else { return Ok(vec![]) };
        let object = value.as_object().ok_or_else(|| Refused::field(NAME, "type_invalid", "an object is needed"))?;
        if object.len() > MAX_FEATURES {
            return Err(Refused::field(NAME, "too_many", &format!("at most {MAX_FEATURES} features are taken")));
        }
        let feature = |(name, count): (&String, &Value)| {
            let named = (1..=MAX_FEATURE).contains(&name.len()) && !name.chars().any(char::is_control);
            let count = count.as_u64().filter(|count| named && *count <= MAX_COUNT);
            let message = format!("names of 1 to {MAX_FEATURE} bytes and counts of 0 to {MAX_COUNT} are allowed");
            count.map(|count| (name.clone(), count)).ok_or_else(|| Refused::field(NAME, "value_invalid", &message))
        };
        object.iter().map(feature).collect()
    }

    fn given(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }
}

fn required(name: &str) -> Refused {
    Refused::field(name, "required", "it is required")
}

fn key(fields: &Map<String, Value>) -> Result<String, Refused> {
    let wrong = |reason| Refused::key(400, reason);
    let given = fields.get("license_key").filter(|value| !value.is_null()).ok_or_else(|| wrong("required"))?;
    let key = given.as_str().map(str::trim).ok_or_else(|| wrong("format_invalid"))?;
    let well_formed = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if well_formed { Ok(key.to_owned()) } else { Err(wrong("format_invalid")) }
}
