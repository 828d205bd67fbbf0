//! All settings as they stand, to be shown. None of them is a secret: those are in files of their own.

use super::{ALLOWED, Allowed, Flags, Key, Written};
use figment::Figment;
use serde::Serialize;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A setting as it stood when the hub started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key, with a dot behind the name of a table.
    pub key: &'static str,
    /// As in hub.toml.
    pub value: Value,
    /// Where the value is from.
    pub source: Source,
    /// What it can be, in words.
    pub allowed: String,
    /// Which it is of those that can be changed while the hub runs.
    pub changeable: Option<Key>,
}

/// Where a value is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// hub.toml.
    File,
    /// The environment.
    Environment,
    /// The command line.
    Flag,
}

impl Source {
    /// Where file and environment have the key from.
    pub(super) fn of(sources: &Figment, key: &str) -> Self {
        match sources.find_metadata(key) {
            None => Self::Default,
            Some(metadata) if metadata.source.as_ref().is_some_and(|source| source.file_path().is_some()) => Self::File,
            Some(_) => Self::Environment,
        }
    }
}

/// All of them, in the order of their table.
pub(super) fn all(written: &Written, sources: &Figment, flags: Flags) -> Vec<Listed> {
    // Texts, numbers and lists always have a JSON form.
    let written = serde_json::to_value(written).unwrap_or_default();
    let typed = [("https", flags.https), ("http", flags.http), ("sync.address", flags.sync)];
    let typed = |key| typed.iter().find(|(name, _)| *name == key).and_then(|(_, address)| *address);
    let keys = ALLOWED.iter().filter(|(_, allowed)| !matches!(allowed, Allowed::Table));
    keys.map(|(key, allowed)| {
        let (value, source) = match typed(*key) {
            Some(address) => (shown(address), Source::Flag),
            None => (value(&written, key), Source::of(sources, key)),
        };
        let changeable = if let Allowed::Within(key) = allowed { Some(*key) } else { None };
        Listed { key, value, source, allowed: allowed.told(), changeable }
    })
    .collect()
}

fn shown(address: SocketAddr) -> Value {
    json!(address.to_string())
}

fn value(written: &Value, key: &str) -> Value {
    key.split('.').fold(written, |value, part| &value[part]).clone()
}
